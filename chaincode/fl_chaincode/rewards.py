"""The arithmetic of PROTOCOL.md §4, in integers, exact to the last unit."""

from collections.abc import Mapping, Sequence


def round_share(budget: int, j: int, rounds: int) -> int:
    """Return what the j-th of so many models may pay; over all of them this sums to the budget."""
    return budget * j // rounds - budget * (j - 1) // rounds


def lower_median(values: Sequence[int]) -> int:
    """Return the median, of an even number the lower of the middle two, of none 0."""
    return sorted(values)[(len(values) - 1) // 2] if values else 0


def payments(share: int, scores: Mapping[str, int], cap_percent: int) -> dict[str, int]:
    """Divide a share in proportion to the positive scores.

    The largest remainders get the units that division leaves over, ties by participant id. Then nobody gets more than
    cap_percent of the equal share of all scored participants, rounded down; what a cap cuts off is nobody's.

    Args:
        share: what there is to divide.
        scores: of every included participant.
        cap_percent: of the equal share.

    Returns:
        The payments above 0.
    """
    positive = {participant: scores[participant] for participant in sorted(scores) if scores[participant] > 0}
    total = sum(positive.values())
    if not total:
        return {}
    parts = {participant: share * score // total for participant, score in positive.items()}
    # sorted() is stable, so equal remainders stay in the order of the participant ids
    by_remainder = sorted(positive, key=lambda participant: -(share * positive[participant] % total))
    for participant in by_remainder[: share - sum(parts.values())]:
        parts[participant] += 1
    cap = share * cap_percent // (100 * len(scores))
    return {participant: min(part, cap) for participant, part in parts.items() if min(part, cap) > 0}
