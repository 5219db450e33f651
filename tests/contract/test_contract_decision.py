"""The decision about a round, against exhaustive search."""

import itertools

from contract_scenario import ORG1, ORG2, ORG3, ORG4, ORG5, TASK, examples
from hypothesis import given
from hypothesis import strategies as st

from fl_chaincode.canonical import H
from fl_chaincode.decision import decide
from fl_chaincode.hashes import aggregate_digest, proof
from fl_chaincode.records import Attestation, Round

VALIDATORS = (ORG1, ORG2, ORG3, ORG4, ORG5)
RIGHT = aggregate_digest(b"the sum")


def attestation(organisation: str, result: str, attempt: int, fetched: str, honest: bool, included: str) -> Attestation:
    return Attestation(
        task=TASK,
        round=1,
        organisation=organisation,
        attempt=attempt,
        version=1,
        result=H("result", result, included),
        included=tuple(included.split()),
        refused={},
        model=H("m"),
        state=H("s"),
        fetched=(H("f", fetched),),
        proof=proof(TASK, 1, attempt, organisation, RIGHT if honest else H("guess")),
        score_commitment=None,
    )


@examples(150)
@given(
    size=st.integers(1, 5),
    data=st.data(),
    silence_counts=st.booleans(),
    fixed=st.sampled_from([None, "A B"]),
    named=st.sampled_from([None, RIGHT, H("false")]),
)
def test_a_round_waits_exactly_as_long_as_somebody_silent_could_still_complete_a_quorum(
    size, data, silence_counts, fixed, named
):
    validators = VALIDATORS[:size]
    q = data.draw(st.integers(size // 2 + 1, size))
    round_ = Round(
        TASK, 1, 1, H("b"), ("A", "B"), (), 1, validators, q, "sealed", 2, ("A", "B"),
        tuple(fixed.split()) if fixed else None, (),
    )  # fmt: skip
    kinds = st.none() | st.tuples(
        st.sampled_from("xy"), st.sampled_from([2, 2, 2, 1]), st.sampled_from("fg"), st.booleans(),
        st.sampled_from(["A B", "A"]),
    )  # fmt: skip
    drawn = {one: data.draw(kinds) for one in validators}
    given_ = {one: attestation(one, *kind) for one, kind in drawn.items() if kind is not None}

    current = {one: item for one, item in given_.items() if item.attempt == 2}
    good = {one: item for one, item in current.items() if fixed is None or item.included == ("A", "B")}

    def largest(votes: dict[str, str]) -> int:
        return max((sum(other == result for other in votes.values()) for result in votes.values()), default=0)

    def completions():
        silent = [one for one in validators if one not in current]
        possible = [None, *sorted({item.result for item in good.values()}), "new"]
        for answers in itertools.product([None] if silence_counts else possible, repeat=len(silent)):
            yield {one: item.result for one, item in good.items()} | {
                one: answer for one, answer in zip(silent, answers, strict=True) if answer
            }

    proofs = {} if named != RIGHT else {one: item.result for one, item in good.items() if drawn[one][3]}
    if largest(proofs) >= q:
        expected = "commit"
    elif any(largest(votes) >= q for votes in completions()):
        expected = "wait"
    elif fixed is None and len({item.fetched for item in current.values()}) > 1:
        expected = "fix" if silence_counts or len(current) == size else "wait"
    else:
        expected = "dispute"
    decision = decide(round_, given_, silence_counts, named)
    assert decision.kind == expected
    assert len({item.result for item in decision.winners}) <= 1
