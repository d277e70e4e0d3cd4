"""A set of passages in 16 bytes each is what a `frozenset` of their ids is."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.corpus.ids import PassageIds

# few bytes that differ, at both ends, so that sets overlap and ids end in zeros
ids = st.builds(
    lambda first, last: str(UUID(bytes=bytes([first, *[0] * 14, last]))),
    st.sampled_from([0, 1, 127, 128, 255]),
    st.sampled_from([0, 1, 255]),
)


@given(st.lists(ids), st.lists(ids))
def test_it_is_what_a_frozenset_is(some: list[str], others: list[str]) -> None:
    packed, plain = PassageIds(some), frozenset(some)
    assert (list(packed), len(packed), hash(packed)) == (sorted(plain), len(plain), hash(plain))
    assert packed == plain
    assert plain == packed
    assert packed == PassageIds(iter(plain))
    assert (packed == PassageIds(others)) is (plain == frozenset(others))
    assert [each in packed for each in others] == [each in plain for each in others]
    assert packed & frozenset(others) == plain & frozenset(others)
    assert (packed <= frozenset(others), frozenset(others) <= packed) == (
        plain <= frozenset(others),
        frozenset(others) <= plain,
    )
    assert packed.first_halves.tolist() == [UUID(each).int >> 64 for each in sorted(plain)]
    assert packed.table.nbytes == 16 * len(plain)


@pytest.mark.parametrize(
    "other", ["", "a paper", "0" * 32, f"urn:{UUID(int=0)}", f"{UUID(int=10)}".upper(), 0]
)
def test_what_is_written_otherwise_is_not_in_it(other: object) -> None:
    assert other not in PassageIds([str(UUID(int=0)), str(UUID(int=10))])


def test_ids_of_another_make_are_refused() -> None:
    with pytest.raises(ValueError, match="hexadecimal|not a UUID"):
        PassageIds(["a paper"])
