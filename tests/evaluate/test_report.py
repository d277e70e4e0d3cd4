"""The HTML page of an evaluation: data survives unchanged, and nothing in it can execute."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.answer import Answer, Cited, Claim, Finding, Quote, Verdict
from ragkit.evaluate.dataset import Case, Dataset
from ragkit.evaluate.evaluation import SUMMARIES, Evaluation, Result, Run
from ragkit.evaluate.measure import MEASURES, Fault
from ragkit.evaluate.outcome import Outcome, RetrievedPassage
from ragkit.evaluate.report import TEMPLATE, html

SOURCE = TEMPLATE.read_text(encoding="utf-8")
HOSTILE = "</script><img src=x onerror=alert(1)><!-- {{data}} {{title}} \\1 \u2028\u2029 &lt; \ud800 \"'"


class Page(HTMLParser):
    """The elements of a page in order, and the text of each script; fails on unbalanced tags."""

    VOID = {"meta", "img", "br", "link", "input", "wbr"}

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: dict[str, str] = {}
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data
            if self.open[-1] == "script":
                self.scripts[-1] += data

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[0])

    @property
    def ids(self) -> list[str | None]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


def evaluation(*names: str, said: str = "BM25 ranks.") -> Evaluation:
    """Each configuration answers one question with one cited claim."""
    case = Case(
        "1",
        f"How does {said} rank?",
        relevant={"okapi": 1.0},
        answer=said,
        must_include=(("ranks",),),
        kind="fact",
    )
    dataset = Dataset("questions", (case,), "d1", None)
    hit = RetrievedPassage(document_id="a", title=said, end=10, score=0.5, text=said)
    finding = Finding(verdict=Verdict.SUPPORTED, score=1.0, reason="word for word")
    cited = Cited(quote=Quote(document_id="a", title=said, quote=said), finding=finding)
    claim = Claim(text=said, verdict=Verdict.SUPPORTED, cites=(cited,))
    answer = Answer(question=case.question, confidence=0.9, claims=(claim,))
    outcome = Outcome(
        found=(hit,), context=(hit,), draft=f"{said} [1]", answer=answer, judged=answer, seconds=0.1
    )
    values = {"good": 1.0, "right": 1.0, "ndcg@10": 0.0, "ms": 100.0}
    return Evaluation(tuple(Run(name, dataset, (Result(case, outcome, values),)) for name in names))


def constant(name: str) -> Any:
    """What the page's script calls *name*, which must be JSON."""
    found = re.search(rf"^const {name} = (.*?);$", SOURCE, re.MULTILINE | re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize(
    "names", [(), ("default",), ("default", "words")], ids=["nothing", "one configuration", "two"]
)
def test_a_page_has_its_parts_and_the_data_whatever_was_evaluated(names: tuple[str, ...]) -> None:
    data = evaluation(*names).as_json()
    page = Page(html(data))
    assert page.data == data
    assert page.ids == ["scope", "nav", "main", "summary", "datasets", "questions", "svg", "data"]
    assert page.scripts[1:] == Page(SOURCE).scripts[1:]
    assert [attributes for tag, attributes in page.elements if tag == "script"] == [
        {"type": "application/json", "id": "data"},
        {},
    ]


def test_requirements_that_are_not_met_are_in_the_data() -> None:
    data = evaluation("default").as_json() | {"unmet": ["questions, default: right is 0.500, not >= 0.8"]}
    assert Page(html(data)).data == data


@pytest.mark.parametrize("hostile", [HOSTILE, "<!--<script>", "]]>", "</SCRIPT >", "\x00\x1b"])
def test_what_papers_and_answers_say_cannot_leave_the_data(hostile: str) -> None:
    data = evaluation(hostile, said=hostile).as_json()
    page = Page(html(data, title=hostile.replace("\ud800", "")))
    assert page.data == data
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in Page(SOURCE).elements]


def test_a_title_is_text() -> None:
    page = Page(html({}, title="</title><b>{{data}}</b>"))
    assert (page.texts["title"], page.texts["h1"]) == ("</title><b>{{data}}</b>",) * 2


values = st.recursive(
    st.text() | st.integers() | st.booleans() | st.none(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), values))
def test_any_data_comes_out_as_it_went_in(data: dict[str, Any]) -> None:
    embedded = html(data).partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(embedded) == data
    assert "<" not in embedded


def test_the_page_can_be_written_whatever_the_papers_hold(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(
        html(evaluation("a", said="half a pair: \ud800").as_json()), encoding="utf-8"
    )


def test_nothing_is_loaded_from_elsewhere() -> None:
    assert not re.findall(
        r"https?:|//\w+\.|url\(|@import|@font-face|\bfetch\(|XMLHttpRequest|\bimport\(", SOURCE
    )
    assert [
        tag for tag, attributes in Page(SOURCE).elements if attributes.keys() & {"src", "href", "srcset"}
    ] == []
    assert "default-src 'none'" in SOURCE


def test_texts_are_never_read_as_markup() -> None:
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc",
        SOURCE,
    )


def test_every_measure_has_a_place_and_a_description() -> None:
    placed = [measure for _, measures in constant("GROUPS") for measure in measures]
    assert sorted(placed) == sorted(MEASURES | SUMMARIES)
    assert set(constant("MAIN")) <= set(placed)
    described = Page(html(evaluation("a").as_json())).data["measures"]
    assert [name for name in placed if not described[name]["about"]] == []


def test_every_fault_and_verdict_is_put_into_words() -> None:
    assert list(constant("FAULTS")) == [fault for fault in get_args(Fault) if fault]
    found = re.search(r"^const VERDICTS = \{(.*)\};$", SOURCE, re.MULTILINE)
    assert found
    assert re.findall(r"(\w+):", found[1]) == [str(verdict) for verdict in Verdict]
