"""Answers about papers themselves, from their metadata: who wrote one, where they work, who paid, when and where it
appeared, which and how many there are.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar, NamedTuple, Self

from langchain_core.documents import Document

from ragkit.answer import Abstention, Answer, Cited, Claim, Finding, Quote, Source, Verdict
from ragkit.config.components import component
from ragkit.corpus import Corpus, CorpusReader
from ragkit.document import authors_of, normalised_title, searchable, span_of, title_forms, year_of
from ragkit.flow import Flow, Token, emit
from ragkit.generate import Generator
from ragkit.text.bibliographic import (
    AboutPaper,
    WhichPapers,
    about_paper,
    may_be_bibliographic,
    which_papers,
)
from ragkit.text.people import is_person, name_parts, surname
from ragkit.text.question import Asked
from ragkit.text.words import stems
from ragkit.where import Where

_SHOWN = 3
"""So many papers are named where a question may mean any of them."""
_TOLD = (
    *("uri", "authors", "year", "venue", "doi", "updated", "affiliations", "funding", "funding_statement"),
    *("version_label", "superseded_by"),
)
"""What is kept of each paper while a question is answered."""
_LISTED = 30
"""So many papers are listed by title; the others are counted."""


@dataclass(frozen=True)
class KnownPaper:
    """A paper as its metadata have it."""

    identity: str
    title: str
    facts: Mapping[str, Any]

    @property
    def authors(self) -> list[str]:
        return list(authors_of(self.facts))

    @property
    def year(self) -> str:
        return str(self.facts.get("year") or "")

    @property
    def venue(self) -> str:
        return str(self.facts.get("venue") or "")

    @property
    def name(self) -> str:
        return f"“{self.title}”"

    @cached_property
    def words(self) -> frozenset[str]:
        """What a question may call it by."""
        surnames = " ".join(surname(author) for author in self.authors)
        return frozenset(stems(f"{self.title} {surnames} {self.year} {self.venue}"))

    def text(self, name: str) -> str:
        """A field as it is cited."""
        value = self.facts.get(name)
        return "; ".join(map(str, value)) if isinstance(value, list) else str(value or "")

    def knows(self, field: str) -> str:
        """The name under which the metadata give a field; empty if they do not.

        Many say of their funding only what a statement says.
        """
        names = ("funding", "funding_statement") if field == "funding" else (field,)
        return next((name for name in names if self.text(name)), "")

    def cited(self, *fields: str) -> Cited:
        """Its metadata as what a claim rests on: the claim says what they say."""
        known = [name for field in fields if (name := self.knows(field))]
        quote = Quote(
            document_id=self.identity,
            title=self.title,
            sources=tuple(Source(uri=uri) for uri in self.facts["uri"]),
            quote="\n".join(f"{name}: {self.text(name)}" for name in known),
            field=", ".join(known),
            version=str(self.facts.get("version_label", "")),
            superseded_by=str(self.facts.get("superseded_by", "")),
        )
        return Cited(quote=quote, by_model=False, finding=_FROM_METADATA)


_FROM_METADATA = Finding(verdict=Verdict.SUPPORTED, score=1.0, reason="from the paper's metadata")


def _claim(text: str, cites: tuple[Cited, ...], before: str = "") -> Claim:
    return Claim(text=text, before=before, verdict=Verdict.SUPPORTED, cites=cites)


class Reading(NamedTuple):
    """What a question asks, of which papers, and which of them its names mean."""

    wanted: AboutPaper | WhichPapers
    records: Sequence[KnownPaper]
    names: StandIns


@component("metadata")
@dataclass(frozen=True)
class MetadataGenerator(Generator, CorpusReader):
    """Says who wrote a paper, at which institutions, who paid, when and where it appeared, when it was updated, and
    which and how many papers there are, from the metadata of the corpus.

    It is for such questions only, in English, and its claims cite the metadata, which they repeat.  Where the
    metadata do not tell, it abstains.
    """

    reads_passages: ClassVar[bool] = False

    def suits(self, asked: Asked) -> bool:
        return self._read(asked) is not None

    def flow(self, asked: Asked, passages: Sequence[Document], judged: Answer | None = None) -> Flow[Answer]:
        answer = self._answer(self._read(asked), asked, passages)
        if answer.claims:
            yield from emit(Token(answer.text))
        return answer

    def _read(self, asked: Asked) -> Reading | None:
        question = str(asked.standalone)
        if not may_be_bibliographic(question):
            return None
        return _reading(self.corpus, self.corpus.state, question, asked.where)

    def _answer(self, reading: Reading | None, asked: Asked, passages: Sequence[Document]) -> Answer:
        blank = Answer(question=str(asked.text), context=tuple(passages))
        if reading is None:
            return blank.model_copy(
                update={"abstained": Abstention(reason="it asks for no metadata of papers")}
            )
        if isinstance(reading.wanted, WhichPapers):
            return blank.model_copy(update=_listing(reading.wanted, reading.records, reading.names))
        return blank.model_copy(update=_telling(reading.wanted, reading, passages))


@lru_cache(maxsize=4)  # `suits` and `flow` ask the same, one after the other
def _reading(corpus: Corpus, state: object, question: str, where: Where | None) -> Reading | None:
    """What *question* asks of the papers that pass *where*, while the corpus is in this *state*."""
    records = [
        KnownPaper(identity, facts["title"], {name: facts[name] for name in _TOLD if name in facts})
        for identity, facts in corpus.facts_of_papers(where)
    ]
    people = _people(question, records)
    names = _venues(people.text, records).joined(people)
    if which := which_papers(names.text, people.papers, names.papers.keys() - people.papers.keys()):
        return Reading(which, records, names)
    names = _titled(question, records)
    about = about_paper(names.text, names.papers)
    return Reading(about, records, names) if about else None


# --- one paper


def _telling(wanted: AboutPaper, reading: Reading, passages: Sequence[Document]) -> dict[str, Any]:
    """The part of an answer that tells of the paper that is meant, or of those that may be."""
    found, sure = _meant(wanted, reading, passages)
    if not found:
        return {"abstained": Abstention(reason="no paper of this title or about this is known")}
    told = [(record, sentence) for record in found if (sentence := _sentence(record, wanted))]
    if not told:
        fields = " or ".join(wanted.fields)
        return {"abstained": Abstention(reason=f"the metadata of {found[0].name} do not give its {fields}")}
    claims = tuple(
        _claim(sentence, (record.cited(*wanted.fields),), "\n" * bool(n))
        for n, (record, sentence) in enumerate(told)
    )
    return {"claims": claims, "confidence": sure / len(found)}


def _sentence(record: KnownPaper, wanted: AboutPaper) -> str:
    """What the metadata say of what is wanted; empty if they say nothing of it."""
    said = []
    if "authors" in wanted.fields and record.authors:
        if wanted.first_author:
            said.append(f"has {record.authors[0]} as its first author")
        else:
            said.append(f"was written by {_joined(record.authors)}")
    where = f" in {record.venue}" if "venue" in wanted.fields and record.venue else ""
    when = f" in {record.year}" if "year" in wanted.fields and record.year else ""
    if where or when:
        said.append(f"was published{where}{when}")
    if "doi" in wanted.fields and record.text("doi"):
        said.append(f"has the DOI {record.text('doi')}")
    if "updated" in wanted.fields and (date := record.text("updated")):
        said.append(f"was last updated {'on' if date.count('-') == 2 else 'in'} {date}")
    said += [
        told
        for field in ("affiliations", "funding")
        if field in wanted.fields and (told := _listed(record, field))
    ]
    if not said:
        return ""
    lacking = [field for field in wanted.fields if not record.knows(field)]
    lacks = f"; its metadata do not give its {' or '.join(lacking)}" if lacking else ""
    return f"{record.name} {' and '.join(said)}{lacks}."


def _listed(record: KnownPaper, field: str) -> str:
    """What the metadata list of affiliations or funders, or state of the funding."""
    names = (
        [str(each) for each in value]
        if isinstance(value := record.facts.get(field), list)
        else [record.text(field)]
    )
    several = len(names) > 1
    match record.knows(field):
        case "affiliations":
            return f"gives the affiliation{'s' * several} {'; '.join(names)}"
        case "funding":
            return f"was funded by {_joined(names)}"
        case "funding_statement":
            return f"says of its funding: “{record.text('funding_statement').rstrip('.')}”"
    return ""


def _joined(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


_COVERED = 0.5
"""The share of what a question says of a paper, its rare words weighing most, that the title must have."""
_COVERED_BY_TEXT = 0.7
"""The share that title and passages of the paper found first must have, if no title has enough."""
_ALIKE = 0.9
"""A paper that matches nearly as well as the best may be meant, too."""


def _meant(
    wanted: AboutPaper, reading: Reading, passages: Sequence[Document]
) -> tuple[Sequence[KnownPaper], float]:
    """The papers that may be meant, best first, and how sure it is that one of them is."""
    by_id = {record.identity: record for record in reading.records}
    if wanted.topic in reading.names.papers:
        return [by_id[i] for i in reading.names.papers[wanted.topic]][:_SHOWN], 1.0
    texts: dict[str, set[str]] = {}
    for passage in passages:
        texts.setdefault(span_of(passage).document_id, set()).update(stems(searchable(passage)))
    ranked = [identity for identity in texts if identity in by_id]
    if wanted.points or not stems(wanted.topic):
        only = [r.identity for r in reading.records] if len(reading.records) == 1 else ranked[: wanted.points]
        return [by_id[i] for i in only], 0.5 if wanted.points else 1.0
    if not wanted.is_paper:
        found = [record for record in reading.records if _is_called(record.title, wanted.topic)]
        return found[:_SHOWN], 0.9
    return _about(wanted.topic, reading.records, ranked, texts)


def _about(
    topic: str, records: Sequence[KnownPaper], ranked: Sequence[str], texts: Mapping[str, Collection[str]]
) -> tuple[Sequence[KnownPaper], float]:
    """The papers about *topic*: title first, then what was found."""
    spread = Counter(word for record in records for word in record.words)
    weights = {word: math.log(1 + len(records) / (1 + spread[word])) for word in stems(topic)}
    whole = sum(weights.values())

    def share(has: Collection[str]) -> float:
        return sum(weight for word, weight in weights.items() if word in has) / whole

    by_title = {record.identity: share(record.words) for record in records}
    by_text = {record.identity: share(record.words | {*texts.get(record.identity, ())}) for record in records}

    def worth(record: KnownPaper) -> float:
        near = 1 / (1 + ranked.index(record.identity)) if record.identity in ranked else 0.0
        return by_title[record.identity] + 0.5 * by_text[record.identity] + 0.25 * near

    titled = [r for r in records if by_title[r.identity] >= _COVERED]
    found = titled or [
        r for r in records if r.identity in ranked[:1] and by_text[r.identity] >= _COVERED_BY_TEXT
    ]
    best = sorted(found, key=worth, reverse=True)[:_SHOWN]
    alike = [record for record in best if worth(record) >= _ALIKE * worth(best[0])]
    return alike, max((by_text[record.identity] for record in alike), default=0.0)


def _is_called(title: str, topic: str) -> bool:
    """Does *title* begin with *topic*, article aside?"""
    own, said = (re.sub(r"^(?:the|an?) ", "", normalised_title(text)) for text in (title, topic))
    return bool(said) and f"{own} ".startswith(f"{said} ")


# --- which papers


def _listing(wanted: WhichPapers, records: Sequence[KnownPaper], names: StandIns) -> dict[str, Any]:
    """The part of an answer that lists or counts the papers that are wanted."""
    which = any if wanted.any_author else all
    found = [
        record
        for record in records
        if (not wanted.authors or which(names.means(author, record) for author in wanted.authors))
        and (not wanted.venue or names.means(wanted.venue, record))
        and (not wanted.has_years or _in_years(record, wanted.since, wanted.until))
    ]
    found.sort(key=lambda record: (record.year, record.title))
    of = _described(wanted, names)
    if not found:
        return {
            "abstained": Abstention(reason=f"by their metadata, none of the {len(records)} papers is{of}")
        }
    shown = found[:_LISTED] if of else []
    fields = [*["authors"] * bool(wanted.authors), *["venue"] * bool(wanted.venue), "year"]
    cites = tuple(record.cited(*fields) for record in shown)
    one = len(found) == 1
    lead = f"There {'is' if one else 'are'} {len(found)} {'paper' if one else 'papers'}{of or ' in the collection'}"
    claims = [] if shown and not wanted.how_many else [_claim(f"{lead}.", cites)]
    for record, cited in zip(shown, cites, strict=True):
        before = "\n- " if claims else f"{lead}:\n- "
        year = f" ({record.year})" if record.year else ""
        claims.append(_claim(f"{record.name}{year}", (cited,), before))
    return {"claims": tuple(claims)}


def _described(wanted: WhichPapers, names: StandIns) -> str:
    """What the papers wanted have in common, to stand behind *papers*."""
    joint = " or " if wanted.any_author else " and "
    by = f" by {joint.join(names.written[author] for author in wanted.authors)}" if wanted.authors else ""
    venue = f" in {names.written[wanted.venue]}" if wanted.venue else ""
    if wanted.since and wanted.until < 9999:
        years = f" from {wanted.since}" + (f" to {wanted.until}" if wanted.until > wanted.since else "")
    else:
        years = (
            f" since {wanted.since}" if wanted.since else f" until {wanted.until}" if wanted.has_years else ""
        )
    return f"{by}{venue}{years}"


def _in_years(record: KnownPaper, since: int, until: int) -> bool:
    year = year_of(record.facts)
    return bool(year) and since <= year <= until


# --- what the corpus knows by name

_STAND_INS = "Alpha Beta Gamma Delta Epsilon Zeta Theta Kappa Lambda Sigma Omega".split()
_LONGEST = 40  # words of a title
_QUOTES = re.compile(r"[“„\"«]([^“”„\"«»]{2,300})[”“\"»]")


@dataclass(frozen=True)
class StandIns:
    """A question with one word in place of each name that the corpus knows, since the words of a name mislead
    a parser.

    `papers` are the ids that each such word stands for, `written` is what it stands in place of.
    """

    text: str
    papers: Mapping[str, Collection[str]]
    written: Mapping[str, str]

    @classmethod
    def of(cls, question: str, find: Callable[[str], Collection[str]], longest: int = _LONGEST) -> Self:
        """*find* gives the papers of a name; of names that overlap, the first and longest is taken."""
        free = [word for word in _STAND_INS if word not in question]
        spans = [found.span() for found in re.finditer(r"\w+", question)]
        papers: dict[str, Collection[str]] = {}
        written: dict[str, str] = {}
        text, done, at = "", 0, 0
        while at < len(spans) and free:
            for end in range(min(len(spans), at + longest), at, -1):
                start, stop = spans[at][0], spans[end - 1][1]
                if ids := find(name := question[start:stop]):
                    word = free.pop(0)
                    text, done, papers[word], written[word] = (
                        f"{text}{question[done:start]}{word}",
                        stop,
                        ids,
                        name,
                    )
                    at = end - 1
                    break
            at += 1
        plain = re.sub(rf"[“„\"«]({'|'.join(papers) or '$^'})[.,?]?[”“\"»]", r"\1", text + question[done:])
        return cls(plain, papers, written)

    def joined(self, before: StandIns) -> Self:
        """These in the text of those that were made *before*."""
        return replace(
            self, papers={**before.papers, **self.papers}, written={**before.written, **self.written}
        )

    def means(self, word: str, record: KnownPaper) -> bool:
        """Does *word* stand for this paper?"""
        return record.identity in self.papers[word]


def _titled(question: str, records: Sequence[KnownPaper]) -> StandIns:
    """*question* with its titles replaced: whole ones, main ones of three words, and what stands in quotation
    marks.
    """
    titles: dict[str, list[str]] = {}
    for record in records:
        for title in title_forms(record.title):
            if " " in title:
                titles.setdefault(title, []).append(record.identity)
    for quoted in _QUOTES.findall(question):
        called = [record.identity for record in records if _is_called(record.title, quoted)]
        if called:
            titles.setdefault(normalised_title(quoted), called)
    return StandIns.of(question, lambda name: titles.get(normalised_title(name), ()))


def _people(question: str, records: Sequence[KnownPaper]) -> StandIns:
    """*question* with its authors replaced."""
    known: dict[str, list[tuple[list[str], str]]] = {}
    for record in records:
        for author in record.authors:
            known.setdefault(surname(author), []).append((name_parts(author), record.identity))

    def find(name: str) -> Collection[str]:
        said = name_parts(name)
        if not name[:1].isupper() or not said:
            return ()
        among = [entry for last in {*said, " ".join(said)} for entry in known.get(last, ())]
        return {identity for parts, identity in among if is_person(said, parts)}

    return StandIns.of(question, find, longest=6)


def _venues(question: str, records: Sequence[KnownPaper]) -> StandIns:
    """*question* with its journals replaced."""
    known: dict[str, list[str]] = {}
    for record in records:
        if venue := normalised_title(record.venue):
            known.setdefault(venue, []).append(record.identity)
    return StandIns.of(
        question, lambda name: known.get(normalised_title(name), ()) if name[:1].isupper() else ()
    )
