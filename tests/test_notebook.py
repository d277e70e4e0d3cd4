"""What `print` and a notebook show: words and shapes for verdicts, and nothing of a paper that runs or hides."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from langchain_core.documents import Document
from support import NOTES, ROOT

import ragkit
from ragkit.answer import Abstention, Against, Answer, Cited, Claim, Finding, Quote, Source, Verdict
from ragkit.evaluate.dataset import Case, Dataset
from ragkit.evaluate.evaluation import Evaluation, Result, Run
from ragkit.evaluate.outcome import Outcome

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\x07<img src=x onerror=alert(2)>&lt;"
VOID = {"br", "hr"}


class _Page(HTMLParser):
    """The elements, attributes and text of some HTML; fails if an element is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def cited(text: str, verdict: Verdict, quote: str = "", title: str = "Terns", page: int | None = 3) -> Claim:
    source = Source(uri="/home/ada/papers/terns.pdf", page=page)
    found = Quote(document_id=title, title=title, sources=(source,), end=len(text), quote=quote or text)
    finding = Finding(verdict=verdict, score=0.5, reason="")
    return Claim(text=text, before=" ", verdict=verdict, cites=(Cited(quote=found, finding=finding),))


@pytest.fixture
def answer() -> Answer:
    claims = (
        cited("There were 340 pairs.", Verdict.QUOTED),
        cited("Rats ate the eggs.", Verdict.SUPPORTED, "The eggs fell to rats."),
        cited("Storms helped.", Verdict.UNSUPPORTED, "A storm."),
        Claim(text="Nobody saw it.", before=" ", verdict=Verdict.UNRESOLVED, cites=(Cited(mark=7),)),
        Claim(text="It was fine.", before=" "),
    )
    known = {"document_id": "Terns", "start": 0, "end": 9, "title": "Terns", "year": 2019}
    context = (Document("A passage.", metadata={**known, "authors": ["Ada Reed", "Zoe Ash"]}),)
    return Answer(question="How many terns?", claims=claims, context=context, confidence=0.87)


def hostile() -> Answer:
    metadata = {"document_id": HOSTILE, "start": 0, "end": 9, "year": HOSTILE, "authors": [HOSTILE]}
    claim = cited(HOSTILE, Verdict.SUPPORTED, HOSTILE, HOSTILE)
    return Answer(question=HOSTILE, claims=(claim,), context=(Document(HOSTILE, metadata=metadata),))


WORDS = (
    "word for word in its source",
    "supported by its source",
    "not supported by its source",
    "names no source",
    "not checked",
)


# --- print


def test_a_printed_answer_is_its_text_with_marks_then_its_sources_with_verdicts_in_words(
    answer: Answer,
) -> None:
    said = str(answer)
    text, _, sources = said.partition("\n\n")
    assert text.startswith(
        "There were 340 pairs. [1] Rats ate the eggs. [2] Storms helped. [3] (not supported"
    )
    assert "[1] Terns (Reed and Ash, 2019), terns.pdf, page 3: word for word in its source" in sources
    assert "“The eggs fell to rats.”" in sources
    assert "Confidence 87%" in sources
    assert [words for words in WORDS[:4] if words not in said] == []


def test_a_printed_abstention_says_why(answer: Answer) -> None:
    abstained = Answer(
        question="?", abstained=Abstention(reason="no passage is relevant", nearest=("Terns",))
    )
    assert str(abstained) == abstained.text
    closest = answer.model_copy(update={"abstained": abstained.abstained, "claims": answer.claims[:1]})
    assert str(closest).startswith(closest.text)
    assert "[1] Terns" in str(closest)


def test_a_printed_answer_of_the_example_papers_reads_well(rag: ragkit.Rag) -> None:
    said = str(rag.ask("How many parameters do BERT-base and BERT-large have?"))
    assert "340 million. [1]" in said
    assert "(Devlin et al., 2019), bert.md: word for word in its source" in said


def test_what_is_printed_controls_no_terminal() -> None:
    assert {"\x1b", "\x07", "\u202e"} & set(str(hostile())) == set()


# --- notebooks


def test_each_sentence_has_its_verdict_in_words_and_a_shape_of_its_own(answer: Answer) -> None:
    page = _Page(answer._repr_html_())
    shapes = set()
    for words in WORDS:
        before = page.text.partition(f" {words}")[0]
        assert before != page.text, words
        shapes.add(before[-1])
    assert len(shapes) == len(WORDS)
    assert not any(shape.isalnum() or shape.isspace() for shape in shapes)


def test_citations_unfold_with_what_is_known_of_the_paper(answer: Answer) -> None:
    page = _Page(answer._repr_html_())
    assert page.tags.count("details") == 4
    assert page.tags.count("blockquote") == 3  # the mark that names no source has no quote
    for part in ("Ada Reed, Zoe Ash", "2019", "terns.pdf, page 3", "The eggs fell to rats."):
        assert part in page.text
    assert "/home/ada" not in page.text  # a shared notebook tells nobody how folders are called


def shown() -> Iterator[object]:
    yield hostile()
    yield hostile().model_copy(update={"abstained": Abstention(reason=HOSTILE, nearest=(HOSTILE,))})
    failure = {"source": HOSTILE, "error": HOSTILE}
    numbers = dict.fromkeys(
        "files entries documents duplicates variants descriptions chunks encoded".split(), 1
    )
    yield ragkit.IngestReport(**numbers, failed=(failure,), lost=(failure,), seconds=1.0)


@pytest.mark.parametrize("one", list(shown()), ids=lambda one: type(one).__name__)
def test_nothing_of_a_paper_becomes_an_element_or_controls_the_page(one: object) -> None:
    html = one._repr_html_()  # type: ignore[attr-defined]
    page = _Page(html)
    assert set(page.tags).isdisjoint({"script", "img", "style", "link", "a"})
    assert page.attributes <= {"style", "class", "open", "colspan"}
    assert "<script>alert(1)</script>\ufffd[31m" in page.text
    assert "onerror=alert(2)>&lt;" in page.text
    assert {"\x1b", "\x07", "\u202e"} & set(html) == set()


def test_no_colour_is_fixed_so_that_light_and_dark_pages_can_be_read(answer: Answer) -> None:
    html = answer._repr_html_()
    assert "color:" not in html.replace("border-color:", "")
    assert "background" not in html


def test_a_formula_of_a_paper_is_left_as_it_stands(answer: Answer) -> None:
    assert answer._repr_html_().startswith('<div class="ragkit tex2jax_ignore mathjax_ignore"')


def test_an_answer_read_from_json_is_shown_too(answer: Answer) -> None:
    again = Answer.model_validate(answer.as_json())
    assert "terns.pdf, page 3" in _Page(again._repr_html_()).text
    assert "[1] Terns, terns.pdf, page 3: word for word" in str(again)


def test_what_another_paper_says_otherwise_is_shown(answer: Answer) -> None:
    told = Against(
        title="Gulls", quote="There were 12 pairs.", kind="number", score=0.9, reason="12, not 340"
    )
    claim = answer.claims[0].model_copy(update={"against": told})
    contested = answer.model_copy(update={"claims": (claim,)})
    for said in (str(contested), _Page(contested._repr_html_()).text):
        assert "12, not 340. Gulls: “There were 12 pairs.”" in said


def test_a_damaged_corpus_is_said(tmp_path: Path) -> None:
    rag = ragkit.load(corpus=tmp_path)
    (tmp_path / "corpus.sqlite").write_bytes(b"no database" * 1000)
    assert "rag.ingest" not in _Page(rag._repr_html_()).text


def test_small_talk_has_no_verdict() -> None:
    reply = Answer(question="Thanks!", claims=(Claim(text="You are welcome."),), small_talk=True)
    assert str(reply) == "You are welcome."
    assert "not checked" not in reply._repr_html_()


def test_a_rag_shows_its_corpus_and_its_stages(rag: ragkit.Rag, tmp_path: Path) -> None:
    page = _Page(rag._repr_html_())
    for part in ("48 papers", "143 passages", "retrieve", "dense", "lexical", "extractive", "verify"):
        assert part in page.text
    empty = ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "none")
    assert "nothing is ingested yet" in _Page(empty._repr_html_()).text
    assert not (tmp_path / "none").exists()


def test_reports_of_ingest_evaluation_and_check_are_tables(rag: ragkit.Rag, tmp_path: Path) -> None:
    report = ragkit.load(corpus=tmp_path / "c").ingest(NOTES / "bert.md")
    assert "1 new" in _Page(report._repr_html_()).text
    found = rag.check("BERT-large has 340 million parameters.")
    assert "by its source" in _Page(found._repr_html_()).text


def test_an_evaluation_is_a_small_table() -> None:
    results = tuple(
        Result(Case(str(n), "Why?", answer="So."), Outcome(), {"right": float(n > 1)}) for n in range(6)
    )
    runs = (Run("mine", Dataset(HOSTILE, (), "digest"), results),)
    page = _Page(Evaluation(runs, notes=(HOSTILE,))._repr_html_())
    assert "mine" in page.text
    assert "right0.667 [" in page.text
    assert "script" not in page.tags
