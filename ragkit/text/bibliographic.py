"""Questions about papers themselves: who wrote one, when and where it appeared, which and how many there are.

A question is cut into the phrase that means a paper, or what the papers asked for have in common, and the
rest.  It is such a question only if every word of the rest is one of its few forms: a word too many, and the
question is about what stands in the papers.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ragkit.text.syntax import pipeline

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

Field = Literal["authors", "year", "venue", "doi", "affiliations", "funding", "updated"]


@dataclass(frozen=True)
class AboutPaper:
    """What is asked of one paper: some `fields`, `beside` others that no metadata have.

    `topic` is what the question says of the paper, or calls it.  `is_paper`: it is called a paper, or an
    article, in so many words; else `topic` must be its title.  `points`: it was spoken of before (*it*, *this
    paper*).
    """

    fields: tuple[Field, ...]
    topic: str
    is_paper: bool
    points: bool = False
    first_author: bool = False
    beside: bool = False


@dataclass(frozen=True)
class WhichPapers:
    """Which papers there are, or only `how_many`: by these `authors` (all, or `any_author`), in this `venue`,
    of the years from `since` to `until`.
    """

    how_many: bool
    authors: tuple[str, ...] = ()
    any_author: bool = False
    venue: str = ""
    since: int = 0
    until: int = 9999

    @property
    def has_years(self) -> bool:
        return (self.since, self.until) != (0, 9999)


_PAPERS = frozenset("paper article publication preprint manuscript".split())
_WORKS = frozenset(
    "study work report review survey meta-analysis editorial essay commentary trial letter guideline".split()
)
"""What a paper may be called; to ask for several, `_WORKS` need an author or a journal: papers speak of studies."""

_SEVERAL = frozenset({"guideline"})
"""Works that are one in the plural, too, if they are *the* guidelines."""

_CUES = re.compile(
    r"\A(?>.*?\b(?:who|whom|when|where|year|date)\b).*\b(?:wr[io]t|author|publish|publication|appear|paper|article|support|updat|revis)"
    r"|\b(?:affiliat\w+|institut\w+|universit\w+|fund(?:ed|ing|ers?|s)?|financed|sponsor\w*|grants?|(?:last|latest) (?:update|revision))\b"
    r"|\b(?:authors?|writers?|publication (?:year|date)|doi|journal|venue|conference|magazine)\b"
    r"|\b(?:which|what|how many|list|name|show|give)\b(?:\s++\w++){0,3}?\s++(?:papers?|articles?|publications?|preprints?|manuscripts?|stud(?:y|ies)|works?|reviews?|reports?)\b"
    r"|\A(?>.*?\bwhat (?:did|has|have)\b).*\b(?:written|write|publish)",
    re.IGNORECASE | re.DOTALL,
)


def may_be_bibliographic(question: str) -> bool:
    """Is it worth a closer look?"""
    return len(question) <= _LONGEST and bool(_CUES.search(question))


_LONGEST = 600  # characters; a title of 300 and what is asked of it

_WRITE = frozenset("write author co-author coauthor publish".split())
_FUND = frozenset("fund finance support sponsor".split())
_UPDATE = frozenset("update revise".split())
_WORK = frozenset("work affiliate belong come employ base".split())
_VERBS = frozenset({*_WRITE, "appear", "receive", *_FUND, *_UPDATE, *_WORK})
_WHO = frozenset({"who", "whom"})
_NOUNS: dict[str, Field] = {
    **dict.fromkeys(("author", "writer", "coauthor", "co-author"), "authors"),
    **dict.fromkeys(("year", "date"), "year"),
    **dict.fromkeys(("journal", "venue", "conference", "magazine", "proceeding", "proceedings"), "venue"),
    "doi": "doi",
    **dict.fromkeys(
        "institute institution university affiliation department lab laboratory company organization organisation".split(),
        "affiliations",
    ),
    **dict.fromkeys("funder funding grant sponsor financing".split(), "funding"),
    **dict.fromkeys(("update", "revision"), "updated"),
}
_BESIDE = frozenset({"country", "city"})
_FRAME = frozenset(
    "who whom when where which what be do have the a an of in by at for from and or to , . ? ! ' 's all name list give show tell "
    "me us i you we please can could know first originally publication there it they its their any exactly with source last latest recently most".split()
)
_POINTING = frozenset({"it", "they", "this", "that", "these", "them", "its", "their"})
_FIRST = frozenset({"first", "lead"})


_TAIL = frozenset({*_WORK, *"from for at with to in".split()})
"""What may stand behind *the authors of the paper*: *come from*, *work for*, *affiliated with*."""
_HOW_LATE = frozenset("first last originally recently most".split())
"""What may stand between a paper and *published* or *updated*."""


def about_paper(question: str, titles: Collection[str] = ()) -> AboutPaper | None:
    """What *question* asks of one paper; None if it asks something else.

    *titles*: words in it that stand for titles.
    """
    doc = pipeline()(question)
    if not doc:
        return None
    for begin, end in _phrases(doc):
        if found := _asked_of(doc, begin, end, titles):
            return found
    return None


def _phrases(doc: Doc) -> Iterable[tuple[int, int]]:
    """Where the phrase may stand that means the paper: behind *who wrote*, between *was* and *published*,
    behind *the authors of*, between *year is* and *from*.
    """
    for token in doc:
        lemma, end = token.lemma_.casefold(), _clause_end(doc, token.i + 1)
        if lemma in _VERBS and token.pos_ in ("VERB", "AUX"):
            auxiliary = next((t.i for t in doc[: token.i] if t.lemma_ in ("be", "do", "have")), None)
            if auxiliary is not None and token.i - auxiliary > 1:
                yield auxiliary + 1, token.i
            yield token.i + 1, end
        if lemma in _NOUNS:
            of = next((t.i for t in doc[token.i + 1 :] if t.lower_ in ("of", "for", "behind")), None)
            if of is not None and not any(t.lemma_.casefold() in _NOUNS for t in doc[of + 1 : of + 3]):
                end = _clause_end(doc, of + 1)
                if (before := _before_tail(doc, of + 1, end)) < end:
                    yield of + 1, before
                yield of + 1, end
            be = next((t.i for t in doc[token.i + 1 :] if t.lemma_ == "be"), None)
            last = next((t.i for t in reversed(doc) if not t.is_punct), 0)
            if be is not None and doc[last].lower_ in ("in", "from"):
                yield be + 1, last
            possessive = next((t.i for t in doc[: token.i] if t.tag_ == "POS"), None)
            if possessive is not None:
                begin = next((t.i + 1 for t in reversed(doc[:possessive]) if t.lemma_ == "be"), 0)
                yield begin, possessive


def _before_tail(doc: Doc, begin: int, end: int) -> int:
    """Where *come from* and the like begin that end the clause; *end* if none does."""
    at = end
    while at > begin and (doc[at - 1].is_punct or doc[at - 1].lemma_.casefold() in _TAIL):
        at -= 1
    return at if any(not t.is_punct for t in doc[at:end]) else end


def _clause_end(doc: Doc, begin: int) -> int:
    """Where a further question begins: *and at which institute*, *and when was it published*."""
    for token in doc[begin:]:
        if token.tag_ in ("WP", "WRB", "WDT") and token.lower_ != "that":
            before = token.i - 1
            while before > begin and doc[before].pos_ == "ADP":
                before -= 1
            if before > begin and (doc[before].lower_ == "and" or doc[before].text == ","):
                return int(before)
    return len(doc)


def _asked_of(doc: Doc, begin: int, end: int, titles: Collection[str]) -> AboutPaper | None:
    phrase = [t for t in doc[begin:end] if not t.is_space]
    while phrase and (phrase[-1].is_punct or phrase[-1].pos_ == "CCONJ" or phrase[-1].lower_ in _HOW_LATE):
        phrase.pop()
    if not phrase or any(t.tag_ in ("WP", "WRB") for t in phrase):
        return None
    frame = [t for t in doc if t.i < begin or t.i > phrase[-1].i]
    fields, beside = _fields(frame)
    if not fields or not _is_frame(frame):
        return None
    head = next(
        (t for t in phrase if t.pos_ in ("NOUN", "PROPN", "PRON") and t.head not in phrase), phrase[-1]
    )
    about = functools.partial(AboutPaper, fields, beside=beside, first_author=_first(frame))
    if title := next((t.text for t in phrase if t.text in titles), ""):
        return about(title, is_paper=True)
    if len(phrase) == 1 and phrase[0].lower_ in _POINTING:
        return about("", is_paper=True, points=True)
    called = _whole_word(head)
    named = called in _PAPERS | _WORKS
    if named and head.tag_ == "NNS" and not (called in _SEVERAL and phrase[0].lower_ == "the"):
        return None  # several, and which is not asked
    topic = [
        t for t in phrase if not (named and head.i - 2 * (called != head.lemma_.casefold()) <= t.i <= head.i)
    ]
    points = named and len(topic) == 1 and topic[0].lower_ in _POINTING
    return about("" if points else _text(topic), is_paper=named, points=points)


def _whole_word(token: Token) -> str:
    """The lemma, with what a hyphen joins to it: the parser parts *meta-analysis*."""
    joined = (
        token.i > 1 and not token.is_punct and token.nbor(-1).text == "-" and not token.nbor(-1).whitespace_
    )
    return str((f"{token.nbor(-2).lower_}-" if joined else "") + token.lemma_.casefold())


def _fields(frame: Sequence[Token]) -> tuple[tuple[Field, ...], bool]:
    """The fields that the words around the phrase ask for, and whether they ask for others, too."""
    lemmas = [t.lemma_.casefold() for t in frame]
    who = any(t.lower_ in _WHO for t in frame)
    if {*lemmas} & _BESIDE and not who:
        return (), True  # *which country are the authors from*
    found: list[Field] = []
    beside = bool({*lemmas} & _BESIDE)
    for n, (token, lemma) in enumerate(zip(frame, lemmas, strict=True)):
        verbs = _verbs_of(frame, n)
        field = None if token.pos_ == "VERB" else _NOUNS.get(lemma)
        if field == "affiliations" and _FUND & {*lemmas}:
            field = "funding"  # *which organisations funded it*
        if field == "authors" and "affiliations" in found:
            continue  # *which institutes are the authors of it from*
        if field == "year" or token.lower_ == "when":
            updated = bool(verbs & _UPDATE) or "update" in lemmas or "revision" in lemmas
            if not updated or verbs & {*_WRITE, "appear"}:
                found.append("year")
            if updated:
                found.append("updated")
        elif field:
            found.append(field)
        elif token.lower_ in _WHO and verbs & _FUND:
            found.append("funding")
        elif token.lower_ in _WHO and verbs & _WRITE:
            found.append("authors")
        elif token.lower_ == "where" and verbs & {"publish", "appear"}:
            found.append("venue")
        elif token.lower_ == "where" and verbs & _WORK:
            found.append("affiliations")
        else:
            beside = beside or token.lower_ == "where"
    return tuple(dict.fromkeys(found)), beside


def _verbs_of(frame: Sequence[Token], n: int) -> set[str]:
    """The verbs that the question word at *n* goes with: those up to the next clause with one, else those before."""
    behind = frame[n + 1 :]
    joined = {m for m, t in enumerate(behind) if t.lower_ in (*_WHO, "when", "where") and m}
    end = next(
        (m for m in sorted(joined) if any(t.lemma_.casefold() in _VERBS for t in behind[:m])), len(behind)
    )
    verbs = {t.lemma_.casefold() for t in behind[:end]} & _VERBS
    return verbs or {t.lemma_.casefold() for t in frame[:n]} & _VERBS


def _is_frame(frame: Sequence[Token]) -> bool:
    """Have these words no meaning but to ask of a paper?  One verb or noun of publication at least."""
    lemmas = {t.lemma_.casefold() for t in frame} | {t.lower_ for t in frame if t.lower_ in _FRAME}
    own = {t.lemma_.casefold() for t in frame if t.lower_ not in _FRAME}
    return (
        bool(lemmas & (_VERBS | _NOUNS.keys())) and own <= _FRAME | _VERBS | _NOUNS.keys() | _BESIDE | _FIRST
    )


def _first(frame: Sequence[Token]) -> bool:
    return any(
        t.lower_ in _FIRST and t.i + 1 < len(t.doc) and t.nbor().lemma_.casefold() == "author" for t in frame
    )


def _text(tokens: Iterable[Token]) -> str:
    return "".join(t.text_with_ws for t in tokens).strip()


# --- which and how many papers

_ASKING = frozenset(
    "which what how many be do have write author co-author coauthor publish appear the a all any of by from in between and or there "
    "list name give show me please you we i , . ? ! ' 's collection library corpus here this total contain hold since after before "
    "until year journal know print".split()
)
_ANCHORS = frozenset("collection library corpus there here you we hold contain".split())
_YEAR = re.compile(r"(?:18|19|20)\d\d")


def which_papers(
    question: str, authors: Collection[str] = (), venues: Collection[str] = ()
) -> WhichPapers | None:
    """Which papers *question* asks for; None if it asks something else.

    *authors* and *venues*: words in it that stand for authors and for journals that the corpus knows.
    """
    doc = pipeline()(question)
    tokens = [t for t in doc if not t.is_space]
    noun = next((t for t in tokens if t.lemma_.casefold() in _PAPERS | _WORKS), None)
    wrote = any(t.lemma_.casefold() in ("write", "publish", "author") for t in tokens)
    by = tuple(t.text for t in tokens if t.text in authors)
    venue = next((t.text for t in tokens if t.text in venues), "")
    years = [t for t in tokens if _YEAR.fullmatch(t.text)]
    if noun is None and not (by and wrote and tokens[0].lower_ == "what"):
        return None
    if noun is not None and noun.lemma_.casefold() in _WORKS and not (by or venue):
        return None
    rest = [t for t in tokens if t is not noun and t not in years and t.text not in {*by, venue}]
    if not all({t.lower_, t.lemma_.casefold()} & _ASKING for t in rest):
        return None
    how_many = any(t.lower_ == "how" for t in rest)
    asks = how_many or (tokens[0].lower_ in ("which", "what", "list", "name", "give", "show"))
    here = any(t.lower_ in _ANCHORS or t.lemma_.casefold() in _ANCHORS for t in rest)
    if not asks or not (by or venue or years or here):
        return None
    since, until = _range(years)
    return WhichPapers(how_many, by, any(t.lower_ == "or" for t in rest), venue, since, until)


def _range(years: Sequence[Token]) -> tuple[int, int]:
    if not years:
        return 0, 9999
    named = sorted(int(t.text) for t in years)
    before = years[0].nbor(-1).lower_ if years[0].i else ""
    match before:
        case "since":
            return named[0], 9999
        case "after":
            return named[0] + 1, 9999
        case "before":
            return 0, named[0] - 1
        case "until":
            return 0, named[0]
        case _:
            return named[0], named[-1]
