"""References in the formats of other programs, and answers in citation styles."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ragkit.pipeline_file  # noqa: F401  (registers every component)
from ragkit import config
from ragkit.answer import Answer
from ragkit.errors import UsageError
from ragkit.export import FORMATS, answer_of, bibtex, cited, in_style, items, markdown, ris
from ragkit.rag import Rag
from ragkit.read.files import Files

PIPELINE = """
define: {{words: &w bm25}}
corpus: {corpus}
ingest: {{chunk: whole, index: *w}}
answer: {{retrieve: {{type: lexical, index: *w}}, generate: extractive, verify: evidence}}
"""
TERNS = "The island held 340 pairs of terns in the summer."


@pytest.fixture
def rag(tmp_path: Path) -> Rag:
    rag = config.loads(Rag, PIPELINE.format(corpus=tmp_path / "corpus"))
    rag.add(
        TERNS,
        title="The {BERT} of 50% & $5 terns_in ~Ärö",
        authors=["Ada Reed", "Ludwig van Beethoven", "OpenAI"],
        year=2019,
        venue="Birds & Seas",
        doi="10.1234/terns_1",
        pages="12-34",
        volume="7",
    )
    rag.add(
        "Boats carried 40 people.",
        title="Boats *of* glass",
        authors=["Bo Lee"],
        arxiv="2101.00007",
        year=2021,
    )
    rag.add("Boats carried 50 people.", title="Boats [of] steel", authors=["Ann Lee"], year=2021)
    return rag


def exported(rag: Rag) -> list[dict[str, object]]:
    return items(rag.corpus, [paper.id for paper in rag.papers()])


def test_keys_are_unique_and_do_not_depend_on_what_is_exported(rag: Rag) -> None:
    keys = {str(item["title"])[:12]: item["id"] for item in exported(rag)}
    assert keys == {
        "Boats *of* g": "lee2021boats",
        "Boats [of] s": "lee2021boatsb",
        "The {BERT} o": "reed2019bert",
    }
    [steel] = items(rag.corpus, [rag.paper("steel").id])
    assert steel["id"] == "lee2021boatsb"


@pytest.mark.parametrize(("form", "ending"), [(bibtex, "bib"), (ris, "ris")])
def test_what_is_written_is_read_again_as_it_was(
    rag: Rag, tmp_path: Path, form: Callable[..., str], ending: str
) -> None:
    (tmp_path / f"a.{ending}").write_text(form(exported(rag)))
    read = {paper.metadata["key"]: paper.metadata for paper in Files().each(tmp_path / f"a.{ending}")}
    known = {
        name: read["reed2019bert"][name] for name in ("title", "year", "venue", "doi", "pages", "volume")
    }
    braces = "The {BERT} of 50% & $5 terns_in ~Ärö"
    assert known.pop("title").replace("{", "").replace("}", "") == braces.replace("{", "").replace("}", "")
    assert known == {
        "year": 2019,
        "venue": "Birds & Seas",
        "doi": "10.1234/terns_1",
        "pages": "12-34",
        "volume": "7",
    }
    assert [name.split()[-1] for name in read["reed2019bert"]["authors"]] == ["Reed", "Beethoven", "OpenAI"]
    assert read["lee2021boats"]["arxiv"] == "2101.00007"


def test_bibtex_escapes_what_latex_takes_for_commands(rag: Rag) -> None:
    text = bibtex(items(rag.corpus, [rag.paper("terns_in").id]))
    assert r"{\{BERT\}} of 50\% \& \$5 terns\_in \textasciitilde{}Ärö}" in text
    assert "author = {Reed, Ada and van Beethoven, Ludwig and {OpenAI}}" in text
    assert "journal = {Birds \\& Seas}" in text
    assert "doi = {10.1234/terns_1}" in text
    assert text.startswith("@article{reed2019bert,")


def test_markdown_has_a_line_for_each_paper(rag: Rag) -> None:
    assert markdown(items(rag.corpus, [rag.paper("glass").id])) == (
        "- Bo Lee (2021). *Boats \\*of\\* glass*. <https://arxiv.org/abs/2101.00007>\n"
    )
    assert FORMATS.keys() == {"bibtex", "csl-json", "ris", "markdown"}
    assert markdown([]) == bibtex([]).strip() == ris([]) == ""


def test_an_answer_is_cited_in_a_style(rag: Rag) -> None:
    answer = rag.ask("How many pairs of terns did the island hold?")
    assert cited(rag.corpus, answer) == [rag.paper("terns_in").id]
    again = answer_of(json.dumps(answer.as_json()), "it")
    styled = in_style(rag.corpus, again, "apa")
    assert "340 pairs of terns in the summer. (Reed et al., 2019)" in styled.text
    [reference] = styled.references
    assert reference.startswith("Reed, A., van Beethoven, L., & OpenAI. (2019).")
    numbered = in_style(rag.corpus, again, "ieee")
    assert numbered.text.endswith(" [1]")
    assert numbered.references[0].startswith("[1] A. Reed")
    with pytest.raises(UsageError, match="there is no citation style 'ieeee'; similar ones are ieee"):
        in_style(rag.corpus, again, "ieeee")
    with pytest.raises(UsageError, match=r"there is no file 'none\.csl'"):
        in_style(rag.corpus, again, "none.csl")


def test_a_cited_paper_that_is_gone_is_named(rag: Rag, caplog: pytest.LogCaptureFixture) -> None:
    answer = rag.ask("How many pairs of terns did the island hold?")
    rag.remove("terns_in")
    assert cited(rag.corpus, answer) == []
    assert "the corpus does not hold “The {BERT} of 50%" in caplog.text
    assert in_style(rag.corpus, answer, "apa").references == ()


def test_without_the_extra_one_sentence_says_what_to_install(
    rag: Rag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "citeproc", None)
    with pytest.raises(UsageError, match=r"citing in a style needs citeproc; pip install 'ragkit\[cite\]'"):
        in_style(rag.corpus, Answer(question="q"), "apa")


@pytest.mark.parametrize("content", ["", "[]", "3", '{"a": 1}', '{"question": 1}', "\x00"])
def test_what_is_no_answer_is_one_sentence(content: str) -> None:
    with pytest.raises(UsageError, match="'a.json' is no answer: give one that `ragkit ask --json` printed"):
        answer_of(content, "'a.json'")


def test_the_command_line_exports_and_cites(
    rag: Rag, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "p.yaml").write_text(PIPELINE.format(corpus=tmp_path / "corpus"))
    answer = rag.ask("How many pairs of terns did the island hold?")
    (tmp_path / "a.json").write_text(json.dumps(answer.as_json()))
    given = ("--config", "p.yaml")
    assert command("export", "--cited-in", "a.json", *given).stdout.startswith("@article{reed2019bert,")
    assert len(json.loads(command("export", "--format", "csl-json", *given).stdout)) == 3
    one = json.loads(command("export", "glass", "--format", "ris", "--json", *given).stdout)
    assert (one["papers"], one["text"][:10]) == (["lee2021boats"], "TY  - GEN\n")
    assert "(Reed et al., 2019)" in json.loads(command("cite", "a.json", "--json", *given).stdout)["text"]
    shown = command("cite", "a.json", "--style", "ieee", *given).stdout.splitlines()
    assert (shown[0][-4:], shown[1], shown[2][:4]) == (" [1]", "", "[1] ")
    for arguments, sentence in (
        (["export", "--format", "word"], "there is no format 'word': choose bibtex, csl-json, ris, markdown"),
        (["cite", "none.json"], "'none.json' cannot be read: No such file or directory;"),
        (["cite", "-"], "standard input is no answer: give one that `ragkit ask --json` printed"),
    ):
        wrong = command(*arguments, *given)
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert wrong.stderr.startswith(sentence)
