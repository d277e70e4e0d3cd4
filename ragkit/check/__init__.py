"""From a text of one's own to verdicts: the check flow.

split -> retrieve -> fuse -> refine -> (verify, against, missing) of each claim

A claim is a sentence, or a part of one that cites for itself.  What it cites, it is held against; a claim that cites
nothing is held against the whole corpus.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from langchain_core.documents import Document

from ragkit.answer import Against, Answer, Cited, Claim, Quote, Verdict
from ragkit.ask import AnswerPipeline, refined
from ragkit.check.references import Library, Reference, Resolver
from ragkit.check.result import Check, CheckedClaim, JudgedQuote
from ragkit.document import Span, places_of, searchable, span_of
from ragkit.errors import LoadError, NoCorpus, UsageError
from ragkit.flow import Flow, call
from ragkit.index import Snapshot
from ragkit.read.formats.bibliography import BibTex
from ragkit.read.formats.encoding import decode
from ragkit.read.formats.latex import Latex
from ragkit.read.formats.tagged import Ris
from ragkit.text import references
from ragkit.text.facts import has_name
from ragkit.text.language import language_of
from ragkit.text.question import Asked, Query
from ragkit.text.references import Mark, ReferenceEntry, Statement
from ragkit.text.syntax import pipeline as parser
from ragkit.text.words import STOPWORDS, names, stem, stems, words
from ragkit.verify import Verifier
from ragkit.verify.against import against
from ragkit.verify.attribution import best_quotes
from ragkit.verify.evidence import EvidenceVerifier
from ragkit.verify.support import clause_spans
from ragkit.where import Where

# --- what is checked


@dataclass(frozen=True)
class CheckRequest:
    """A text to check against a state of a corpus; *described* are the entries of a bibliography beside it, *listed*
    those of a list of references.  Superseded versions of papers count only with *versions*.
    """

    snapshot: Snapshot
    text: str
    described: Sequence[Document] = ()
    listed: Sequence[ReferenceEntry] = ()
    where: Where | None = None
    versions: bool = False


class _Item(NamedTuple):
    """A claim before it is judged, at its place in the text as it is read, its marks masked."""

    start: int
    masked: str
    marks: tuple[Mark, ...]
    references: tuple[Reference, ...] = ()

    @property
    def end(self) -> int:
        return self.start + len(self.masked)

    @property
    def text(self) -> str:
        """What is judged."""
        return references.without_marks(self.masked)

    def part(self, start: int, end: int) -> _Item:
        return self._replace(start=self.start + start, masked=self.masked[start:end])

    @property
    def papers(self) -> frozenset[str]:
        """Those that it cites, as far as the corpus holds them."""
        return frozenset(identity for each in self.references for identity in each.document_ids)


class _Judged(NamedTuple):
    """A claim with the verifier's verdict, and the passages that were found for it."""

    item: _Item
    claim: Claim
    passages: Sequence[Document]


def text_of(name: Path | str, content: bytes | None = None) -> str:
    """The text of a file, or of *content* from elsewhere.

    Raises `UsageError` for a file that cannot be read or is no text.
    """
    try:
        found = Path(name).read_bytes() if content is None else content
        if found.startswith(b"%PDF-"):
            raise LoadError("it is a PDF")
        return decode(found)
    except OSError as error:
        raise UsageError(f"'{name}' cannot be read: {error.strerror}") from None
    except LoadError as error:
        raise UsageError(f"'{name}' is not text: {error}; give plain text, Markdown or LaTeX") from None


def bibliography(path: Path) -> tuple[list[Document], list[ReferenceEntry]]:
    """The entries of a file of references: BibTeX, RIS, or a list of references in plain text.

    Raises `UsageError` for a file that cannot be read or has none.
    """
    text = text_of(path)
    try:
        for form in (BibTex(), Ris()):
            if form.recognises_text(path.name, text):
                return list(form.papers_in(path.name, text)), []
    except LoadError as error:
        raise UsageError(f"the references in '{path}' cannot be read: {error}") from None
    listed = [] if path.suffix == ".bib" else references.entries(text)
    if not listed:
        raise UsageError(f"'{path}' has no references; name a BibTeX or RIS file, or a list of references")
    return [], listed


def flow(pipeline: AnswerPipeline, given: CheckRequest) -> Flow[Check]:
    """split -> retrieve -> fuse -> refine -> verify.  Raises `UsageError` for a text without a claim."""
    if not given.snapshot.corpus.value("SELECT 1 FROM chunks LIMIT 1"):
        raise NoCorpus(
            f"the corpus in '{given.snapshot.corpus.name}' holds no text to check against; `ragkit ingest PATH` adds papers"
        )
    text, items = yield from call("split", _items, given)
    verifier = pipeline.verify or EvidenceVerifier()
    free = yield from _passages(pipeline, given, items, None)
    cited = yield from _cited(pipeline, given, items)
    judged = yield from _judged(
        verifier, items, [own or every for own, every in zip(cited, free, strict=True)]
    )
    judged, free = yield from _by_parts(verifier, judged, free)
    elsewhere = yield from _elsewhere(verifier, judged, free)
    found = yield from call("against", _against, judged, free)
    claims = [
        _checked(given.text, text, each, other, opposing)
        for each, other, opposing in zip(judged, elsewhere, found, strict=True)
    ]
    return Check(claims=tuple(claims))


# --- splitting


class _ReadText(NamedTuple):
    """The text as it is read, and the LaTeX paper that it is of, if it is."""

    text: str
    keys: frozenset[str]
    paper: Document | None = None
    skipped: Sequence[tuple[int, int]] = ()

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where `text[start:end]` stands in the text given."""
        if self.paper is None:
            return start, end
        [found] = places_of(self.paper, Span("", start, end))
        return found["start"], found["end"]


def _items(given: CheckRequest) -> tuple[_ReadText, list[_Item]]:
    """The claims of a text, and what each cites."""
    if not given.text.strip():
        raise UsageError("there is no text to check; give a file, or a text on standard input")
    source = _read(given.text)
    end, listed = references.split_references(source.text)
    split = [
        item
        for statement in references.statements(source.text[:end], source.keys)
        if not any(start <= statement.start < stop for start, stop in source.skipped)
        for item in _parts_of(statement)
        if _is_claim(item)
    ]
    if not split:
        raise UsageError("the text says nothing that could be checked: it has no statement")
    marked = any(item.marks for item in split)
    library = Library.of(given.snapshot.corpus, given.versions) if marked else Library({}, {})
    resolve = Resolver(library, [*given.listed, *listed], given.described)
    return source, [
        item._replace(references=tuple(map(resolve, dict.fromkeys(item.marks)))) for item in split
    ]


def _read(text: str) -> _ReadText:
    """LaTeX as it prints; any other text as it is."""
    if not references.is_latex(text):
        return _ReadText(text, frozenset())
    try:
        [paper] = Latex().papers_in("", text)
    except (LoadError, RecursionError):
        return _ReadText(text, frozenset())
    parts = paper.metadata.get("sections", ())
    skipped = [(p["start"], p["end"]) for p in parts if p["kind"] in ("heading", "references")]
    paper.metadata["sources"][0]["uri"] = ""
    return _ReadText(paper.page_content, references.cited_keys(text), paper, skipped)


def _parts_of(statement: Statement) -> Iterator[_Item]:
    """A sentence as one claim, or one for each part that cites for itself; a mark stands for what leads up to it."""
    spans = clause_spans(statement.masked)
    own: list[list[Mark]] = [[] for _ in spans]
    for at, mark in statement.marks:
        owner = max((n for n, (start, _) in enumerate(spans) if statement.start + start <= at), default=0)
        own[owner].append(mark)
    for n in range(len(spans) - 2, -1, -1):
        own[n] = own[n] or own[n + 1]
    first = 0
    for n in range(1, len(spans) + 1):
        if n == len(spans) or own[n] != own[first]:
            whole = _Item(statement.start, statement.masked, tuple(own[first]))
            yield whole.part(spans[first][0], spans[n - 1][1])
            first = n


def _is_claim(item: _Item) -> bool:
    """Does it state something?  Headings and questions do not."""
    if not stems(item.text) or item.text.startswith("#") or item.text.endswith(("?", ":")):
        return False
    if (
        item.text[-1] in ".!"
        or item.marks
        or any(map(str.isdigit, item.text))
        or language_of(item.text) != "en"
    ):
        return True
    return any(token.pos_ in ("VERB", "AUX") for token in parser()(item.text))


# --- retrieving


def _passages(
    pipeline: AnswerPipeline, given: CheckRequest, items: Sequence[_Item], papers: frozenset[str] | None
) -> Flow[list[Sequence[Document]]]:
    """The passages for each claim, as the refiners leave them."""
    queries = [Query(item.text) for item in items]
    found = yield from pipeline.found_each(given.snapshot, queries, given.where, papers, given.versions)
    kept: list[Sequence[Document]] = []
    for query, passages in zip(queries, found, strict=True):
        kept.append((yield from refined(pipeline.refine, Asked.of(query), passages)))
    return kept


def _cited(
    pipeline: AnswerPipeline, given: CheckRequest, items: Sequence[_Item]
) -> Flow[list[Sequence[Document] | None]]:
    """The passages for each claim from the papers that it cites; None where it cites none."""
    found: list[Sequence[Document] | None] = [None] * len(items)
    for papers in dict.fromkeys(item.papers for item in items if item.papers):
        own = [n for n, item in enumerate(items) if item.papers == papers]
        every = yield from _passages(pipeline, given, [items[n] for n in own], papers)
        for n, passages in zip(own, every, strict=True):
            found[n] = passages
    return found


# --- judging

_HELD_AGAINST = 3
"""So many spans, each of another passage, are a claim's candidates: the first by words is not always the best."""


def _judged(
    verifier: Verifier, items: Sequence[_Item], passages: Sequence[Sequence[Document]]
) -> Flow[list[_Judged]]:
    """Each claim, judged by the verifier over its passages; claims that cite the same papers share theirs."""
    found: dict[int, _Judged] = {}
    for papers in dict.fromkeys(item.papers for item in items):
        own = [n for n, item in enumerate(items) if item.papers == papers]
        claims = tuple(
            Claim(
                text=items[n].text,
                cites=tuple(map(_candidate, best_quotes(items[n].text, passages[n], _HELD_AGAINST))),
            )
            for n in own
        )
        context = {span_of(p): p for n in own for p in passages[n]}
        answer = Answer(question="", claims=claims, context=tuple(context.values()))
        verdicts = yield from verifier.flow(Asked.of(""), answer)
        for n, claim in zip(own, verdicts.claims, strict=True):
            found[n] = _Judged(items[n], claim, passages[n])
    return [found[n] for n in range(len(items))]


def _candidate(quote: Quote) -> Cited:
    return Cited(quote=quote, by_model=False)


def _by_parts(
    verifier: Verifier, judged: Sequence[_Judged], free: Sequence[Sequence[Document]]
) -> Flow[tuple[list[_Judged], list[Sequence[Document]]]]:
    """*judged*, with an unsupported sentence cut into its parts where some of these are supported."""
    split = {n: _cut(each.item) for n, each in enumerate(judged) if each.claim.verdict is Verdict.UNSUPPORTED}
    every = [(n, part) for n, parts in split.items() if len(parts) > 1 for part in parts]
    again = yield from _judged(verifier, [p for _, p in every], [judged[n].passages for n, _ in every])
    parts: dict[int, list[_Judged]] = {}
    for (n, _), each in zip(every, again, strict=True):
        parts.setdefault(n, []).append(each)
    found: list[tuple[_Judged, Sequence[Document]]] = []
    for n, each in enumerate(judged):
        supported = [part.claim.verdict.holds for part in parts.get(n, ())]
        told = parts[n] if any(supported) and not all(supported) else [each]
        found += [(one, free[n]) for one in told]
    return [one for one, _ in found], [passages for _, passages in found]


def _cut(item: _Item) -> list[_Item]:
    return [item.part(start, end) for start, end in clause_spans(item.masked)]


def _elsewhere(
    verifier: Verifier, judged: Sequence[_Judged], free: Sequence[Sequence[Document]]
) -> Flow[list[JudgedQuote | None]]:
    """For each claim whose papers do not support it the quote of another paper that does."""
    lacking = [n for n, each in enumerate(judged) if each.item.papers and not each.claim.verdict.holds]
    others = [[p for p in free[n] if span_of(p).document_id not in judged[n].item.papers] for n in lacking]
    items = [judged[n].item._replace(references=()) for n in lacking]
    again = (yield from _judged(verifier, items, others)) if lacking else []
    found: list[JudgedQuote | None] = [None] * len(judged)
    for n, each in zip(lacking, again, strict=True):
        if each.claim.verdict.holds:
            found[n] = _quotes(each.claim)[0]
    return found


# --- what says otherwise


def _against(judged: Sequence[_Judged], free: Sequence[Sequence[Document]]) -> list[Against | None]:
    """For each claim the sentence of its passages that says otherwise, if there is one."""
    return [
        against(each.item.text, [*each.passages, *every], _supporting(each.claim))
        for each, every in zip(judged, free, strict=True)
    ]


def _supporting(claim: Claim) -> list[Span]:
    """What a claim that holds rests on."""
    return [cited.quote.span for cited in claim.cites if cited.quote] if claim.verdict.holds else []


# --- what is told


def _checked(
    given: str, source: _ReadText, judged: _Judged, elsewhere: JudgedQuote | None, opposing: Against | None
) -> CheckedClaim:
    item, claim = judged.item, judged.claim
    start, end = source.place(item.start, item.end)
    verdict, reason = _verdict(item, claim, opposing)
    quotes = _quotes(claim)
    if item.references and not item.papers:  # they are of papers that it does not cite
        elsewhere, quotes = (quotes[0] if claim.verdict.holds else None), []
    return CheckedClaim(
        text=given[start:end],
        claim=item.text,
        start=start,
        end=end,
        line=given.count("\n", 0, start) + 1,
        verdict=verdict,
        reason=reason,
        references=tuple(_held(each, claim) for each in item.references),
        quotes=tuple(quotes),
        against=opposing,
        elsewhere=elsewhere,
        missing=tuple(_missing(item.text, judged.passages)) if not claim.verdict.holds else (),
    )


_QUOTED = 2
"""So many quotes are shown for a claim."""


def _quotes(claim: Claim) -> list[JudgedQuote]:
    """The quotes that support *claim*, the best first, or the one that has most of its words."""
    every = [JudgedQuote.judged(cited) for cited in claim.cites if cited.quote]
    if not claim.verdict.holds:
        return every[:1]
    return sorted(every, key=lambda quote: -quote.score)[:_QUOTED]


def _verdict(item: _Item, claim: Claim, opposing: Against | None) -> tuple[Verdict, str]:
    """The verdict on a claim, and why in one sentence."""
    if item.references and not item.papers:
        unresolved = any(each.verdict is Verdict.UNRESOLVED for each in item.references)
        return (Verdict.UNRESOLVED if unresolved else Verdict.UNCHECKED), item.references[0].reason
    best = next(iter(_quotes(claim)), None)
    if claim.verdict.holds or best is None:
        return claim.verdict, best.reason if best else "no passage is about it"
    return claim.verdict, opposing.reason if opposing else best.reason


def _held(reference: Reference, claim: Claim) -> Reference:
    """*reference*, with whether its papers say the claim."""
    if not reference.document_ids:
        return reference
    own = [
        cited.finding
        for cited in claim.cites
        if cited.quote and cited.finding and cited.quote.document_id in reference.document_ids
    ]
    reason = own[0].reason if own else "no passage of it supports the claim"
    verdict = claim.verdict if own or claim.verdict is Verdict.UNCHECKED else Verdict.UNSUPPORTED
    return reference.model_copy(update={"verdict": verdict, "reason": reason})


def _missing(claim: str, passages: Sequence[Document]) -> list[str]:
    """The content words, numbers and names of *claim* that no passage has, as they are written."""
    whole = "\n".join(map(searchable, passages))
    known, folded = frozenset(stems(whole)), whole.casefold()
    lost = {name for name in names(claim) if not has_name(name, folded, known)}
    found = dict.fromkeys(
        word.strip(".,;:!?()[]“”\"'")
        for word in claim.split()
        if (word.strip(".,;:!?()[]“”\"'").casefold() in lost)
        or any(each not in STOPWORDS and len(each) > 1 and stem(each) not in known for each in words(word))
    )
    return [word for word in found if word]
