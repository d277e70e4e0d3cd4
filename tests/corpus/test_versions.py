"""Versions of one paper: the newest answers, the others are kept, found on request, and named as such."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import ragkit.pipeline_file  # noqa: F401  (registers every component)
from ragkit import config
from ragkit.answer import Answer
from ragkit.check.references import Library
from ragkit.conversation import Conversation
from ragkit.corpus.versions import Version, in_order, labels
from ragkit.doctor import examine, vacuum
from ragkit.document import contradict, identity_keys, span_of
from ragkit.errors import CorpusError
from ragkit.rag import Rag

PIPELINE = """
define: {{dense: &d {{type: flat, embed: {{type: hashed}}}}, words: &w bm25}}
corpus: {corpus}
ingest: {{chunk: whole, index: [*d, *w]}}
answer: {{retrieve: [{{type: dense, store: *d}}, {{type: lexical, index: *w}}], generate: extractive}}
"""
TERNS = "The island held {} pairs of terns in the summer after the storm, and most of them nested on shingle."


def rag(folder: Path) -> Rag:
    return config.loads(Rag, PIPELINE.format(corpus=folder / "corpus"))


def write(folder: Path, name: str, text: str, **front: object) -> None:
    (folder / "papers").mkdir(exist_ok=True)
    matter = "".join(f"{key}: {value}\n" for key, value in front.items())
    (folder / "papers" / name).write_text(f"---\n{matter}---\n{text}\n")


def found(made: Rag, **options: Any) -> list[tuple[str, str]]:
    """The texts that a search finds, in order of their files, and which versions they are."""
    hits = made.search("pairs of terns", **options)
    return [
        (hit.page_content, hit.metadata.get("version_label", ""))
        for hit in sorted(hits, key=lambda hit: str(hit.metadata["sources"]))
    ]


def test_every_way_to_ask_takes_versions(tmp_path: Path) -> None:
    for number, pairs in ((1, 212), (2, 340)):
        write(tmp_path, f"{number}.md", TERNS.format(pairs), title="Terns", arxiv=f"2101.00007v{number}")
    made = rag(tmp_path)
    made.ingest(tmp_path / "papers")
    question = "How many pairs of terns did the island hold?"
    assert len(made.as_retriever().invoke(question)) == 1
    assert len(made.as_retriever(versions=True).invoke(question)) == 2
    assert len(asyncio.run(made.as_retriever(versions=True).ainvoke(question))) == 2
    chat, asking = Conversation(made), made.as_runnable()
    assert len(chat.ask(question).context) == len(asking.invoke({"question": question}).context) == 1
    for answer in (
        chat.ask(question, versions=True),
        asyncio.run(chat.aask(question, versions=True)),
        asking.invoke({"question": question, "versions": True}),
    ):
        assert len(answer.context) == 2


@pytest.mark.parametrize("names", [("a.md", "b.md"), ("b.md", "a.md")])
def test_the_newest_version_of_an_arxiv_paper_answers_whatever_is_read_first(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    first, second = TERNS.format(212), TERNS.format(340)
    write(tmp_path, names[0], first, title="Terns of the island", arxiv="2101.00007v1")
    write(tmp_path, names[1], second, title="Terns of an island", arxiv="2101.00007v2")
    made = rag(tmp_path)
    report = made.ingest(tmp_path / "papers")
    assert (report.documents, report.entries, report.duplicates, report.variants) == (1, 2, 0, 1)
    assert found(made) == [(second, "v2")]
    assert sorted(found(made, versions=True)) == [(first, "v1"), (second, "v2")]
    assert "340" in made.ask("How many pairs of terns did the island hold?").text
    [paper] = report.versions
    assert [version.version for version in paper.versions] == ["v2", "v1"]
    assert [Path(version.sources[0]).name for version in paper.versions] == [names[1], names[0]]
    assert paper.because == ("the same arXiv id 2101.00007",)
    assert examine(made).problems == ()


def test_a_citation_says_which_version_it_is_of(tmp_path: Path) -> None:
    write(tmp_path, "a.md", TERNS.format(212), title="Terns", arxiv="2101.00007v1", year=2021)
    write(tmp_path, "b.md", TERNS.format(340), title="Terns", arxiv="2101.00007v2", year=2022)
    made = rag(tmp_path)
    made.ingest(tmp_path / "papers")
    question = "How many pairs of terns did the island hold?"
    [newest] = made.ask(question).as_json()["citations"]
    assert newest["version"] == "v2, 2022"
    assert "superseded_by" not in newest
    answer = made.ask(question, where="year = 2021", versions=True)
    [older] = answer.as_json()["citations"]
    assert (older["version"], older["superseded_by"]) == ("v1, 2021", newest["document_id"])
    assert Answer.model_validate(answer.as_json()).citations[0].version == "v1, 2021"
    text = made.corpus.document(older["document_id"])
    assert text
    assert text.page_content[older["start"] : older["end"]] == older["quote"]
    assert older["sources"][0]["start"] is not None
    assert made.ask(question, where="year = 2021").abstained


def test_what_is_published_answers_rather_than_its_preprint(tmp_path: Path) -> None:
    doi = "10.48550/arXiv.2101.00007"
    write(tmp_path, "a.md", TERNS.format(212), title="Terns", doi=doi, authors="[Ann Orr]", year=2021)
    write(
        tmp_path,
        "b.md",
        TERNS.format(340),
        title="Terns",
        doi="10.1234/birds.7",
        authors="[A. Orr]",
        year=2021,
    )
    write(tmp_path, "c.md", TERNS.format(95), title="Terns", doi="10.1234/birds.8", authors="[A. Orr]")
    made = rag(tmp_path)
    report = made.ingest(tmp_path / "papers")
    assert (report.documents, report.variants) == (2, 1)
    assert found(made) == [(TERNS.format(340), "published, 2021"), (TERNS.format(95), "")]


def test_an_older_version_answers_again_once_the_newest_is_gone(tmp_path: Path) -> None:
    write(tmp_path, "a.md", TERNS.format(212), title="Terns", arxiv="2101.00007v1")
    made = rag(tmp_path)
    made.ingest(tmp_path / "papers")
    write(tmp_path, "b.md", TERNS.format(340), title="Terns", arxiv="2101.00007v2")
    made.ingest(tmp_path / "papers")
    assert found(made) == [(TERNS.format(340), "v2")]
    (tmp_path / "papers" / "b.md").unlink()
    report = made.ingest(tmp_path / "papers", prune=True)
    assert (report.encoded, report.pruned, report.versions) == (0, 1, ())
    assert found(made) == [(TERNS.format(212), "")]


def test_readers_have_the_old_version_until_the_new_one_is_indexed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.md", TERNS.format(212), title="Terns", arxiv="2101.00007v1")
    made = rag(tmp_path)
    made.ingest(tmp_path / "papers")
    write(tmp_path, "b.md", TERNS.format(340), title="Terns", arxiv="2101.00007v2")
    reader, seen = rag(tmp_path), []
    for _ in made.ingest_events(tmp_path / "papers"):
        seen.append([text for text, _ in found(reader)])
    seen.append([text for text, _ in found(reader)])
    assert seen[-1] == [TERNS.format(340)]
    assert {tuple(texts) for texts in seen} == {(TERNS.format(212),), (TERNS.format(340),)}


def test_the_same_text_twice_is_merged_and_the_report_says_why(tmp_path: Path) -> None:
    write(tmp_path, "a.md", TERNS.format(212), title="Terns", doi="10.1234/birds.7")
    write(tmp_path, "b.md", TERNS.format(212), title="On terns", doi="https://doi.org/10.1234/BIRDS.7")
    made = rag(tmp_path)
    for _ in range(2):
        [merged] = made.ingest(tmp_path / "papers").merged
        assert (Path(merged.source).name, Path(merged.same_as).name) == ("b.md", "a.md")
        assert merged.because == ("the same DOI 10.1234/birds.7",)
    assert made.ingest(tmp_path / "papers").versions == ()


def version(name: str, characters: int = 100, searched: bool = True, **known: object) -> Version:
    return Version(name, known, characters, searched, (name, 0))


@pytest.mark.parametrize(
    ("versions", "right"),
    [
        ([version("a", arxiv="1.1v2"), version("b", arxiv="1.1v10")], "b a"),
        ([version("a", arxiv="1.1v2", year=2018), version("b", arxiv="1.1v1", year=2019)], "a b"),
        ([version("a", year=2018), version("b", year=2020), version("c", year=2019)], "b c a"),
        ([version("a", date="2020-03-01"), version("b", date="2020-05-01")], "b a"),
        ([version("a", arxiv="1.1v3", year=2019), version("b", doi="10.1/x", year=2020)], "b a"),
        ([version("a", year=2020), version("b", year=2020, venue="Journal of Terns")], "b a"),
        ([version("a", year=2020, venue="bioRxiv"), version("b", venue="Journal of Terns")], "b a"),
        ([version("a", version=2), version("b", version="3")], "b a"),
        ([version("a"), version("b")], "a b"),
        ([version("a", 9000, year=2019), version("b", 900, year=2020)], "a b"),
        ([version("a", year=2019), version("b", year=2020, searched=False)], "a b"),
    ],
)
def test_versions_are_ordered_by_number_date_and_publication(versions: list[Version], right: str) -> None:
    ordered = [v.document for v in in_order(versions)]
    assert ordered == [v.document for v in in_order(versions[::-1])]
    assert ordered == right.split()


def test_a_reference_means_the_newest_version_of_a_paper(tmp_path: Path) -> None:
    write(tmp_path, "a.md", TERNS.format(212), title="Terns", arxiv="2101.00007v1")
    write(tmp_path, "b.md", TERNS.format(340), title="The terns", arxiv="2101.00007v2")
    (tmp_path / "papers" / "refs.bib").write_text("@misc{orr21, title = {Terns}, eprint = {2101.00007v1}}")
    made = rag(tmp_path)
    made.ingest(tmp_path / "papers")
    library, [newest] = Library.of(made.corpus), made.corpus.paper_ids()
    assert set(library.facts) == {newest}
    assert library.written("arXiv:2101.00007v1") == library.keys["orr21"] == (newest,)


def test_labels_tell_versions_apart() -> None:
    assert labels([version("b", arxiv="1.1v2", year=2020), version("a", arxiv="1.1v1", year=2019)]) == [
        "v2, 2020",
        "v1, 2019",
    ]
    assert labels([version("a"), version("b")]) == ["version 2 of 2", "version 1 of 2"]
    assert labels([version("a", 9000, doi="10.1/x"), version("b", 90, doi="10.1/x")]) == [
        "published",
        "published, abstract",
    ]


def test_a_preprint_and_what_is_published_of_it_have_different_dois() -> None:
    from langchain_core.documents import Document

    def keys(doi: str) -> list[str]:
        return identity_keys(Document("", metadata={"title": "Terns", "doi": doi}))

    assert keys("10.48550/arXiv.2101.00007v2") == ["arxiv:2101.00007", "title:terns"]
    assert not contradict(keys("10.1101/2021.01.01.1v2"), keys("10.1234/birds.7"))
    assert contradict(keys("10.1101/2021.01.01.1"), keys("10.1101/2021.01.01.2"))
    assert contradict(keys("10.1234/birds.7"), keys("10.1234/birds.8"))


# --- files, vectors and layouts that are of the past


def test_a_report_tells_new_changed_and_unchanged_files(tmp_path: Path) -> None:
    write(tmp_path, "a.md", TERNS.format(212), title="Terns")
    write(tmp_path, "b.md", "Gulls eat chips.", title="Gulls")
    made = rag(tmp_path)

    def told() -> tuple[int, int, int, int]:
        report = made.ingest(tmp_path / "papers")
        return report.files, report.new, report.changed, report.unchanged

    assert told() == (2, 2, 0, 0)
    write(tmp_path, "b.md", "Gulls eat fish.", title="Gulls")
    write(tmp_path, "c.md", "Crows eat seeds.", title="Crows")
    assert told() == (3, 1, 1, 1)
    assert told() == (3, 0, 0, 3)


def test_doctor_names_files_that_are_gone_and_counts_orphaned_vectors(tmp_path: Path) -> None:
    write(tmp_path, "a.md", TERNS.format(212), title="Terns")
    write(tmp_path, "b.md", "Gulls eat chips.", title="Gulls")
    made = rag(tmp_path)
    made.ingest(tmp_path / "papers")
    assert examine(made).orphaned_vectors == 0
    (tmp_path / "papers" / "b.md").unlink()
    [problem] = examine(made).problems
    assert problem.startswith(
        f"1 file no longer exists: {tmp_path / 'papers' / 'b.md'}; restore what is missing"
    )
    made.ingest(tmp_path / "papers", prune=True)
    found = examine(made)
    assert (found.problems, found.gone, found.orphaned_vectors) == ((), (), 1)
    cleaned = vacuum(made)
    assert (cleaned.removed_vectors, cleaned.orphaned_vectors, cleaned.counts["vectors"]) == (1, 0, 1)
    assert span_of(made.search("pairs of terns")[0]).start == 0


def test_a_corpus_of_the_earlier_layout_asks_for_a_new_ingest_in_one_sentence(tmp_path: Path) -> None:
    write(tmp_path, "a.md", TERNS.format(212), title="Terns")
    rag(tmp_path).ingest(tmp_path / "papers")
    with closing(sqlite3.connect(tmp_path / "corpus" / "corpus.sqlite")) as db:
        db.execute("PRAGMA user_version = 1")
    with pytest.raises(
        CorpusError, match=r"by an earlier ragkit \(schema 1\); ingest the papers again, into"
    ):
        rag(tmp_path).search("terns")


def test_the_command_line_shows_versions(tmp_path: Path, command: Any) -> None:
    write(tmp_path, "a.md", TERNS.format(212), title="Terns", arxiv="2101.00007v1", year=2021)
    write(tmp_path, "b.md", TERNS.format(340), title="Terns", arxiv="2101.00007v2", year=2022)
    write(tmp_path, "c.md", TERNS.format(340), title="Terns", arxiv="2101.00007v2", year=2022)
    (tmp_path / "ragkit.yaml").write_text(
        "ingest: {chunk: whole, index: &w bm25}\n"
        "answer: {retrieve: {type: lexical, index: *w}, generate: extractive, verify: evidence}\n"
    )
    told = command("ingest", "papers").stdout
    assert "files: 3 new, 0 changed, 0 unchanged; they list 3 papers: 1 merged, 1 further version;" in told
    assert "versions of “Terns”: v2, 2022 (papers/b.md, papers/c.md) answers" in told
    assert "merged: papers/c.md lists “Terns” as papers/b.md does: the same arXiv id 2101.00007" in told
    assert "files: 0 new, 0 changed, 3 unchanged" in command("ingest", "papers").stdout
    hits = json.loads(command("search", "terns", "--versions", "--json").stdout)["results"]
    assert {hit["version"]: hit.get("superseded_by") for hit in hits} == {
        "v1, 2021": next(hit["document_id"] for hit in hits if hit["version"] == "v2, 2022"),
        "v2, 2022": None,
    }
    asked = command("ask", "How many pairs of terns did the island hold?").stdout
    assert "[1] Terns (v2, 2022)  quoted" in asked
    (tmp_path / "draft.md").write_text(TERNS.format(212))
    assert command("check", "draft.md").returncode == 4
    assert command("check", "draft.md", "--versions").returncode == 0
    [older] = [hit["document_id"] for hit in hits if "superseded_by" in hit]
    shown = command("show", older).stdout
    assert shown.startswith("Terns (v1, 2021; an older version)\n")
    assert "newest version: v2, 2022" in shown
    versions = json.loads(command("show", older, "--json").stdout)["versions"]["versions"]
    assert [each["version"] for each in versions] == ["v2, 2022", "v1, 2021"]
    (tmp_path / "papers" / "a.md").unlink()
    assert command("doctor").returncode == 1
