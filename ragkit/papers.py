"""The papers of a corpus, one by one: as a list, by a name that a user may give, and with corrections."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ragkit.answer import FrozenModel
from ragkit.corpus import Corpus
from ragkit.corpus.database import batches
from ragkit.document import (
    RESERVED,
    VERSION_KEYS,
    Span,
    authors_of,
    facts_of,
    main_title,
    metadata_keys,
    normalised_title,
    places_of,
    title_of,
)
from ragkit.errors import UsageError
from ragkit.ingest.report import Versions, merged
from ragkit.where import Where, parse

CORRECTABLE = ("title", "authors", "year", "venue", "doi", "arxiv")
"""The fields that `edit` sets."""
SORTABLE = ("id", "year", "author", "title", "venue", "pages", "passages")
_USUAL = RESERVED | {
    *CORRECTABLE,
    "affiliations",
    "funding",
    "funding_statement",
    "updated",
    "date",
    "volume",
    "number",
    "publisher",
    "url",
    "keywords",
    "language",
}
"""Fields that a filter may ask for although no paper of the corpus has them."""
_NAMED = 8  # papers that an error names
_CLOSE = 3  # titles that are suggested for one that no paper has
_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:\s*)?(10\.[0-9.]+/\S+)", re.IGNORECASE)
_SIMILAR = 0.6  # from 0 to 1: how much of a word agrees with one of a title; the default of `difflib`


class PaperRecord(FrozenModel):
    """One paper of the corpus, as `ragkit list` shows it.

    `pages`: of its file, None where the format has none; `passages`: in the index; `files`: those that list it;
    `corrected`: the names of the values that the user corrected.

    Examples:
        >>> paper = rag.paper("attention is all you need")
        >>> paper.author, paper.year
        ('Ashish Vaswani', 2017)
    """

    id: str
    title: str
    authors: tuple[str, ...] = ()
    year: int | str | None = None
    venue: str = ""
    doi: str = ""
    arxiv: str = ""
    pages: int | None = None
    passages: int = 0
    files: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()

    @property
    def author(self) -> str:
        """The first author."""
        return self.authors[0] if self.authors else ""


def records(
    corpus: Corpus, chunker: str, where: str | Where | None = None, sort: str = "title"
) -> list[PaperRecord]:
    """The papers that pass the filter, each by its newest version; *sort* is one of `SORTABLE`, `-year` descending.

    A filter over passages (`kind`, `section`) passes a paper of which a passage passes it.
    """
    order = _order(sort)
    wanted = filter_of(where, corpus)
    older, found = corpus.superseded(), list[PaperRecord]()
    for some in batches(corpus.facts_of_papers(wanted)):
        facts = {identity: known for identity, known in some if identity not in older}
        sizes = corpus.sizes(chunker, facts)
        found += [record(identity, known, *sizes[identity]) for identity, known in facts.items()]
    return order(found)


def record(
    identity: str, known: Mapping[str, Any], pages: int | None = None, passages: int = 0
) -> PaperRecord:
    """A paper of which *known* is what `Corpus.facts` has."""
    year = known.get("year")
    return PaperRecord(
        id=identity,
        title=str(known.get("title", "")),
        authors=authors_of(known),
        year=year if isinstance(year, int | None) else int(year) if str(year).isdecimal() else str(year),
        venue=str(known.get("venue") or ""),
        doi=str(known.get("doi") or ""),
        arxiv=str(known.get("arxiv") or ""),
        pages=pages,
        passages=passages,
        files=tuple(dict.fromkeys(uri.encode(errors="replace").decode() for uri in known.get("uri", ()))),
        corrected=tuple(known.get("corrected", ())),
    )


def record_of(corpus: Corpus, chunker: str, identity: str) -> PaperRecord:
    """The paper with this id."""
    known = corpus.documents([identity])[identity].metadata
    return record(identity, facts_of(known), *corpus.sizes(chunker, [identity]).get(identity, (None, 0)))


def as_plain_data(corpus: Corpus, identity: str) -> dict[str, Any]:
    """The paper with this id, its text included, with the keys of `ragkit show --json`.

    Raises `KeyError` if there is none.
    """
    paper = corpus.documents([identity])[identity]
    works = corpus.works(documents=[identity])
    again = [each for work in works for each in merged(work) if each.document_id == identity]
    several = [Versions.of(work) for work in works if len(work.documents) > 1]
    hidden = ("title", "sources", *VERSION_KEYS)
    return {
        "id": paper.id,
        "title": title_of(paper),
        "text": paper.page_content,
        "metadata": {k: v for k, v in paper.metadata.items() if k not in hidden},
        "sources": places_of(paper, Span(identity, 0, len(paper.page_content))),
        **{key: paper.metadata[name] for name, key in VERSION_KEYS.items() if name in paper.metadata},
        **({"merged": [each.model_dump(mode="json") for each in again]} if again else {}),
        **({"versions": several[0].model_dump(mode="json")} if several else {}),
    }


def _order(sort: str) -> Callable[[Iterable[PaperRecord]], list[PaperRecord]]:
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    if name not in SORTABLE:
        raise UsageError(
            f"papers cannot be sorted by '{name}'{_suggestion(name, SORTABLE)}: choose {_or(SORTABLE)}"
        )

    def key(paper: PaperRecord) -> tuple[bool, float, str]:
        value = getattr(paper, name)
        number = float(value) if isinstance(value, int) else 0.0
        return (not isinstance(value, int), number, str(value).casefold())

    def ordered(papers: Iterable[PaperRecord]) -> list[PaperRecord]:
        each = sorted(papers, key=lambda paper: (paper.title.casefold(), paper.id))
        there = [paper for paper in each if getattr(paper, name) not in (None, "")]
        lacking = [paper for paper in each if getattr(paper, name) in (None, "")]
        return [*sorted(there, key=key, reverse=descending), *lacking]

    return ordered


# --- filters


def filter_of(where: str | Where | None, corpus: Corpus) -> Where | None:
    """The filter; raises `UsageError` for a field that neither papers nor passages of the corpus have."""
    wanted = parse(where) if isinstance(where, str) else where
    if not isinstance(wanted, Where | None):
        raise UsageError(f"a filter is a text such as 'year >= 2020', not {type(where).__name__}")
    if wanted and (unusual := wanted.fields() - _USUAL) and (unknown := unusual - (known := corpus.fields())):
        name = min(unknown)
        every = sorted(known | {*CORRECTABLE})
        raise UsageError(
            f"no paper has a field '{name}', which the filter asks for{_suggestion(name, every)};"
            " `ragkit show ID` lists the fields of a paper"
        )
    return wanted


# --- names


def find(corpus: Corpus, name: str | PaperRecord) -> str:
    """The id of the paper that *name* means: an id or its beginning, a DOI, an arXiv id, a title or words of it,
    or its record.

    An id means that very version, all else the newest.  Raises `UsageError` if no paper or several are meant.
    """
    if isinstance(name, PaperRecord):
        name = name.id
    if not isinstance(name, str):
        raise UsageError(
            f"a paper is called by a text, such as its id or title, not {type(name).__name__}; `ragkit list` shows all"
        )
    wanted = name.strip()
    by_id = sorted(corpus.listed(corpus.find_documents(wanted))) if wanted else []
    if len(by_id) == 1:
        return by_id[0]
    older = corpus.superseded()
    papers = {i: known for i, known in corpus.facts_of_papers() if i not in older}
    found = _meant(papers, wanted) or by_id
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"no paper is called '{name}'{_closest(papers, wanted)}; `ragkit list` shows all")
    known = {i: papers.get(i) or papers[older[i]] for i in found}
    named = "; ".join(f"{i[:8]} “{known[i]['title']}”{_year(known[i])}" for i in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    raise UsageError(
        f"'{name}' may be any of {len(found)} papers: {named}{more}; give more of the title, or an id"
    )


def _year(known: Mapping[str, Any]) -> str:
    return f" ({known['year']})" if known.get("year") else ""


def _meant(papers: Mapping[str, Mapping[str, Any]], name: str) -> list[str]:
    """The papers with this identifier, else with this title, or main title, else with all these words in theirs."""
    theirs = {i: metadata_keys(known) for i, known in papers.items()}
    for key in metadata_keys({"doi": name, "arxiv": name, "title": name}):
        if found := [i for i, own in theirs.items() if key in own]:
            return found
    wanted = normalised_title(name)
    if found := [i for i, known in papers.items() if wanted and main_title(str(known["title"])) == wanted]:
        return found
    words = set(wanted.split())
    titles = {i: set(normalised_title(str(known["title"])).split()) for i, known in papers.items()}
    return [i for i, title in titles.items() if words <= title] if words else []


def _closest(papers: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """The titles with words like those of *name*, as the end of a sentence."""
    words = normalised_title(name).split()
    titles = {str(known["title"]): normalised_title(str(known["title"])).split() for known in papers.values()}
    vocabulary = sorted({word for title in titles.values() for word in title})
    like = {word: difflib.get_close_matches(word, vocabulary, 50, _SIMILAR) for word in set(words)}
    scores = {
        title: sum(any(each in own for each in like[word]) for word in words) / len(words)
        for title, own in titles.items()
        if words and any(each in own for word in words for each in like[word])
    }
    best = sorted(scores, key=lambda title: (-scores[title], len(title), title))[:_CLOSE]
    return f"; the closest titles are {', '.join(f'“{title}”' for title in best)}" if best else ""


def _suggestion(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


# --- corrections


def corrections(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a correction, checked and in the form that papers have; an empty one is None.

    Raises `UsageError` for a field that is not one of `CORRECTABLE` and a value that it cannot have.
    """
    if not values:
        raise UsageError(
            f"nothing to correct: give a field and a value, such as year=2020, of {_or(CORRECTABLE)}"
        )
    return {name: _corrected(name, value) for name, value in values.items()}


def _corrected(name: str, value: Any) -> Any:
    if name not in CORRECTABLE:
        raise UsageError(
            f"'{name}' cannot be corrected{_suggestion(name, CORRECTABLE)}: choose {_or(CORRECTABLE)}"
        )
    if name == "authors":
        each = value.split(";") if isinstance(value, str) else list(value or ())
        return [text for author in each if (text := " ".join(str(author).split()))] or None
    text = "" if value is None else " ".join(str(value).split())
    if not text:
        return None
    if name == "year":
        if not re.fullmatch(r"[0-9]{4}", text):
            raise UsageError(f"'{text}' is not a year: give four digits, such as year=2020")
        return int(text)
    if name == "doi":
        if not (doi := _DOI.fullmatch(text)):
            raise UsageError(f"doi={text} is no DOI: give one such as doi=10.1000/182")
        return doi[1]
    return text
