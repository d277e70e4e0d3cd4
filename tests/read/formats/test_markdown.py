"""Markdown: what is seen of it."""

from __future__ import annotations

import html
import time

import pytest
from langchain_core.documents import Document

from ragkit.document import Span, places_of
from ragkit.read.formats.markdown import Markdown


def read(text: str) -> Document:
    [paper] = Markdown().papers("note.md", text.encode())
    return paper


@pytest.mark.parametrize(
    ("text", "shown", "hidden"),
    [
        ("One.\n\n<!-- no -->\nTwo.", "One.\n\nTwo.", {"comment": 9}),
        ("One <!-- no\n\nno --> two.", "One two.", {"comment": 11}),
        ("<!-- no -->\n# Glass\n\nOne.", "One.", {"comment": 9}),
        ("One.\n[//]: # (no)\nTwo.", "One.\nTwo.", {"comment": 10}),
        ("One ~~no **no**~~ two.", "One two.", {"struck out": 12}),
        ("~~No <!-- no --> no.~~ One. ~~No.~~", "One.", {"struck out": 25}),
        ("One <del>no\n\nno</del> two.", "One two.", {"struck out": 15}),
        ("One ~~ two ~~ three, H~2~O, a ~~ b.", None, {}),
        ("One ~~two\n\nthree~~ four.", None, {}),
        ("`<!-- a -->` and ``~~b~~ ` `` and \\~~c~~ and `d.", None, {}),
        ("```html\n<!-- a -->\n~~b~~\n````\n\nOne.", None, {}),
        ("~~~\n<!-- a -->\n```\n", None, {}),
        ("One <!-- two.", None, {}),
        ("One &lt; two &amp; 20&nbsp;cm &#181; &nothing; `&lt;` a&#124;b.", "One < two & 20\xa0cm µ &nothing; `&lt;` a&#124;b.", {}),
    ],
)  # fmt: skip
def test_comments_and_struck_text_of_markdown_are_left_out_and_counted(
    text: str, shown: str | None, hidden: dict[str, int]
) -> None:
    for whole in (text, f"---\ntitle: Glass\n---\n{text}\n"):
        paper = read(whole)
        paper.metadata["sources"][0]["uri"] = "note.md"
        assert paper.page_content == (text if shown is None else shown).strip()
        assert paper.metadata.get("hidden", {}) == hidden
        for start in range(len(paper.page_content)):
            [place] = places_of(paper, Span("", start, start + 1))
            there = whole[place["start"] : place["end"]]
            assert paper.page_content[start] in (there, html.unescape(there))


@pytest.mark.parametrize(
    "unit",
    ["`", "~~", "<!--", "<!-- a -->", "~~a~~", "&lt;", "`a", "<del>", "</del>", "```\n", "\n\n", "a ~~b "],
)
def test_markdown_of_many_marks_is_read_at_once(unit: str) -> None:
    began = time.process_time()
    read("# Glass\n\nText. " + unit * 40_000)
    read("# Glass\n\nText. " + "".join("`" * n + " " for n in range(400)) + unit * 1000)
    assert time.process_time() - began < 5
