"""What an index engine promises over its generations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from ragkit.document import Key, passage_id
from ragkit.errors import CorpusError
from ragkit.index import Builder, LexicalIndex, Place, Searcher, VectorIndex
from ragkit.index.collection import CollectionIndex
from ragkit.models.embeddings import vectors_of


def add_keys(index: VectorIndex | LexicalIndex, builder: Builder, keys: Sequence[Key]) -> None:
    """Add *keys* by *builder*, with their vectors where *index* is of vectors."""
    texts = [key.text for key in keys]
    builder.add(keys, vectors_of(index.embed, texts) if isinstance(index, VectorIndex) else None)


def check_engine(
    index: VectorIndex | LexicalIndex, root: Path, passages: int = 300, recall: float = 1.0
) -> None:
    """Assert that *index* keeps what an engine promises over its generations, in the folder *root*.

    A generation is exact once it is sealed, and invisible before; filters leave out nothing that passes; what is
    removed is gone.  After a writer that was killed, whatever it had done, every passage is found again, and the next
    writer is not disturbed by what the other left or, on a server, still tries to write.  The suite uses that many
    *passages*; an approximate engine may miss up to 1 - *recall* of them where there is no filter.  Raises
    `AssertionError` that says which promise is broken.
    """
    keys = [
        Key(passage_id("engine", n, n + 1), 0, f"{_numbered(n)} bridge {_numbered(n)}")
        for n in range(passages)
    ]
    old, more, gone = keys[: passages * 2 // 3], keys[passages * 2 // 3 :], keys[::7]
    first, *killed, second, third = (Place(root, generation) for generation in range(1, 8))
    builder = index.build(None, first)
    for at in range(0, len(old), 50):
        add_keys(index, builder, old[at : at + 50])
    builder.seal()
    _assert_holds(index, first, old, recall, "after it was sealed")
    assert not index.is_sound(killed[0]), "it takes a generation that was never made for sound"
    left = [key for key in keys if key not in gone]
    with closing(index.open(first)) as reader:
        for place, (did, steps) in zip(killed, _CRASHES.items(), strict=True):
            paused = index.build(first, place)  # and it never goes on, as after a process has ended
            for step in steps:
                if step == "add":
                    add_keys(index, paused, more)
                elif step == "remove":
                    paused.remove([key.passage for key in gone])
                else:
                    paused.seal()
            _assert_found(reader, old, recall, f"beside a writer that {did}")
            _assert_holds(index, first, old, recall, f"after a writer was killed that {did}")
        builder = index.build(first, second)
        if isinstance(index, CollectionIndex):
            for write in (
                lambda: add_keys(index, paused, keys[:1]),
                lambda: paused.remove([keys[0].passage]),
            ):
                _assert_refused(write)
        add_keys(index, builder, more)
        builder.remove([key.passage for key in gone])
        builder.seal()
        assert index.is_sound(second), "it takes what it has just sealed for damaged"
        _assert_found(reader, old, recall, "while another generation is published")
    _assert_holds(index, second, left, recall, "after additions and removals")
    index.sweep(root, keep=[second.generation])
    _assert_holds(index, second, left, recall, "after older generations were swept away")
    builder = index.build(second, third)
    add_keys(index, builder, gone)
    builder.seal()
    _assert_holds(index, third, keys, recall, "after what was removed was added again")


_CRASHES = {
    "has only begun": (),
    "has added": ("add",),
    "has added and removed": ("add", "remove"),
    "has sealed": ("add", "remove", "seal"),
}
"""What a writer has done when it is killed, before the corpus publishes its generation."""


def _assert_refused(write: Callable[[], None]) -> None:
    try:
        write()
    except CorpusError:
        return
    raise AssertionError("a writer whose place another has taken still writes")


def _numbered(n: int) -> str:
    """A word for a number, in letters, so that no analyzer drops it and no two are alike."""
    return "q" + "".join(chr(ord("a") + int(digit)) for digit in f"{n:05d}")


def _assert_holds(
    index: VectorIndex | LexicalIndex, place: Place, keys: Sequence[Key], recall: float, when: str
) -> None:
    with closing(index.open(place)) as searcher:
        _assert_found(searcher, keys, recall, when)


def _assert_found(searcher: Searcher, keys: Sequence[Key], recall: float, when: str) -> None:
    """Assert that a searcher holds *keys* and no others, finds each by its text, and does so under filters."""
    held = {key.passage for key in keys}
    assert sorted(searcher.entries()) == sorted((key.passage, key.n) for key in keys), f"other entries {when}"
    assert searcher.count() == len(keys), f"another count {when}"
    asked = keys[:: max(len(keys) // 60, 1)]
    near = [
        {hit.passage for hit in searcher.search(key.text, 10)} for key in asked
    ]  # some may have one vector
    share = sum(key.passage in found for key, found in zip(asked, near, strict=True)) / len(asked)
    assert share >= recall, f"{share:.3f} of the passages are found {when}"
    for size in (1, 10, len(keys) // 2):
        among = frozenset(key.passage for key in keys[:: max(len(keys) // size, 1)])
        found = [hit.passage for hit in searcher.search("bridge", len(among), among)]
        assert len(set(found)) == len(found), f"a passage is found twice {when}"
        assert among <= set(found), f"a filter leaves out what passes {when}"
    assert {hit.passage for hit in searcher.search("bridge", len(keys) + 10)} == held, (
        f"others are found {when}"
    )
