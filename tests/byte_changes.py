"""Bytes near good ones, for fuzzing."""

from __future__ import annotations

from hypothesis import strategies as st


def mutations(original: bytes) -> st.SearchStrategy[bytes]:
    """Returns bytes near the original: cut, with bytes changed, repeated or put in; or anything at all."""

    @st.composite
    def mutated(draw: st.DrawFn) -> bytes:
        data = bytearray(original)
        for _ in range(draw(st.integers(1, 4))):
            position = draw(st.integers(0, max(len(data) - 1, 0)))
            kind = draw(st.sampled_from(["change", "cut", "insert", "repeat"]))
            if kind == "change" and data:
                data[position] = draw(st.integers(0, 255))
            elif kind == "cut":
                del data[position : position + draw(st.integers(1, 64))]
            elif kind == "insert":
                data[position:position] = draw(st.binary(max_size=32))
            else:
                data[position:position] = data[position : position + 64]
        return bytes(data)

    return st.one_of(mutated(), st.binary(max_size=200))
