"""Which quotes a claim may rest on: candidates for the verifier, proposed by their words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from langchain_core.documents import Document

from ragkit.answer import Answer, Cited, Claim, Finding, Quote, Verdict
from ragkit.document import Span, span_of, table_of, title_of
from ragkit.text.question import Asked
from ragkit.text.tables import says
from ragkit.text.words import names, numbers
from ragkit.verify.support import Setting, clauses, is_verbatim, smallest_support, support_of


class Pair(NamedTuple):
    """A claim and the quotes that are held against it together."""

    claim: str
    quotes: tuple[Quote, ...]

    @property
    def quote(self) -> str:
        return "\n".join(quote.read_out for quote in self.quotes)

    @property
    def title(self) -> str:
        """The title of the paper; of several papers, their titles; the captions of their tables."""
        every = (part for quote in self.quotes for part in (quote.title, quote.caption) if part)
        return " ".join(dict.fromkeys(every))

    @property
    def is_verbatim(self) -> bool:
        """Has a quote the claim word for word?"""
        return any(is_verbatim(self.claim, quote.quote) for quote in self.quotes)

    @property
    def is_row(self) -> bool:
        """Is the claim made of cells of a row that is quoted, each with the name of its column?"""
        return any(quote.header and says(quote.quote, quote.header, self.claim) for quote in self.quotes)

    @property
    def papers(self) -> frozenset[str]:
        return frozenset(str(quote.document_id) for quote in self.quotes)


def pair_of(claim: str, quote: Quote) -> Pair:
    return Pair(claim, (quote,))


def pairs_of(claim: Claim) -> list[Pair]:
    """*claim* and each quote that it cites."""
    return [pair_of(claim.text, cited.quote) for cited in claim.cites if cited.quote]


ADDS = 0.05
"""A quote is cited beside others if it adds so much to the score of the claim."""


def ranked(claim: Claim) -> list[Cited]:
    """The quotes that *claim* cites, the one that supports it most first."""
    cited = [each for each in claim.cites if each.quote]
    return sorted(cited, key=lambda each: -(each.finding.score if each.finding else 0.0))


def joint_pairs(claim: Claim) -> dict[int, Pair]:
    """*claim* with its two best quotes as one, its three best and so on, by their number.

    Empty if one quote supports all of it.
    """
    every = ranked(claim)
    if not every or (every[0].finding and every[0].finding.score > 1 - ADDS):
        return {}
    cited = [each for each in claim.cites if each.quote]  # in the order of the answer
    together = {n: [c.quote for c in cited if c.quote and c in every[:n]] for n in range(2, len(every) + 1)}
    return {n: Pair(claim.text, tuple(q)) for n, q in together.items() if _may_join(claim.text, q)}


def narrowed(claim: Claim, together: Mapping[int, Finding]) -> tuple[list[Cited], Finding | None]:
    """The quotes of *claim* that support it alone or add to better ones, and the best joint finding.

    *together* has the findings on the best two quotes, the best three and so on, by their number.
    """
    first, *others = ranked(claim)
    kept, best = [first], None
    reached = first.finding.score if first.finding else 0.0
    for n, cited in enumerate(others, 2):
        joint = together.get(n)
        adds = joint is not None and joint.score >= reached + ADDS
        if adds or (cited.finding and cited.finding.verdict is not Verdict.UNSUPPORTED):
            kept.append(cited)
        if joint is not None and adds:
            reached, best = joint.score, joint
    return [cited for cited in claim.cites if cited in kept], best


def _may_join(claim: str, quotes: Sequence[Quote]) -> bool:
    """May they be taken together?  Not those of several papers, where the facts of these could mix."""
    papers = {quote.document_id for quote in quotes}
    if len(papers) > 1:
        written = {
            number for word in claim.split() if any(map(str.isdigit, word)) for number in numbers(word)
        }
        shared = frozenset(numbers(quotes[0].quote)).intersection(*(numbers(q.quote) for q in quotes))
        if written - shared or max(len(part(claim)) for part in (clauses, names)) > 1:
            return False
    return True


def setting_of(asked: Asked, answer: Answer, pair: Pair) -> Setting:
    """What the answer's context has of the papers that *pair* quotes, and of each other paper."""
    found: dict[str, list[str]] = {}
    for passage in answer.context:
        found.setdefault(span_of(passage).document_id, [title_of(passage)]).append(passage.page_content)
    own = [text for paper, (_, *texts) in found.items() if paper in pair.papers for text in texts]
    others = tuple("\n".join(texts) for paper, texts in found.items() if paper not in pair.papers)
    return Setting(asked.text, "\n".join(own), others)


def joined(cites: Sequence[Cited], answer: Answer, finding: Finding) -> list[Cited]:
    """*cites*, with neighbouring quotes merged where, by *finding*, only both together support the claim."""
    found: list[Cited] = []
    for cited in cites:
        last = found[-1] if found else None
        whole = None
        if last and last.quote and cited.quote and _needed(last, finding) and _needed(cited, finding):
            whole = _around(last.quote, cited.quote, answer)
        if last and whole:
            found[-1] = last.model_copy(update={"quote": whole, "finding": finding})
        else:
            found.append(cited)
    return found


def _needed(cited: Cited, together: Finding) -> bool:
    """Does it support its claim less than all of them together?"""
    return cited.finding is together or (
        cited.finding is not None and cited.finding.score < together.score - ADDS
    )


def _around(first: Quote, second: Quote, answer: Answer) -> Quote | None:
    """Both quotes as one, if only white space separates them in a passage of the answer's context."""
    span = Span(str(first.document_id), min(first.start, second.start), max(first.end, second.end))
    for passage in answer.context:
        whole = span_of(passage)
        if first.document_id == second.document_id and whole.holds(span):
            between = slice(
                min(first.end, second.end) - whole.start, max(first.start, second.start) - whole.start
            )
            return None if passage.page_content[between].strip() else Quote.of(passage, span)
    return None


def best_span(answer: Answer, claim: str, paper: str | None = None) -> Quote | None:
    """The span of the context (of *paper* only, if given) that best supports *claim*, if there is one."""
    passages = [p for p in answer.context if paper is None or span_of(p).document_id == paper]
    return next(iter(best_quotes(claim, passages, 1)), None)


def best_quotes(claim: str, passages: Sequence[Document], most: int) -> list[Quote]:
    """The spans, at most one of each of *passages* and *most* in all, that have most of *claim*; the best first."""
    found = [(smallest_support(claim, p.page_content, _called(p)), p) for p in passages]
    spans: dict[Span, Document] = {}
    for ((start, end), _), passage in sorted(found, key=lambda each: -each[0][1]):
        whole = span_of(passage)
        spans.setdefault(Span(whole.document_id, whole.start + start, whole.start + end), passage)
    return [Quote.of(passage, span) for span, passage in list(spans.items())[:most]]


def _called(passage: Document) -> str:
    """The title of a passage, and what stands over its rows if it is of a table."""
    return "\n".join(part for part in (title_of(passage), *table_of(passage)) if part)


def best_spans(asked: Asked, answer: Answer, claim: Claim) -> dict[Pair, Quote]:
    """Each part of *claim* with the best span for it, from its own quotes or else the context.

    Empty if the claim has no parts.  A part belongs to the paper of the part before, unless it names
    something from the question or from the other paper's title.
    """
    parts = clauses(claim.text)
    cited = [each.quote for each in claim.cites if each.quote]
    found: dict[Pair, Quote] = {}
    paper: str | None = None
    for part in parts if len(parts) > 1 else ():
        here = [
            q for q in cited if paper is None or q.document_id == paper or _is_about(part, q.title, asked)
        ]
        setting = Setting(asked.text)
        best = next((q for q in here if support_of(part, q.quote, q.title, setting=setting).holds), None)
        best = best or best_span(answer, part)
        if best and paper not in (None, best.document_id) and not _is_about(part, best.title, asked):
            best = best_span(answer, part, paper)
        if best is None:
            return {}
        found[pair_of(part, best)] = best
        paper = best.document_id
    return found


def _is_about(part: str, title: str, asked: Asked) -> bool:
    """Does *part* name something that stands in *title*, or that the question names?"""
    known = f"{title} {asked.text}".casefold()
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", known) for name in names(f"of {part}"))
