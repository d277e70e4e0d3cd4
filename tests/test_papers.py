"""Papers one by one: the list, the names by which they are found, corrections, removal, and what programs add."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.documents import Document

import ragkit.pipeline_file  # noqa: F401  (registers every component)
from ragkit import config
from ragkit.doctor import examine
from ragkit.errors import NoCorpus, UsageError
from ragkit.ingest import IngestPipeline
from ragkit.plan import plan
from ragkit.rag import Rag

PIPELINE = """
define: {{dense: &d {{type: flat, embed: {{type: hashed}}}}, words: &w bm25}}
corpus: {corpus}
ingest: {{chunk: whole, index: [*d, *w]}}
answer: {{retrieve: [{{type: dense, store: *d}}, {{type: lexical, index: *w}}], generate: extractive}}
"""
TERNS, BOATS, GULLS = (
    "The island held 340 pairs of terns in the summer after the storm, most of them on shingle.",
    "Wooden boats carried 40 people across the sound before the bridge was opened in spring.",
    "Gulls on the northern cliffs lost every second egg to rats, as counts of three years show.",
)


def made(folder: Path) -> Rag:
    return config.loads(Rag, PIPELINE.format(corpus=folder / "corpus"))


def write(folder: Path, name: str, text: str, **front: object) -> Path:
    (folder / "papers").mkdir(exist_ok=True)
    matter = "".join(f"{key}: {value}\n" for key, value in front.items())
    (folder / "papers" / name).write_text(f"---\n{matter}---\n{text}\n")
    return folder / "papers" / name


@pytest.fixture
def rag(tmp_path: Path) -> Rag:
    write(tmp_path, "terns.md", TERNS, title="Terns of the island", authors="[Ada Reed]", year=2019)
    write(tmp_path, "boats.md", BOATS, title="Boats of the island", doi="10.1234/boats", year=2021)
    write(tmp_path, "gulls.md", GULLS, title="Gulls and rats", arxiv="2101.00007", authors="[Zoe Ann Ash]")
    rag = made(tmp_path)
    rag.ingest(tmp_path / "papers")
    return rag


def titles(rag: Rag) -> list[str]:
    return [paper.title for paper in rag.papers()]


def found(rag: Rag, words: str) -> list[str]:
    return [hit.metadata["title"] for hit in rag.search(words, k=1)]


# --- lists


def test_papers_are_listed_filtered_and_sorted(rag: Rag, tmp_path: Path) -> None:
    assert titles(rag) == ["Boats of the island", "Gulls and rats", "Terns of the island"]
    [boats] = rag.papers("year >= 2020")
    assert (boats.year, boats.doi, boats.pages, boats.passages) == (2021, "10.1234/boats", None, 1)
    assert boats.files == (str((tmp_path / "papers" / "boats.md").resolve()),)
    assert [paper.year for paper in rag.papers(sort="year")] == [2019, 2021, None]
    assert [paper.year for paper in rag.papers(sort="-year")] == [2021, 2019, None]
    assert [paper.author for paper in rag.papers(sort="author")] == ["Ada Reed", "Zoe Ann Ash", ""]
    with pytest.raises(UsageError, match=r"cannot be sorted by 'yaer' \(did you mean 'year'\?\)"):
        rag.papers(sort="yaer")


def test_a_field_that_no_paper_has_is_an_error_with_a_suggestion(rag: Rag) -> None:
    sentence = r"no paper has a field 'yaer', which the filter asks for \(did you mean 'year'\?\)"
    for ask in (rag.papers, lambda where: rag.search("terns", where=where)):
        with pytest.raises(UsageError, match=sentence):
            ask("yaer >= 2020 and year exists")
    assert rag.papers("venue = Nature") == []  # a usual field, which none has here


# --- names


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("terns", "Terns of the island"),
        ("rats GULLS", "Gulls and rats"),
        ("gulls and rats", "Gulls and rats"),
        ("10.1234/boats", "Boats of the island"),
        ("https://doi.org/10.1234/BOATS", "Boats of the island"),
        ("arXiv:2101.00007v2", "Gulls and rats"),
    ],
)
def test_a_paper_is_found_by_words_of_its_title_and_by_its_identifiers(
    rag: Rag, name: str, title: str
) -> None:
    assert rag.paper(name).title == title


def test_a_paper_is_found_by_the_beginning_of_its_id(rag: Rag) -> None:
    for paper in rag.papers():
        assert rag.paper(paper.id[:10]) == paper


def test_an_ambiguous_name_lists_the_candidates_and_an_unknown_one_the_closest_titles(rag: Rag) -> None:
    with pytest.raises(UsageError, match="may be any of 2 papers: .*“Boats of the island”.*“Terns of the"):
        rag.paper("island")
    with pytest.raises(
        UsageError, match="no paper is called 'trens'; the closest titles are “Terns of the island”;"
    ):
        rag.paper("trens")
    for nothing in ("", "  ", "qqqq"):
        with pytest.raises(UsageError, match=f"no paper is called '{nothing}'; `ragkit list` shows all"):
            rag.paper(nothing)


def test_where_there_is_no_corpus_none_is_made(tmp_path: Path) -> None:
    rag = made(tmp_path)
    for use in (rag.papers, lambda: rag.remove("x"), lambda: rag.edit("x", year=2020)):
        with pytest.raises(NoCorpus):
            use()
    assert not (tmp_path / "corpus").exists()


# --- corrections


def test_a_correction_is_seen_everywhere_and_can_be_taken_back(rag: Rag) -> None:
    edited = rag.edit("terns", year="1999", authors="Eve Moor; Ada Reed", venue=" Ibis ", doi="doi:10.1/T")
    assert (edited.year, edited.authors, edited.venue) == (1999, ("Eve Moor", "Ada Reed"), "Ibis")
    assert edited.corrected == ("year", "authors", "venue", "doi")
    assert [paper.title for paper in rag.papers("year = 1999")] == ["Terns of the island"]
    assert rag.search("terns", where="venue = Ibis")[0].metadata["authors"] == ["Eve Moor", "Ada Reed"]
    assert rag.paper("10.1/t").id == edited.id
    back = rag.edit("terns", year=None, doi="")
    assert (back.year, back.doi, back.corrected) == (2019, "", ("authors", "venue"))
    with pytest.raises(UsageError, match="no paper is called"):
        rag.paper("10.1/t")


def test_a_corrected_title_is_searched_and_the_old_one_is_not(rag: Rag) -> None:
    assert rag.edit("terns", title="Zygomorphic birds").title == "Zygomorphic birds"
    assert found(rag, "zygomorphic") == ["Zygomorphic birds"]
    assert examine(rag).problems == ()
    assert rag.edit("zygomorphic", title="").title == "Terns of the island"
    assert found(rag, "zygomorphic") != ["Zygomorphic birds"]
    assert examine(rag).problems == ()


def test_a_corrected_title_reaches_the_indexes_of_other_configurations(rag: Rag, tmp_path: Path) -> None:
    text = PIPELINE.replace("chunk: whole", "chunk: section").format(corpus=tmp_path / "corpus")
    other = config.loads(Rag, text)
    other.ingest()
    rag.edit("terns", title="Zygomorphic birds")
    other.ingest()
    assert found(other, "zygomorphic") == ["Zygomorphic birds"]
    assert examine(other).problems == ()


def test_a_paper_that_is_gone_is_not_indexed_again_for_its_corrected_title(rag: Rag, tmp_path: Path) -> None:
    other = config.loads(
        Rag, PIPELINE.replace("chunk: whole", "chunk: section").format(corpus=tmp_path / "corpus")
    )
    other.ingest()
    rag.edit("terns", title="Zygomorphic birds")
    (tmp_path / "papers" / "terns.md").unlink()
    other.ingest(tmp_path / "papers", prune=True)
    assert found(other, "zygomorphic") != ["Zygomorphic birds"]
    assert examine(other).problems == ()


def test_a_correction_that_was_broken_off_is_indexed_by_the_next_ingest(
    rag: Rag, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(IngestPipeline, "fill", broken_off)
        with pytest.raises(KeyboardInterrupt):
            rag.edit("terns", title="Zygomorphic birds")
    rag.ingest()
    assert found(rag, "zygomorphic") == ["Zygomorphic birds"]
    assert rag.ingest().encoded == 0


def broken_off(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["terns.md", "moved.md"])
def test_a_correction_survives_a_new_ingest_of_a_changed_or_moved_file(
    rag: Rag, tmp_path: Path, name: str
) -> None:
    rag.edit("terns", year=1999)
    (tmp_path / "papers" / "terns.md").unlink()
    text = TERNS if name == "moved.md" else f"{TERNS} They left in August."
    write(tmp_path, name, text, title="Terns of the island", authors="[Ada Reed]", year=2019)
    for _ in range(2):
        rag.ingest(tmp_path / "papers", prune=True)
        [paper] = rag.papers("year = 1999")
        assert (paper.title, paper.corrected) == ("Terns of the island", ("year",))
    rag.edit("terns", year="")
    write(tmp_path, name, f"{text} Once more.", title="Terns of the island", year=2019)
    rag.ingest(tmp_path / "papers", prune=True)
    assert rag.paper("terns").year == 2019


def test_a_correction_passes_to_no_other_paper_with_the_title(rag: Rag, tmp_path: Path) -> None:
    rag.edit("terns", year=1999)
    write(tmp_path, "other.md", GULLS[::-1], title="Terns of the island", authors="[Max Berg]", year=2001)
    rag.ingest(tmp_path / "papers")
    assert sorted(str(paper.year) for paper in rag.papers("title = 'Terns of the island'")) == [
        "1999",
        "2001",
    ]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "nothing to correct: give a field and a value"),
        ({"yaer": 2020}, r"'yaer' cannot be corrected \(did you mean 'year'\?\)"),
        ({"year": "soon"}, "'soon' is not a year: give four digits"),
        ({"doi": "boats"}, "doi=boats is no DOI"),
    ],
)
def test_a_correction_that_cannot_be_is_one_sentence(
    rag: Rag, values: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        rag.edit("terns", **values)
    assert rag.paper("terns").corrected == ()


# --- removal


def test_a_removed_paper_is_gone_and_stays_so_until_its_file_is_named(rag: Rag, tmp_path: Path) -> None:
    file = tmp_path / "papers" / "terns.md"
    assert rag.remove("terns").title == "Terns of the island"
    assert titles(rag) == ["Boats of the island", "Gulls and rats"]
    assert "Terns of the island" not in found(rag, "pairs of terns")
    assert examine(rag).problems == ()
    rag.ingest(tmp_path / "papers")
    write(tmp_path, "terns.md", f"{TERNS} They left in August.", title="Terns of the island", year=2019)
    rag.ingest(tmp_path / "papers")
    assert titles(rag) == ["Boats of the island", "Gulls and rats"]
    assert (plan(rag, tmp_path / "papers").changed, plan(rag, file).changed) == (0, 1)
    assert rag.ingest(file).changed == 1
    assert titles(rag) == ["Boats of the island", "Gulls and rats", "Terns of the island"]
    assert found(rag, "pairs of terns") == ["Terns of the island"]
    rag.ingest(tmp_path / "papers")
    assert len(titles(rag)) == 3


def test_of_a_file_with_several_papers_one_is_removed(tmp_path: Path) -> None:
    lines = [
        f'{{"title": "{title}", "text": "{text}"}}\n' for title, text in (("Terns", TERNS), ("Gulls", GULLS))
    ]
    file = tmp_path / "papers.jsonl"
    file.write_text("".join(lines))
    rag = made(tmp_path)
    rag.ingest(file)
    rag.remove("terns")
    file.write_text("".join([*lines, f'{{"title": "Boats", "text": "{BOATS}"}}\n']))
    (tmp_path / "more").mkdir()
    rag.ingest(tmp_path)
    assert titles(rag) == ["Boats", "Gulls"]


def test_all_versions_of_a_paper_are_removed(tmp_path: Path) -> None:
    for number in (1, 2):
        text = TERNS.replace("340", str(300 + number))
        write(tmp_path, f"{number}.md", text, title="Terns", arxiv=f"2101.00007v{number}")
    rag = made(tmp_path)
    assert rag.ingest(tmp_path / "papers").variants == 1
    rag.remove("terns")
    rag.ingest(tmp_path / "papers")
    assert titles(rag) == []
    assert rag.search("terns", versions=True) == []


# --- what a program adds


def test_texts_and_documents_of_a_program_are_papers(rag: Rag, tmp_path: Path) -> None:
    report = rag.add("Owls hunt voles on the moor at night.", title="Owls of the moor", year=2020)
    assert (report.documents, report.new) == (4, 1)
    assert found(rag, "voles") == ["Owls of the moor"]
    rag.add([Document("Crabs moult twice a year.", metadata={"title": "Crabs", "source": "notes:1"})])
    rag.add(Document("Crabs moult three times a year.", metadata={"title": "Crabs", "source": "notes:1"}))
    assert [paper.title for paper in rag.papers("title = Crabs")] == ["Crabs"]
    assert "three" in rag.search("crabs moult", k=1)[0].page_content
    assert rag.add("Owls hunt voles on the moor at night.", title="Owls of the fen").changed == 1
    assert "Owls of the fen" in titles(rag)
    rag.ingest(tmp_path / "papers", prune=True)
    rag.ingest(prune=True)
    assert len(titles(rag)) == 5
    assert examine(rag).problems == ()
    with pytest.raises(UsageError, match="needs text"):
        rag.add(" ")


def test_what_was_removed_can_be_added_again(rag: Rag) -> None:
    for _ in range(2):
        rag.add("Owls hunt voles on the moor at night.", title="Owls of the moor")
        assert found(rag, "voles") == ["Owls of the moor"]
        rag.remove("owls")
        assert "Owls of the moor" not in titles(rag)


def test_paths_are_read_like_files_of_an_ingest(rag: Rag, tmp_path: Path) -> None:
    owls = write(tmp_path, "owls.md", "Owls hunt voles on the moor at night.", title="Owls of the moor")
    report = rag.add(owls)
    assert (report.new, report.documents, found(rag, "voles")) == (1, 4, ["Owls of the moor"])
    assert rag.paper("owls").files == (str(owls.resolve()),)
    rag.remove("owls")
    assert rag.add([owls, tmp_path / "papers" / "terns.md"]).documents == 4  # what is named is wanted again
    (tmp_path / "papers" / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    assert [Path(each.source).name for each in rag.add(tmp_path / "papers").failed] == ["broken.pdf"]


@pytest.mark.parametrize("text", ["{folder}/papers/terns.md", "{folder}/papers"])
def test_a_text_is_never_taken_for_a_path_and_one_that_looks_like_it_is_refused(
    rag: Rag, tmp_path: Path, text: str
) -> None:
    with pytest.raises(
        UsageError, match=r"is there as a file or folder: give Path\('.*'\) to read it, or Docum"
    ):
        rag.add(text.format(folder=tmp_path))
    rag.add(Document(text.format(folder=tmp_path)), title="A path")
    assert "A path" in titles(rag)


def test_what_cannot_be_added_is_one_sentence_and_nothing_is_added(rag: Rag, tmp_path: Path) -> None:
    terns = tmp_path / "papers" / "terns.md"
    before = rag.papers()
    for given, known, sentence in (
        (3, {}, "a paper is a text, a LangChain Document or a Path, not int"),
        (None, {}, "a paper is a text, a LangChain Document or a Path, not NoneType"),
        (b"bytes", {}, "a paper is a text, a LangChain Document or a Path, not bytes"),
        ({"title": "x"}, {}, "a paper is a text, a LangChain Document or a Path, not dict"),
        (["A text of a paper.", 3], {}, "a paper is a text, a LangChain Document or a Path, not int"),
        ([terns, "A text."], {}, "give paths and texts in calls of their own"),
        (
            terns,
            {"title": "Terns"},
            "a file says itself what is known of it: leave out title=, and use `edit`",
        ),
        (tmp_path / "none.md", {}, "none.md"),
        (["A text of a paper.", Document("\n")], {}, "needs text"),
        ("", {}, "needs text"),
    ):
        with pytest.raises(UsageError, match=sentence):
            rag.add(given, **known)  # type: ignore[arg-type]
    assert rag.papers() == before


def test_a_record_names_its_paper_and_what_is_no_name_is_one_sentence(rag: Rag) -> None:
    [terns] = rag.papers("title contains terns")
    assert rag.paper(terns) == terns
    assert rag.edit(terns, year=2001).year == 2001
    assert rag.remove(terns).title == terns.title
    assert terns.title not in titles(rag)
    for use in (rag.paper, rag.remove, rag.edit):
        with pytest.raises(UsageError, match="a paper is called by a text, such as its id or title, not int"):
            use(3)  # type: ignore[arg-type]


def test_a_filter_and_a_question_of_another_type_are_one_sentence(rag: Rag) -> None:
    for use in (rag.papers, lambda where: rag.search("terns", where=where)):
        with pytest.raises(UsageError, match="a filter is a text such as 'year >= 2020', not int"):
            use(2020)  # type: ignore[arg-type]
    for ask in (rag.ask, rag.search):
        with pytest.raises(UsageError, match="a question is a text, not int"):
            ask(3)  # type: ignore[arg-type]
