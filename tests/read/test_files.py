"""Files to papers: what kind of file it is, what papers it lists, and where in the file their text stands."""

from __future__ import annotations

import codecs
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from ragkit.document import sources_of, title_of
from ragkit.errors import LoadError, UsageError
from ragkit.read.files import Files
from ragkit.read.formats.html import Html

GLASS = (
    "Bridges of glass carry people over deep valleys and show them the ground below. In this work we measure how many people a"
    " glass bridge carries before it bends. We find that forty people are no problem, and that sixty are one when they jump."
)
STEEL = "We weigh trains on bridges of steel. None of them was too heavy."
WOOD = "Wooden bridges rot where the rain cannot run off, and a roof of slate makes them last four times as long."


def read(folder: Path, content: str | bytes, name: str = "page.txt") -> list[Document]:
    """What a file with this content lists; the text of each paper is that of the file at its offsets."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    papers = list(Files().each(path))
    text = path.read_bytes().decode(
        "utf-16" if path.read_bytes().startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    )
    for paper in papers:
        [source] = sources_of(paper)
        assert source["uri"] == str(path)
        assert text[source["start"] : source["end"]] == paper.page_content
    return papers


def listed(folder: Path, content: str | bytes, name: str = "page.txt") -> list[tuple[str, str]]:
    return [(title_of(p), p.page_content) for p in read(folder, content, name)]


def known(paper: Document) -> dict[str, Any]:
    return {k: v for k, v in paper.metadata.items() if k != "sources"}


def refusal(folder: Path, content: str | bytes, name: str = "page.txt") -> str:
    with pytest.raises(LoadError) as error:
        read(folder, content, name)
    return str(error.value)


# --- Markdown


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_front_matter_says_what_is_known_about_a_paper(tmp_path: Path, newline: str, mark: bytes) -> None:
    text = """---
title: "Glass:  Bridges"
authors: [Ann Lee, Bo Ek]
published: 2024-02-29
at: 2024-02-29 10:00:00
doi: 10.1/abc
pages: 12
open: yes
notes:
venue: {name: Bridges, days: [2024-03-01]}
---

# Glass: Bridges

They carry people.

They last.
"""
    [paper] = read(tmp_path, mark + text.replace("\n", newline).encode(), "note.md")
    assert paper.page_content == f"They carry people.{newline}{newline}They last."
    assert known(paper) == {
        "title": "Glass: Bridges",
        "authors": ["Ann Lee", "Bo Ek"],
        "published": "2024-02-29",
        "at": "2024-02-29T10:00:00",
        "doi": "10.1/abc",
        "pages": 12,
        "open": True,
        "venue": {"name": "Bridges", "days": ["2024-03-01"]},
    }


def test_titles_and_identifiers_are_read_as_they_are_written(tmp_path: Path) -> None:
    [paper] = read(tmp_path, "---\ntitle: 1.10\ndoi: 10.10\narxiv: 2301.10140\n---\nText.", "note.md")
    assert known(paper) == {"title": "1.10", "doi": "10.10", "arxiv": "2301.10140"}
    [paper] = read(tmp_path, "---\ntitle: No\ndoi: null\narxiv: ~\n---\nText.", "note.md")
    assert known(paper) == {"title": "No"}


def test_front_matter_may_use_any_name_but_those_of_ragkit_and_any_value(tmp_path: Path) -> None:
    front = 'title: Glass\ntext: 1\nstart: 2\nend: 3\nname: 4\nsources: 5\n1: {2: x, y: {z: !!set {a}}}\nhalf: "\\ud800"\nraw: !!binary YQ=='
    [paper] = read(tmp_path, f"---\n{front}\n---\nThey carry people.", "note.md")
    assert paper.page_content == "They carry people."
    assert known(paper) == {
        "title": "Glass",
        "text": 1,
        "name": 4,
        "1": {"2": "x", "y": {"z": ["a"]}},
        "half": "?",
        "raw": "b'a'",
    }


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ("title: [a", "its front matter is not YAML in line 3: expected ',' or ']', but got '<stream end>'"),
        ("title: a\nb: c: d", "its front matter is not YAML in line 3: mapping values are not allowed here"),
        ("just a sentence", "its front matter is not a YAML mapping such as `title: ...`"),
        (
            "published: 2024-02-30",
            "its front matter has a value in line 2 that YAML cannot read: day is out of range for month",
        ),
        ("title: !!python/object:os.system x", None),
        ("a: &a [*a]", None),
        ("a: " + "[" * 5000, None),
    ],
)
def test_front_matter_that_is_not_yaml_is_one_sentence_beside_the_text(
    tmp_path: Path, front: str, message: str | None
) -> None:
    try:
        [paper] = read(tmp_path, f"---\n{front}\n---\nText.", "note.md")
        assert paper.page_content == "Text."
        [said] = paper.metadata["lost"]
    except LoadError as error:  # it is no mapping, or too much of one
        said = str(error)
    assert said.startswith("its front matter ")
    assert said == (message or said)


def test_an_entry_of_front_matter_that_is_not_yaml_costs_itself(tmp_path: Path) -> None:
    front = "title: Slow worms: a review\nauthor: Roe, A.; Poe, E.\ndate: 2014-06-01\ntags: [a, b\nvenue:\n  name: Reptiles\n"
    [paper] = read(tmp_path, f"---\n{front}---\nThey lived in 26 gardens.", "note.md")
    title, tags = paper.metadata.pop("lost")
    assert "in line 2: mapping values" in title
    assert "in line 6: expected ','" in tags
    assert {k: v for k, v in known(paper).items() if k != "date"} == {
        "title": "Slow worms: a review",
        "authors": ["Roe, A.", "Poe, E."],
        "year": 2014,
        "venue": {"name": "Reptiles"},
    }


@pytest.mark.parametrize(
    ("front", "authors", "year"),
    [
        ("author: Roe, A. and Poe, E.\nyear: '2011'", ["Roe, A.", "Poe, E."], 2011),
        ("author: Ann Roe, Bo Ek and Cy Fox\ndate: 5 May 2012", ["Ann Roe", "Bo Ek", "Cy Fox"], 2012),
        ("Author: Ann Roe\nDate: 2013-01-02", ["Ann Roe"], 2013),
        ("author: [Ann Roe, Bo Ek]\ndate: 2014", ["Ann Roe", "Bo Ek"], 2014),
        ("author: {name: Ann Roe, email: a@e.org}\nyear: n.d.\ndate: 03/2015", ["Ann Roe"], 2015),
        ("author:\n- name: Ann Roe\n- {given: Bo, family: Ek}\n- Cy Fox\n", ["Ann Roe", "Bo Ek", "Cy Fox"], None),
        ("author:\n- Ann Roe:\n    institute: x\n- Bo Ek\n", ["Ann Roe", "Bo Ek"], None),
        ("authors:\n- name: {first: Ann, last: Roe}\n", ["Ann Roe"], None),
    ],
)  # fmt: skip
def test_authors_and_year_are_understood_however_they_are_written(
    tmp_path: Path, front: str, authors: list[str], year: int | None
) -> None:
    [paper] = read(tmp_path, f"---\n{front}\n---\nText.", "note.md")
    assert (paper.metadata["authors"], paper.metadata.get("year")) == (authors, year)
    assert "author" not in paper.metadata


@pytest.mark.parametrize(
    "bomb",
    [
        "a0: &a0 [xxxxxxxxxxxxxxxxxxxx]\n"
        + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)),
        "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60)),
    ],
)
def test_aliases_of_aliases_are_one_sentence_at_once(tmp_path: Path, bomb: str) -> None:
    said = refusal(tmp_path, f"---\ntitle: Glass\n{bomb}---\nText.", "note.md")
    assert said == "its front matter describes more than can be read: do its aliases multiply?"


def test_front_matter_that_forges_sections_costs_only_that_value(tmp_path: Path) -> None:
    [paper] = read(tmp_path, "---\ntitle: Glass\nsections: 7\nkind: abstract\n---\nText.", "note.md")
    assert known(paper) == {"title": "Glass"}


def test_front_matter_may_be_empty(tmp_path: Path) -> None:
    assert listed(tmp_path, "---\n---\n# Glass\n\nText.", "note.md") == [("Glass", "Text.")]


@pytest.mark.parametrize(
    ("text", "title", "rest"),
    [
        ("# Glass Bridges\n\nText.", "Glass Bridges", "Text."),
        ("\n\n#   Glass \t Bridges  ##  \r\n\r\nText.", "Glass Bridges", "Text."),
        ("# Learning C#\nText.", "Learning C#", "Text."),
        ("Glass Bridges\n=====\n\nText.", "Glass Bridges", "Text."),
        ("---\ntitle: Glass\n---\n# Introduction\nText.", "Glass", "# Introduction\nText."),
        ("# Glass\n", "Glass", ""),
    ],
)
def test_a_heading_is_the_title_and_no_part_of_the_text(
    tmp_path: Path, text: str, title: str, rest: str
) -> None:
    assert listed(tmp_path, text, "note.md") == [(title, rest)]


@pytest.mark.parametrize(
    "text", ["#\n\nText.", "#  \n\nText.", "# ##\n\nText.", "\n  \n===\nText.", "## Part\n\nText.", "Text."]
)
def test_a_title_that_is_missing_is_guessed_from_the_name(tmp_path: Path, text: str) -> None:
    [paper] = read(tmp_path, text, "glass-bridges_v2.md")
    paper.metadata.pop("sections", None)
    assert known(paper) == {"title": "glass bridges v2", "title_guessed": True}


def test_a_heading_or_front_matter_makes_a_file_of_any_name_markdown(tmp_path: Path) -> None:
    assert listed(tmp_path, "# Glass\n\nText.", "glass") == [("Glass", "Text.")]
    assert listed(tmp_path, "---\ntitle: Glass\n---\nText.", "glass.txt") == [("Glass", "Text.")]


# --- text


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_first_line_of_a_text_is_its_title_where_a_blank_line_follows(
    tmp_path: Path, newline: str
) -> None:
    text = "\n  Glass   Bridges \n \t\n They carry people.\nThey last.\n".replace("\n", newline)
    assert listed(tmp_path, text) == [("Glass Bridges", f"They carry people.{newline}They last.")]


@pytest.mark.parametrize(
    "text",
    [
        "Glass bridges\ncarry people.",
        "They carry people.\n\nThey last.",
        "Glass bridges,\n\nsteel ones.",
        "Glass bridges carry people",
        "Glass bridges carry people\n\n",
        "\n   \n\nGlass bridges carry people",
        f"{GLASS}\n\n{STEEL}",
    ],
)
def test_a_text_without_a_title_line_is_called_after_its_file(tmp_path: Path, text: str) -> None:
    [paper] = read(tmp_path, text, "glass-bridges.txt")
    assert paper.page_content == text.strip()
    assert known(paper) == {"title": "glass bridges", "title_guessed": True}


# --- every kind

LINES = [
    "Glass Bridges",
    "# Glass",
    "---",
    "title: Glass",
    "Subscribe",
    "SubscribeGlass",
    "in your email inbox!",
    GLASS,
    STEEL,
    "===",
    "",
]
lines = st.one_of(
    st.sampled_from(LINES),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20),
)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(lines, st.sampled_from(["\n", "\n\n", "\r\n", "\r"])).map("".join), max_size=12).map(
        "".join
    ),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["glass.txt", "glass.md", "glass"]),
)
def test_a_papers_text_is_that_of_the_file_at_its_offsets(text: str, encoding: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            papers = read(Path(folder), text.encode(encoding), name)
        except LoadError as error:
            assert str(error).startswith(("its front matter", "it is empty"))
        else:
            assert papers
            for paper in papers:
                assert title_of(paper).strip()
                assert paper.page_content == paper.page_content.strip()


def test_an_emoji_is_one_character_of_the_file(tmp_path: Path) -> None:
    [paper] = read(tmp_path, codecs.BOM_UTF8 + "# 😀\n\n日本語 e\u0301.".encode(), "note.md")
    assert sources_of(paper)[0]["start"] == 5


# --- encodings


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Größe", "cp1252"),
        ("Les élèves ont mesuré la forêt, très tôt.", "cp1252"),
        ("El año pasado medimos a los niños de la región.", "cp1252"),
        (
            "Žluťoučký kůň úpěl ďábelské ódy. Most ze skla unese čtyřicet lidí, řekl Novák. Každý vydrží více.",
            "cp1250",
        ),
        ("Мосты из стекла выдерживают сорок человек.", "cp1251"),
        ("Γυάλινες γέφυρες αντέχουν σαράντα ανθρώπους.", "cp1253"),
        ("玻璃桥可以承载四十个人，木桥不行。", "gb18030"),
        ("硝子の橋は四十人を支える。", "shift_jis"),
    ],
)
def test_an_encoding_is_told_by_the_bytes(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "page.txt").write_bytes(f"Plain words first.\n{text}\n".encode(encoding))
    [paper] = Files().each(tmp_path / "page.txt")
    assert paper.page_content == f"Plain words first.\n{text}"
    assert paper.metadata["encoding"] == encoding
    assert sources_of(paper)[0]["start"] == 0


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("page.html", '<html><head><meta charset="{}"></head><body><p>', "</p></body></html>"),
        ("page.xml", '<?xml version="1.0" encoding="{}"?><article><body><p>', "</p></body></article>"),
        (
            "page.tex",
            "\\documentclass{{article}}\\usepackage[{}]{{inputenc}}\\begin{{document}}",
            "\\end{document}",
        ),
    ],
)
def test_an_encoding_that_is_declared_counts(tmp_path: Path, name: str, before: str, after: str) -> None:
    for declared, encoding in (("latin1", "cp1252"), ("cp1250", "cp1250"), ("koi8-r", "koi8-r")):
        text = "Вода и мосты." if declared == "koi8-r" else "Müller óá."
        (tmp_path / name).write_bytes(f"{before.format(declared)}{text}{after}".encode(encoding))
        [paper] = Files().each(tmp_path / name)
        assert (paper.page_content, paper.metadata["encoding"]) == (text, encoding)
        (tmp_path / name).write_bytes(f"{before.format(declared)}{text}{after}".encode())
        [paper] = Files().each(tmp_path / name)  # it is in UTF-8, whatever it declares
        assert (paper.page_content, paper.metadata.get("encoding")) == (text, None)


def test_a_byte_that_cannot_be_decoded_costs_itself(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_bytes("Größe und\nMaß der Br".encode() + b"\xfccke: 40 m.\n")
    [paper] = Files().each(tmp_path / "page.txt")
    assert paper.page_content == "Größe und\nMaß der Br\ufffdcke: 40 m."
    assert paper.metadata["lost"] == ["line 2: a byte cannot be decoded as UTF-8"]


# --- files that cannot be read


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b" \r\n\t", "it is empty"),
        (codecs.BOM_UTF8, "it is empty"),
        (codecs.BOM_UTF16_LE + b"a", "it is not UTF-16: byte 1 cannot be decoded; save it as UTF-8"),
        (b"\x01\x02\x03\xff\xfe\x05" * 9, "it is not a text file"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    assert refusal(tmp_path, content).startswith(message)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, b"\x7fELF\x00\x01", "page.txt").startswith("it is not a text file")


def test_no_configured_format_may_recognise_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    with pytest.raises(LoadError, match="none of the configured formats recognises it"):
        list(Files(formats=[Html()]).each(tmp_path / "a.txt"))


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for name in ("pipe", "nowhere"):
        with pytest.raises(LoadError, match="it is not a regular file"):
            list(Files().each(tmp_path / name))


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"gl\xe4ser.txt")
    path.write_text("Text.")
    assert Files().under([tmp_path]) == [path]
    with pytest.raises(LoadError, match="its name is not UTF-8; rename it"):
        list(Files().each(path))


@contextmanager
def open_to_others() -> Iterator[Path]:
    """A folder, and no rights in it but those that everybody has."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            for path in folder.rglob("*"):
                path.chmod(0o700)


def test_what_one_may_not_read_is_refused_and_never_passed_over() -> None:
    with open_to_others() as folder:
        for name in ("closed", "blind"):
            (folder / name).mkdir()
            (folder / name / "a.txt").write_text("Text.")
        (folder / "b.txt").write_text("Text.")
        (folder / "b.txt").chmod(0o000)
        (folder / "blind").chmod(0o444)
        (folder / "closed").chmod(0o000)
        refused = {}
        for path in Files().under([folder]):
            with pytest.raises(LoadError) as error:
                list(Files().each(path))
            refused[str(path.relative_to(folder))] = str(error.value)
    assert refused == {
        "b.txt": "it cannot be read: Permission denied",
        "blind/a.txt": "it cannot be read: Permission denied",
        "closed": "it is a folder that cannot be opened",
    }


# --- finding files


def test_a_path_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"there is no file or folder '{tmp_path}/none'"):
        Files().under([tmp_path, tmp_path / "none"])


def test_files_are_found_in_order_each_once_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    for name in ("b/c.txt", "b/a.txt", ".hidden/x.txt", "b/.x.txt", "a.txt", "z.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("Text.")
    every = [tmp_path / name for name in ("a.txt", "z.txt", "b/a.txt", "b/c.txt")]
    assert Files().under([tmp_path]) == every
    assert Files().under([tmp_path / "z.txt", tmp_path / "b", tmp_path, tmp_path / "b" / ".." / "z.txt"]) == [
        every[1],
        *every[2:],
        every[0],
    ]
    assert Files().under([tmp_path / "b" / ".x.txt", tmp_path / ".hidden"]) == [
        tmp_path / "b" / ".x.txt",
        tmp_path / ".hidden" / "x.txt",
    ]
    assert Files().under([]) == []


def test_a_folder_that_is_linked_into_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert Files().under([tmp_path]) == [tmp_path / "a.txt", tmp_path / "self"]


def test_paths_may_be_relative_and_are_found_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    monkeypatch.chdir(tmp_path)
    assert Files().under(["a.txt"]) == Files().under(["."]) == [tmp_path / "a.txt"]


def test_the_configured_paths_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Glass\n\nThey carry people.")
    (tmp_path / "b.txt").write_text("Steel\n\nThey do not.")
    loaded = Files(paths=[str(tmp_path)]).load()
    assert [(title_of(p), p.page_content) for p in loaded] == [
        ("Glass", "They carry people."),
        ("Steel", "They do not."),
    ]


def test_the_digest_of_a_file_changes_with_its_content(tmp_path: Path) -> None:
    digests = []
    for text in ("Text.", "Text. ", "Text."):
        (tmp_path / "a.txt").write_text(text)
        digests.append(Files().digest(tmp_path / "a.txt"))
    assert digests[0] == digests[2] != digests[1]


@pytest.mark.parametrize("name", ["notes.tex", "README.md", "page.html"])
def test_many_comments_are_read_past(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("<!-- -->\n" * 5_000 + "<p>Glass bridges carry people.</p>")
    [found] = Files().each(tmp_path / name)
    assert "Glass bridges carry people." in found.page_content


# --- what is no paper


def test_programs_logs_and_auxiliary_files_of_a_folder_are_no_papers(tmp_path: Path) -> None:
    for name in (
        "paper.md",
        "notes.txt",
        "plot.py",
        "main.LOG",
        "main.aux",
        "s.css",
        "Makefile",
        "n.ipynb",
        "README.txt",
        "LICENSE",
    ):
        (tmp_path / name).write_text("# Ants\n\nThere are 19 ants.")
    assert [Path(found).name for found in Files().find([tmp_path])] == ["notes.txt", "paper.md"]
    assert len(Files().skipped([tmp_path])) == 8
    assert Files().find([tmp_path / "plot.py"]) == [str(tmp_path / "plot.py")]  # named: it is wanted


def test_patterns_choose_among_the_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("a.md", "plot.py", "drafts/b.md", "drafts/keep.md", "data/c.txt", "data/old/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(GLASS)
    everything = ["a.md", "c.txt", "d.txt", "b.md", "keep.md"]
    assert names(Files(), tmp_path) == everything
    assert names(Files(exclude=["drafts/", "d.*"]), tmp_path) == ["a.md", "c.txt"]
    assert names(Files(include=["*.py", "/data/*.txt"]), tmp_path) == ["plot.py", "c.txt"]
    assert names(Files(include=["*.md"], exclude=["b.md"]), tmp_path) == ["a.md", "keep.md"]
    assert names(Files(exclude=["*"]), tmp_path / "a.md") == ["a.md"]  # named: it is wanted
    (tmp_path / ".ragkitignore").write_text("# not these\ndrafts/*\n!drafts/keep.md\nold/\n")
    (tmp_path / "data" / ".ragkitignore").write_text("!d.txt\n")
    assert names(Files(), tmp_path) == ["a.md", "c.txt", "d.txt", "keep.md"]
    assert len(Files().skipped([tmp_path])) == 2
    assert Files(include=["*.md"], exclude=["b.md"]).settings == Files().settings  # nothing is read again


def test_a_line_that_is_no_pattern_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.md").write_text(GLASS)
    (tmp_path / ".ragkitignore").write_text("b.md\n!\n")
    assert names(Files(), tmp_path) == ["a.md"]
    assert ".ragkitignore: line 2 is no pattern" in caplog.text


# --- links


def test_links_that_lead_out_of_a_folder_are_skipped_unless_asked_for(tmp_path: Path) -> None:
    papers, others = tmp_path / "papers", tmp_path / "others"
    for folder in (papers, others):
        folder.mkdir()
        (folder / f"{folder.name}.txt").write_text(GLASS)
    (papers / "file.txt").symlink_to(others / "others.txt")
    (papers / "folder").symlink_to(others)
    (others / "back").symlink_to(papers)
    assert names(Files(), papers) == ["papers.txt"]
    assert [Path(link).name for link in Files().skipped([papers])] == ["file.txt", "folder"]
    following = Files(follow_links=True)
    assert names(following, papers) == ["file.txt", "papers.txt", "others.txt"]
    assert following.skipped([papers]) == []
    assert names(Files(), papers / "file.txt") == ["others.txt"]  # it is named itself
    assert following.settings == Files().settings  # so that nothing is read again


def test_links_that_stay_in_a_folder_are_read_once_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "one.txt").write_text(GLASS)
    (tmp_path / "again.txt").symlink_to("below/one.txt")
    (tmp_path / "beside").symlink_to("below")
    (tmp_path / "below" / "up").symlink_to(tmp_path)
    for files in (Files(), Files(follow_links=True)):
        assert names(files, tmp_path) == ["one.txt"]
        assert files.skipped([tmp_path]) == []


def names(files: Files, path: Path) -> list[str]:
    return [file.name for file in files.under([path])]
