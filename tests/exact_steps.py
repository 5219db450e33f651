"""The server steps as Algorithm 2 of Reddi et al. 2021 states them, a number at a time in exact arithmetic: the oracle.

Every operation is done on rationals and rounded once to the nearest float64, halves to even, by integer arithmetic of
our own: no floating point takes part. Without the rounding it is the paper's formula on real numbers.

The paper's Delta is final minus initial; here d = -Delta, so that m has the other sign and the weights descend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import isqrt

Slots = dict[str, Fraction]
Round = Callable[[Fraction], Fraction]


def nearest(value: Fraction) -> Fraction:
    """The float64 nearest to a rational, halves to even, subnormals included."""
    if not value:
        return value
    top, bottom = abs(value.numerator), value.denominator
    exponent = max(top.bit_length() - bottom.bit_length() - 53, -1074)  # of the last bit, or one less than it
    if _scaled(top, bottom, exponent) >= Fraction(1 << 53):
        exponent += 1
    quotient, rest = divmod(top << max(0, -exponent), bottom << max(0, exponent))
    half = 2 * rest - (bottom << max(0, exponent))
    if half > 0 or (half == 0 and quotient & 1):
        quotient += 1
    if quotient * Fraction(2) ** exponent >= Fraction(2) ** 1024:
        raise OverflowError
    return (1 if value > 0 else -1) * quotient * Fraction(2) ** exponent


def _scaled(top: int, bottom: int, exponent: int) -> Fraction:
    return Fraction(top, bottom) / Fraction(2) ** exponent


def root(value: Fraction) -> Fraction:
    """The square root, nearest float64, of a rational that is a float64."""
    if not value:
        return value
    # 2^k * value as an integer with more than 128 bits, k even: the root has more than 64, of which 53 are wanted.
    shift = 2 * max(0, 100 + value.denominator.bit_length())
    scaled = value.numerator * (1 << shift) // value.denominator
    assert scaled * value.denominator == value.numerator << shift  # a float64's denominator is a power of two
    found = isqrt(scaled)
    sticky = Fraction(1, 2) if found * found != scaled else 0  # never a halfway case: only its side matters
    return nearest((found + sticky) / Fraction(2) ** (shift // 2))


def step(spec: Mapping[str, str], state: Slots, d: Fraction, r: Round = nearest, sqrt: Round = root) -> Slots:
    """One step for one weight: `state` holds x as `w`, and m and v where the step has them."""
    p = {name: nearest(Fraction(text)) for name, text in spec.items() if name != "step"}
    x, eta = state["w"], p["learning_rate"]
    match spec["step"]:
        case "fedavg":
            return {"w": r(x - r(eta * d))}
        case "fedavgm":
            m = r(r(p["momentum"] * state["m"]) + d)
            return {"m": m, "w": r(x - r(eta * m))}
        case "fedadagrad":
            v = r(state["v"] + r(d * d))
            return {"v": v, "w": r(x - r(r(eta * d) / r(sqrt(v) + p["epsilon"])))}
    square = r(d * d)
    m = r(r(p["beta_1"] * state["m"]) + r(r(1 - p["beta_1"]) * d))
    share = r(r(1 - p["beta_2"]) * square)
    if spec["step"] == "fedadam":
        v = r(r(p["beta_2"] * state["v"]) + share)
    elif spec["step"] == "fedyogi":
        difference = state["v"] - square
        v = r(state["v"] - share * ((difference > 0) - (difference < 0)))
    else:
        raise ValueError(spec["step"])
    return {"m": m, "v": v, "w": r(x - r(r(eta * m) / r(sqrt(v) + p["epsilon"])))}


def start(spec: Mapping[str, str], weight: Fraction) -> Slots:
    """The state before the first round: m = 0, v as the task says."""
    slots = {"w": weight}
    if "momentum" in spec or "beta_1" in spec:
        slots["m"] = Fraction(0)
    if "initial_preconditioner_value" in spec:
        slots["v"] = nearest(Fraction(spec["initial_preconditioner_value"]))
    return slots
