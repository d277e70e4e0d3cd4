"""Which papers of a corpus the marks in a text mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from langchain_core.documents import Document

from ragkit.answer import FrozenModel, Verdict
from ragkit.corpus import Corpus
from ragkit.document import authors_of, metadata_keys, normalised_title, title_forms, title_of, year_of
from ragkit.text.people import name_parts, surname
from ragkit.text.references import Mark, ReferenceEntry


class Reference(FrozenModel):
    """What one mark of a text means: the papers of the corpus, or why there are none.

    `verdict` is whether these papers say what the text cites them for: `unresolved` where the mark names
    nothing, `unchecked` where the corpus does not hold what it names.
    """

    mark: str
    title: str = ""
    document_ids: tuple[str, ...] = ()
    verdict: Verdict = Verdict.UNCHECKED
    reason: str = ""


_DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"<>]++")
_ARXIV = re.compile(r"\b\d{4}\.\d{4,5}(?:v\d+)?\b")
_LONGEST = 40
"""Words of a title."""


class Library:
    """The papers of a corpus, by what a reference may call them."""

    def __init__(
        self,
        facts: Mapping[str, Mapping[str, Any]],
        keys: Mapping[str, Iterable[str]],
        superseded: Mapping[str, str] = {},
    ) -> None:
        self.facts, self.superseded = facts, superseded
        self.keys = {key: tuple(sorted(i for i in found if i in facts)) for key, found in keys.items()}
        for identity, known in facts.items():
            for name in ("key", "citation_key"):
                if known.get(name):
                    self.keys.setdefault(str(known[name]), (identity,))

    @classmethod
    def of(cls, corpus: Corpus, versions: bool = False) -> Library:
        """The papers of *corpus*, each by its newest version, which alone is searched unless all *versions* are."""
        older = corpus.superseded()
        keys = {key: {older.get(i, i) for i in found} for key, found in corpus.citation_keys().items()}
        newest = {i: known for i, known in corpus.facts_of_papers() if i not in older}
        return cls(newest, keys, older if versions else {})

    @cached_property
    def _by_identity(self) -> Mapping[str, tuple[str, ...]]:
        """By DOI, arXiv id and whole title, as `metadata_keys` writes them."""
        return self._by(metadata_keys)

    @cached_property
    def _by_title(self) -> Mapping[str, tuple[str, ...]]:
        """By whole title, and by main title of at least three words."""
        return self._by(lambda known: title_forms(str(known.get("title", ""))))

    @cached_property
    def _by_surname(self) -> Mapping[str, tuple[str, ...]]:
        """By the last word of its first author's surname."""
        return self._by(lambda known: [_last(surname(author)) for author in authors_of(known)[:1]])

    def _by(self, names_of: Callable[[Mapping[str, Any]], Iterable[str]]) -> Mapping[str, tuple[str, ...]]:
        """The papers by the names that *names_of* makes of their metadata."""
        found: dict[str, tuple[str, ...]] = {}
        for identity, known in self.facts.items():
            for name in names_of(known):
                found[name] = (*found.get(name, ()), identity)
        return found

    def described(self, entry: Document) -> tuple[str, ...]:
        """The papers that an entry of a bibliography describes."""
        for key in metadata_keys(entry.metadata):
            if found := self._by_identity.get(key):
                return found
        return self._by_title.get(normalised_title(title_of(entry)), ())

    def written(self, entry: str) -> tuple[str, ...]:
        """The papers that an entry of a list means, which names it by DOI, arXiv id or title."""
        for name, form in (("doi", _DOI), ("arxiv", _ARXIV)):
            for said in form.findall(entry):
                for key in metadata_keys({name: said.rstrip(".,;)")}):
                    if found := self._by_identity.get(key):
                        return found
        words = normalised_title(entry).split()
        for length in range(min(_LONGEST, len(words)), 0, -1):
            for at in range(len(words) - length + 1):
                title = " ".join(words[at : at + length])
                if (length > 1 or length == len(words)) and (found := self._by_title.get(title)):
                    return found
        return ()

    def by_names(self, mark: Mark) -> tuple[str, ...]:
        """The papers by the authors that *mark* names, of its year; of the year before or after if only one is."""
        for names in (mark.names[n:] for n in range(len(mark.names))):  # *However* may be taken for a name
            by = [
                i
                for i in self._by_surname.get(_last(names[0]), ())
                if _wrote(names, mark.more, self.facts[i])
            ]
            year = int(mark.year[:4])
            near = [i for i in by if abs(year_of(self.facts[i]) - year) == 1]
            if found := [i for i in by if year_of(self.facts[i]) == year] or (near if len(near) == 1 else []):
                return tuple(found)
        return ()

    def with_versions(self, identities: Sequence[str]) -> tuple[str, ...]:
        """*identities*, then those of their older versions, where these are searched, too."""
        return (*identities, *(old for old, newest in self.superseded.items() if newest in identities))

    def title(self, identity: str) -> str:
        return str(self.facts[identity].get("title", ""))


def _last(name: str) -> str:
    return (name_parts(name) or [""])[-1]


def _wrote(names: Sequence[str], more: bool, known: Mapping[str, Any]) -> bool:
    """Do the authors begin with these surnames, and go on only if the mark says so?"""
    authors = [_last(surname(author)) for author in authors_of(known)]
    said = [_last(name) for name in names]
    return authors[: len(said)] == said and (more or len(said) > 2 or len(authors) <= max(len(said), 1))


class Resolver:
    """Tells what marks mean, by the list of references in the text, a bibliography beside it, and the corpus."""

    def __init__(
        self, library: Library, listed: Sequence[ReferenceEntry] = (), described: Sequence[Document] = ()
    ) -> None:
        self.library, self.listed, self.described = library, listed, described

    def __call__(self, mark: Mark) -> Reference:
        if mark.number:
            return self._numbered(mark)
        return self._keyed(mark) if mark.key else self._named(mark)

    def _numbered(self, mark: Mark) -> Reference:
        labelled = [entry.text for entry in self.listed if entry.label == str(mark.number)]
        plain = [entry.text for entry in self.listed if not entry.label]
        for written in labelled or plain[mark.number - 1 : mark.number]:
            return self._found(mark, self.library.written(written), written)
        for entry in self.described[mark.number - 1 : mark.number]:
            return self._found(mark, self.library.described(entry), title_of(entry))
        lacks = (
            "the list of references has no"
            if self.listed or self.described
            else "there is no list of references with a"
        )
        return self._nothing(mark, f"{lacks} {mark.written}")

    def _keyed(self, mark: Mark) -> Reference:
        for entry in self.described:
            if entry.metadata.get("key") == mark.key:
                return self._found(mark, self.library.described(entry), title_of(entry))
        for written in (entry.text for entry in self.listed if entry.label == mark.key):
            return self._found(mark, self.library.written(written), written)
        if found := self.library.keys.get(mark.key):
            return self._found(mark, found, mark.key)
        return self._nothing(mark, f"no bibliography has the key '{mark.key}'")

    def _named(self, mark: Mark) -> Reference:
        if found := self.library.by_names(mark):
            return self._found(mark, found, "")
        own = Library({str(n): entry.metadata for n, entry in enumerate(self.described)}, {})
        for n in own.by_names(mark):
            entry = self.described[int(n)]
            return self._found(mark, self.library.described(entry), title_of(entry))
        for written in (entry.text for entry in self.listed if mark.year in entry.text):
            said = name_parts(written)
            if all(_last(name) in said for name in mark.names):
                return self._found(mark, self.library.written(written), written)
        reason = f"the corpus holds no paper by {' and '.join(mark.names)}{' et al.' if mark.more else ''} of {mark.year}"
        return Reference(mark=mark.written, reason=reason)

    def _found(self, mark: Mark, identities: Sequence[str], said: str) -> Reference:
        if not identities:
            short = said if len(said) <= 120 else f"{said[:120].rsplit(' ', 1)[0]} …"
            return Reference(mark=mark.written, title=short, reason="the corpus does not hold this paper")
        return Reference(
            mark=mark.written,
            title=self.library.title(identities[0]),
            document_ids=self.library.with_versions(identities),
        )

    def _nothing(self, mark: Mark, reason: str) -> Reference:
        return Reference(mark=mark.written, verdict=Verdict.UNRESOLVED, reason=reason)
