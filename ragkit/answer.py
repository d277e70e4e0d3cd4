"""What a question comes back with: an `Answer`, its `Claim`s, what each cites, and each one's `Verdict`.

Citation numbers are presentation.  A claim holds what it cites; the answer numbers its citations in order of
appearance, gives each the least of its verdicts, and renders its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Self

from langchain_core.documents import Document
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    computed_field,
    field_serializer,
    model_validator,
)

from ragkit import notebook
from ragkit.document import Span, places_of, span_of, table_of, title_of
from ragkit.text.marks import unmarked
from ragkit.text.tables import read_out


class Verdict(StrEnum):
    """What a verifier found: is the claim in the paper?

    Examples:
        >>> [verdict.value for verdict in ragkit.Verdict if verdict.holds]
        ['quoted', 'supported']
    """

    QUOTED = "quoted"
    """The source has it word for word."""
    SUPPORTED = "supported"
    """The source says it in other words."""
    UNSUPPORTED = "unsupported"
    UNRESOLVED = "unresolved"
    """The mark names no source."""
    UNCHECKED = "unchecked"

    @property
    def holds(self) -> bool:
        """Is it in the source, word for word or not?"""
        return self in (Verdict.QUOTED, Verdict.SUPPORTED)


class FrozenModel(BaseModel):
    """An immutable record that is written as JSON."""

    model_config = ConfigDict(frozen=True)


class Source(FrozenModel):
    """A file that lists the paper, and where in it the quote stands, as far as the format can say.

    `start` and `end` are characters of the file, `page` counts from 1, and `box` is left, top, right, bottom
    on that page in points from its top left corner.
    """

    uri: str
    start: int | None = None
    end: int | None = None
    page: int | None = None
    box: tuple[int, int, int, int] | None = None

    @property
    def place(self) -> str:
        """The file and the place in it, such as `notes/bert.md:943-1036` or `bert.pdf, page 3`."""
        page = f", page {self.page}" if self.page is not None else ""
        return f"{self.uri}{f':{self.start}-{self.end}' if self.start is not None else ''}{page}"


class Quote(FrozenModel):
    """Exact characters of a paper: `quote` is `text[start:end]` of the document `document_id`.

    With `field`, the names of metadata such as `authors`, `quote` is what the paper's metadata say there, and
    `start` and `end` are 0.  `version` tells it from other versions of the work, if the corpus has several, and
    `superseded_by` is the document of the newest one, if that is another.  `caption` and `header` are those of
    the table that the quote is rows of, if it is.  All are empty where a mark names no source.
    """

    document_id: str | None = None
    title: str = ""
    sources: tuple[Source, ...] = ()
    start: int = 0
    end: int = 0
    quote: str = ""
    field: str = Field(default="", exclude_if=lambda name: not name)
    version: str = Field(default="", exclude_if=lambda text: not text)
    superseded_by: str = Field(default="", exclude_if=lambda text: not text)
    caption: str = Field(default="", exclude_if=lambda text: not text)
    header: str = Field(default="", exclude_if=lambda text: not text)

    @classmethod
    def of(cls, passage: Document, span: Span) -> Self:
        """The characters of *span*, which lies in *passage*."""
        begin = span_of(passage).start
        caption, header = table_of(passage)
        return cls(
            document_id=span.document_id,
            title=title_of(passage),
            sources=tuple(Source(**place) for place in places_of(passage, span)),
            start=span.start,
            end=span.end,
            quote=passage.page_content[span.start - begin : span.end - begin],
            version=str(passage.metadata.get("version_label", "")),
            superseded_by=str(passage.metadata.get("superseded_by", "")),
            caption=caption,
            header=header,
        )

    @property
    def read_out(self) -> str:
        """The quote as it is understood: each cell of a table's rows with the name of its column."""
        return read_out(self.quote, self.header) if self.header else self.quote

    @property
    def span(self) -> Span:
        return Span(str(self.document_id), self.start, self.end)


class Finding(FrozenModel):
    """A verifier's finding on one claim and one quote: the verdict, the support from 0 to 1, and why."""

    verdict: Verdict
    score: float
    reason: str
    in_words: bool = True
    """Were their words compared?  Of two languages only numbers and names can be."""


class Cited(FrozenModel):
    """What a claim rests on: a quote, and what was found of the claim against it.

    `quote` is None where the model's `mark` names no sentence of the sources.  `by_model`: the mark is the
    model's; otherwise the verifier attributed the claim to the quote.
    """

    quote: Quote | None = None
    mark: int | None = None
    by_model: bool = True
    finding: Finding | None = None

    @property
    def key(self) -> tuple[str, int, int, str]:
        """What two claims that cite the same share."""
        return (*self.quote.span, self.quote.field) if self.quote else ("", self.mark or 0, 0, "")


class Against(Quote):
    """Exact characters of a paper that say otherwise than a claim; `kind` is what differs.

    It is a number, a negation, a direction (*increases* for *decreases*), or who and what exchanged.  `score`,
    from 0 to 1, says how far the rest agrees.
    """

    kind: str
    score: float
    reason: str


class Citation(Quote):
    """One numbered source of an answer: the paper, the exact characters, and the least of its verdicts.

    `score` is the verifier's, from 0 (no support) to 1 (verbatim), `reason` why.

    Examples:
        >>> citation = rag.ask("What is the main metric of BEIR?").citations[0]
        >>> paper = rag.corpus.document(citation.document_id)
        >>> paper.page_content[citation.start : citation.end] == citation.quote
        True
    """

    number: int
    verdict: Verdict = Verdict.UNCHECKED
    score: float = 0.0
    reason: str = ""

    @classmethod
    def numbered(cls, number: int, cited: Sequence[Cited]) -> Self:
        """The citation of what claims cite under one number, which are at least one."""
        quote = cited[0].quote
        if quote is None:
            reason = f"the mark [{cited[0].mark}] names no sentence of the sources"
            return cls(number=number, verdict=Verdict.UNRESOLVED, reason=reason)
        findings = [each.finding for each in cited if each.finding]
        if not findings:
            return cls(number=number, **dict(quote))
        least = min(findings, key=lambda finding: finding.score)
        score = round(least.score, 4)
        return cls(number=number, verdict=least.verdict, score=score, reason=least.reason, **dict(quote))


class Claim(FrozenModel):
    """One sentence of the answer, without its marks, and what it rests on."""

    text: str
    verdict: Verdict = Verdict.UNCHECKED
    against: Against | None = Field(default=None, exclude_if=lambda quote: quote is None)
    """What another paper says otherwise, as far as it is among the passages that were read."""
    cites: tuple[Cited, ...] = Field(default=(), exclude=True)
    original: str = Field(default="", exclude_if=lambda text: not text)
    """What was written and judged, if `text` is a translation of it."""
    before: str = Field(default="", exclude=True)
    """The text between the previous claim and this one: a space, a bullet or the name of the quoted paper."""
    quoted: bool = Field(default=False, exclude=True)
    """Was it taken from a paper, rather than written?"""

    @property
    def is_fault(self) -> bool:
        """Was it found unsupported?"""
        return self.verdict in (Verdict.UNSUPPORTED, Verdict.UNRESOLVED)


class NumberedClaim(Claim):
    """A claim as a reader sees it: with the numbers of its citations."""

    citations: tuple[int, ...] = ()

    @property
    def marked(self) -> str:
        """What stands before it, its text, and its marks; any other number in square brackets is put in round ones."""
        return f"{unmarked(self.before + self.text)}{''.join(f' [{n}]' for n in self.citations)}"


class Abstention(FrozenModel):
    """Why there is no answer, and the titles of the papers that came closest."""

    reason: str
    nearest: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        nearest = f" Closest papers: {'; '.join(self.nearest)}." if self.nearest else ""
        return f"I cannot answer this from the papers: {self.reason}.{nearest}"


class Answer(FrozenModel):
    """The claims and the context they were written from; text and numbered citations are derived from them.

    `confidence`, from 0 to 1, is the gate's: how likely the answer is right, by its passages and its
    verdicts.  An answer that abstains since it is too uncertain has as claims the closest passages, word for word.
    `unmentioned` are the names in the question that no passage mentions, if they mention others of
    its names.  `choice` is how sure its sentences were chosen, for the gate.  `usage` adds up what all calls to chat models took: `input_tokens`, `output_tokens`, and
    `cost` where prices are known; `timings_ms` has a figure in milliseconds for each stage and `total`.

    Examples:
        >>> answer = rag.ask("How many parameters do BERT-base and BERT-large have?")
        >>> "340 million. [1]" in answer.text
        True
        >>> [claim.verdict.value for claim in answer.numbered if 1 in claim.citations]
        ['quoted']
        >>> answer.citations[0].title
        'BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding'
    """

    question: str
    abstained: Abstention | None = None
    confidence: float = 1.0
    unmentioned: tuple[str, ...] = Field(default=(), exclude_if=lambda names: not names)
    claims: tuple[Claim, ...] = ()
    small_talk: bool = Field(default=False, exclude_if=lambda is_so: not is_so)
    """Is it a reply to thanks or a greeting, which says nothing of the papers?"""
    context: tuple[Document, ...] = Field(default=(), exclude=True)
    choice: dict[str, float] = Field(default={}, exclude=True)
    usage: dict[str, int | float] = {}
    timings_ms: dict[str, float] = {}

    @computed_field(alias="answer")  # type: ignore[prop-decorator]
    @property
    def text(self) -> str:
        """The claims with the numbers of their citations, or why there is no answer, before what comes closest."""
        return f"{self.refusal}{rendered(self.numbered)}"

    @property
    def refusal(self) -> str:
        """What stands before the claims of an answer that abstains; empty for any other."""
        if not self.abstained:
            return ""
        return f"{self.abstained.text}{f' {CLOSEST}{_PARAGRAPH}' if rendered(self.numbered) else ''}"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def citations(self) -> tuple[Citation, ...]:
        """What the claims cite, numbered from 1 in order of appearance."""
        cited: dict[tuple[str, int, int, str], list[Cited]] = {}
        for claim in self.claims:
            for each in claim.cites:
                cited.setdefault(each.key, []).append(each)
        return tuple(Citation.numbered(number, each) for number, each in enumerate(cited.values(), 1))

    @property
    def numbered(self) -> tuple[NumberedClaim, ...]:
        """The claims with the numbers of their citations."""
        numbers: dict[tuple[str, int, int, str], int] = {}
        found = []
        for claim in self.claims:
            own = [numbers.setdefault(each.key, len(numbers) + 1) for each in claim.cites]
            found.append(NumberedClaim(**dict(claim), citations=tuple(dict.fromkeys(own))))
        return tuple(found)

    @property
    def faults(self) -> list[Claim]:
        """The claims that were found unsupported.

        Examples:
            >>> rag.ask("How many parameters does BERT-large have?").faults
            []
        """
        return [claim for claim in self.claims if claim.is_fault]

    def citation(self, number: int) -> Citation:
        """The citation with this number, from 1.  Raises `IndexError` if there is none.

        Examples:
            >>> rag.ask("How many parameters does BERT-large have?").citation(1).verdict.value
            'quoted'
        """
        every = self.citations
        if not 1 <= number <= len(every):
            raise IndexError(f"the answer has no citation [{number}]; it has {len(every)}")
        return every[number - 1]

    def __str__(self) -> str:
        return notebook.answer_as_text(self)

    def _repr_html_(self) -> str:
        return notebook.answer_as_html(self)

    # --- as JSON

    @field_serializer("claims")
    def _numbered_claims(self, claims: tuple[Claim, ...]) -> tuple[NumberedClaim, ...]:
        return self.numbered

    @model_validator(mode="before")
    @classmethod
    def _from_json(cls, data: Any) -> Any:
        """Claims that name their citations by number, as JSON has them, hold them again."""
        if not isinstance(data, dict) or "citations" not in data:
            return data
        cited = {each["number"]: _cited(each) for each in map(dict, data["citations"])}
        claims = [_with_cites(dict(claim), cited) for claim in data.get("claims", ())]
        text = str(data.get("answer", ""))
        said = text.partition(f" {CLOSEST}")[2] if data.get("abstained") else text
        return {**data, "claims": _placed(claims, said)}

    def as_json(self) -> dict[str, Any]:
        """Plain data, with the keys of `ragkit ask --json`, in their order; `Answer(**data)` is the answer again.

        Examples:
            >>> data = rag.ask("How many parameters does BERT-large have?").as_json()
            >>> list(data)
            ['question', 'answer', 'abstained', 'confidence', 'claims', 'citations', 'usage', 'timings_ms']
            >>> ragkit.Answer(**data).text == data["answer"]
            True
        """
        plain = self.model_dump(mode="json", by_alias=True)
        return {name: plain[name] for name in _ORDER if name in plain}


CLOSEST = "The closest passages:"
_PARAGRAPH = "\n\n"
_ORDER = (
    "question answer abstained confidence unmentioned small_talk claims citations usage timings_ms".split()
)


def _cited(citation: dict[str, Any]) -> Cited:
    """What a claim cites, from a citation in JSON."""
    if citation.get("document_id") is None:
        mark = re.search(r"\[(\d+)\]", citation.get("reason", ""))  # the number that the model wrote
        return Cited(mark=int(mark[1]) if mark else citation["number"])
    finding = {name: citation[name] for name in ("verdict", "score", "reason")}
    quote = Quote(**{name: citation[name] for name in Quote.model_fields if name in citation})
    unchecked = finding == {"verdict": "unchecked", "score": 0.0, "reason": ""}
    return Cited(quote=quote, finding=None if unchecked else Finding(**finding))


def _with_cites(claim: dict[str, Any], cited: dict[int, Cited]) -> dict[str, Any]:
    numbers = claim.pop("citations", ())
    return claim if claim.get("cites") else {**claim, "cites": tuple(cited[n] for n in numbers if n in cited)}


def _placed(claims: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """*claims* with what stands before each in the *text* of their answer."""
    at = 0
    for claim in claims:
        begin = text.find(own := unmarked(claim["text"]), at)
        if begin >= 0:
            claim["before"] = text[at:begin]
            marks = re.match(r"(?: \[\d+\])*", text[begin + len(own) :])
            at = begin + len(own) + (marks.end() if marks else 0)
    return claims


def rendered(claims: Iterable[NumberedClaim]) -> str:
    """The text of an answer: the claims in order, each followed by its citation numbers.

    Any other number in square brackets is put in round ones.
    """
    return "".join(claim.marked for claim in claims).strip()
