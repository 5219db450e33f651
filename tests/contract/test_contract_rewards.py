"""The arithmetic of scores and pay, against slow oracles in fractions."""

from fractions import Fraction

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, ORG5, TASK, examples, scored
from hypothesis import given
from hypothesis import strategies as st

from fl_chaincode.rewards import lower_median, payments, round_share

INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)


def median_oracle(values: list[int]) -> int:
    """The smallest of the values that at least half of them do not exceed."""
    half = Fraction(len(values), 2)
    return min((one for one in values if sum(other <= one for other in values) >= half), default=0)


def payment_oracle(share: int, scores: dict[str, int], cap_percent: int) -> dict[str, int]:
    """Hand out whole units by exact quotas, then the rest one by one to the largest remainder."""
    earning = {one: score for one, score in scores.items() if score > 0}
    if not earning:
        return {}
    quota = {one: Fraction(share) * Fraction(score, sum(earning.values())) for one, score in earning.items()}
    paid = {one: int(part) for one, part in quota.items()}
    waiting = dict(quota)
    while sum(paid.values()) < share:
        largest = max(waiting[one] - int(waiting[one]) for one in waiting)
        first = min(one for one in waiting if waiting[one] - int(waiting[one]) == largest)
        paid[first] += 1
        del waiting[first]
    cap = int(Fraction(share, len(scores)) * Fraction(cap_percent, 100))
    return {one: min(part, cap) for one, part in paid.items() if min(part, cap)}


@examples(100)
@given(st.lists(INTEGERS, max_size=9))
def test_the_lower_median_is_the_smallest_value_that_half_do_not_exceed(values):
    assert lower_median(values) == median_oracle(values)


@pytest.mark.parametrize(("values", "median"), [([], 0), ([7], 7), ([1, 9], 1), ([9, 1, 5], 5), ([4, 3, 2, 1], 2)])
def test_the_lower_median_of_a_few_values(values, median):
    assert lower_median(values) == median


@examples(100)
@given(st.integers(0, 2**53 - 1), st.integers(1, 50))
def test_the_shares_of_all_rounds_sum_to_the_budget_and_differ_by_one_unit_at_most(budget, rounds):
    shares = [round_share(budget, j, rounds) for j in range(1, rounds + 1)]
    assert sum(shares) == budget
    assert max(shares) - min(shares) <= 1
    assert shares[0] == int(Fraction(budget, rounds))


@examples(300)
@given(
    st.integers(0, 10_000) | st.integers(0, 2**53 - 1),
    st.dictionaries(st.sampled_from("ABCDEFG"), st.integers(-5, 5) | INTEGERS, max_size=7),
    st.sampled_from([100, 101, 150, 200, 333, 100_000]),
)
def test_payments_are_those_of_the_slow_oracle(share, scores, cap_percent):
    assert payments(share, scores, cap_percent) == payment_oracle(share, scores, cap_percent)


@examples(100)
@given(
    st.integers(0, 2**53 - 1),
    st.dictionaries(st.sampled_from("ABCDEFG"), INTEGERS, min_size=1, max_size=7),
    st.integers(100, 100_000),
)
def test_no_more_is_paid_than_the_share_and_nobody_more_than_the_cap(share, scores, cap_percent):
    paid = payments(share, scores, cap_percent)
    assert sum(paid.values()) <= share
    assert all(0 < amount <= Fraction(share * cap_percent, 100 * len(scores)) for amount in paid.values())
    assert all(scores[one] > 0 for one in paid)


@pytest.mark.parametrize(
    ("share", "scores", "paid"),
    [
        (100, {"A": 1, "B": 1, "C": 1}, {"A": 34, "B": 33, "C": 33}),  # a tie: the first id
        (100, {"A": 1, "B": 1, "C": 4}, {"A": 17, "B": 17, "C": 66}),  # 16 2/3, 16 2/3, 66 2/3 capped at 66
        (100, {"A": 0, "B": -3, "C": 5}, {"C": 66}),  # twice the equal share; the rest is nobody's
        (100, {"A": 0, "B": -3}, {}),
        (1, {"A": 1, "B": 1, "C": 1}, {}),  # the cap of two thirds of a unit
        (2, {"A": 1, "B": 2, "C": 2}, {"B": 1, "C": 1}),
        (7, {"A": 5}, {"A": 7}),
        (0, {"A": 5}, {}),
    ],
)
def test_payments_worked_out_by_hand(share, scores, paid):
    assert payments(share, scores, 200) == paid


@examples(12)
@given(st.data())
def test_a_settled_round_of_five_pays_what_the_oracles_say(data):
    everybody = (ORG1, ORG2, ORG3, ORG4, ORG5)
    votes = st.dictionaries(st.sampled_from(everybody), st.integers(-3, 9), max_size=5)
    opened = {one: data.draw(votes) for one in everybody}
    budget, rounds = data.draw(st.integers(0, 999)), data.draw(st.integers(1, 3))
    cap = data.draw(st.sampled_from([100, 200]))
    scoring = {"rule": "leave-one-out", "cap_percent": cap}
    scenario = scored(opened, budget=budget, rounds=rounds, scoring=scoring)
    answer = scenario.call(ORG1, "rounds:Settle", TASK, 1)
    scores = {
        one: median_oracle([opened[other][one] for other in everybody if other != one and one in opened[other]])
        for one in everybody
    }
    assert answer["scores"] == scores
    assert answer["payments"] == payment_oracle(int(Fraction(budget, rounds)), scores, cap)
    assert scenario.all_tokens() == (budget, budget)
