"""Datasets: collections in BEIR's layout, and files of questions with their answers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ragkit.document import digest, normalised_title
from ragkit.errors import UsageError

R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True)
class Case:
    """One question or query, and what a good system does with it.

    `relevant` gives the grade of each paper that should be found, by the paper's name: its id in a
    collection, its title (normalised) in a question file.  `left_out` are papers taken out of the ranking
    before it is scored.  `paraphrases` ask the same in other words.
    """

    id: str
    question: str
    history: tuple[Mapping[str, str], ...] = ()
    relevant: Mapping[str, float] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    answer: str = ""
    must_include: tuple[tuple[str, ...], ...] = ()
    kind: str = ""
    answerable: bool = True
    paraphrases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Cases under one name.

    `folder` is the collection that they search; without one, they search the user's own corpus.
    """

    name: str
    cases: tuple[Case, ...]
    digest: str
    folder: Path | None = None
    corpus: str = ""
    """The digest of the collection's papers."""

    @property
    def asks(self) -> bool:
        """Are answers wanted, or only rankings?"""
        return self.folder is None

    def first(self, number: int | None) -> Dataset:
        """The first *number* cases only (all, if None)."""
        return self if number is None else replace(self, cases=self.cases[:number])

    def paper(self, uris: Iterable[str], title: str) -> list[str]:
        """The names under which `relevant` knows a paper that was found."""
        return list(uris) if self.folder else [normalised_title(title)]


def read(path: str | Path, split: str | None = None) -> Dataset:
    """A BEIR folder or a question file.

    *split* picks `qrels/<split>.tsv` of a folder (without it `test`, else the first), or the rows of a
    question file whose `split` is so.  Raises `UsageError`, with the line, for what is neither.
    """
    path = Path(path)
    if path.is_dir():
        return _beir(path, split)
    if not path.exists():
        raise UsageError(
            f"there is no '{path}'; name a folder in BEIR's layout or a file of questions (JSON lines)"
        )
    return _questions(path, split)


# --- question files


def _alternatives(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class _QuestionRow(BaseModel):
    question: str
    id: str | None = None
    answer: str = ""
    gold_titles: list[str] | None = None
    must_include: list[Annotated[list[str], BeforeValidator(_alternatives)]] = []
    history: list[dict[str, str]] = []
    kind: str = ""
    split: str = ""
    paraphrases: list[str] = []

    @property
    def answerable(self) -> bool:
        return (
            bool(self.gold_titles) if self.gold_titles is not None else bool(self.must_include or self.answer)
        )


def _questions(path: Path, split: str | None) -> Dataset:
    cases = []
    for number, row in enumerate(_rows(path, _QuestionRow), 1):
        if split is None or row.split == split:
            cases.append(
                Case(
                    id=row.id or str(number),
                    question=row.question,
                    history=tuple(row.history),
                    relevant={normalised_title(title): 1.0 for title in row.gold_titles or ()},
                    answer=row.answer,
                    must_include=tuple(map(tuple, row.must_include)),
                    kind=row.kind,
                    answerable=row.answerable,
                    paraphrases=tuple(row.paraphrases),
                )
            )
    return _dataset(path, path.stem, cases, None)


def _rows(path: Path, model: type[R]) -> Iterator[R]:
    """Each line of a JSON lines file, checked."""
    number = 1
    with path.open(encoding="utf-8-sig") as lines:
        try:
            for line in lines:
                if line.strip():
                    yield model.model_validate_json(line)
                number += 1
        except UnicodeDecodeError:
            raise UsageError(f"{path}:{number}: not UTF-8; a dataset is a file of JSON lines") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise UsageError(
                f"{path}:{number}: {place + ': ' if place else ''}{first['msg'].lower()}"
            ) from None


def _dataset(path: Path, name: str, cases: Sequence[Case], folder: Path | None) -> Dataset:
    if not cases:
        raise UsageError(f"'{path}' has no question to ask")
    [(most, times)] = Counter(case.id for case in cases).most_common(1)
    if times > 1:
        raise UsageError(f"'{path}' has {times} questions with the id '{most}'; give each its own")
    return Dataset(name, tuple(cases), digest(*map(repr, cases)), folder)


# --- BEIR folders


class _BeirText(BaseModel):
    """A line of corpus.jsonl or queries.jsonl."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str = Field(alias="_id")
    title: str = ""
    text: str = ""


def _beir(folder: Path, split: str | None) -> Dataset:
    for name in ("corpus.jsonl", "queries.jsonl"):
        if not (folder / name).is_file():
            raise UsageError(
                f"'{folder}' has no {name}; a BEIR folder holds corpus.jsonl, queries.jsonl, and qrels.tsv or qrels/*.tsv"
            )
    relevant = read_qrels(_qrels(folder, split))
    left_out: dict[str, set[str]] = {}
    if (folder / LEFT_OUT).is_file():
        for query, paper, *_ in _table(folder / LEFT_OUT):
            left_out.setdefault(query, set()).add(paper)
    cases = [
        Case(
            id=row.id,
            question=row.text,
            relevant=relevant[row.id],
            left_out=frozenset(left_out.get(row.id, ())),
        )
        for row in _rows(folder / "queries.jsonl", _BeirText)
        if any(grade > 0 for grade in relevant.get(row.id, {}).values())
    ]
    dataset = _dataset(folder, folder.name, cases, folder)
    return replace(dataset, corpus=digest((folder / "corpus.jsonl").read_text(encoding="utf-8")))


LEFT_OUT = "source_docs.tsv"
"""An optional file of a collection, beside BEIR's: for a query, the paper to leave out of its ranking.

That is the paper which the query was written from.
"""


def _qrels(folder: Path, split: str | None) -> Path:
    found = {path.stem: path for path in sorted((folder / "qrels").glob("*.tsv"))}
    if split in found:
        return found[split]
    if not found and (folder / "qrels.tsv").is_file():  # there are no splits to choose from
        return folder / "qrels.tsv"
    if split is None and found:
        return found.get("test") or next(iter(found.values()))
    known = f"; it has {', '.join(found)}" if found else ""
    wanted = f"qrels/{split}.tsv" if split else "qrels.tsv and no qrels/*.tsv"
    raise UsageError(f"'{folder}' has no {wanted}{known}")


def read_qrels(path: str | Path) -> dict[str, dict[str, float]]:
    """Judgements by query and paper, read from BEIR's or TREC's format.

    A line of BEIR's is query, paper, grade, after a header; a line of TREC's is query, 0, paper, grade.
    """
    found: dict[str, dict[str, float]] = {}
    for number, row in enumerate(_table(Path(path), header=False), 1):
        *_, paper, grade = row if len(row) >= 3 else [*row, "", "", ""]
        try:
            found.setdefault(row[0], {})[paper] = float(grade)
        except ValueError:
            if number > 1:  # else it is the header
                raise UsageError(
                    f"{path}:{number}: '{' '.join(row)}' is no judgement; a line is query, paper, grade"
                ) from None
    return {query: papers for query, papers in found.items() if papers}


def _table(path: Path, header: bool = True) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = [line.rstrip("\r\n") for line in file if line.strip()]
    return [line.split("\t") if "\t" in line else line.split() for line in lines][1 if header else 0 :]


class BeirCorpus(BaseLoader):
    """The papers of a BEIR folder, each under its id; a query's gold is matched by it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def lazy_load(self) -> Iterator[Document]:
        for row in _rows(Path(self.folder) / "corpus.jsonl", _BeirText):
            known = {"source": row.id, "title": row.title, "title_guessed": True, "sources": [{}]}
            yield Document(page_content=row.text or row.title, metadata=known)


def write_beir(folder: str | Path, papers: Iterable[tuple[str, str, str]], cases: Sequence[Case]) -> None:
    """A collection in BEIR's layout: *papers* as (id, title, text), and the cases that have relevant ones."""
    folder = Path(folder)
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    _write_lines(
        folder / "corpus.jsonl", ({"_id": i, "title": title, "text": text} for i, title, text in papers)
    )
    _write_lines(folder / "queries.jsonl", ({"_id": case.id, "text": case.question} for case in cases))
    judged = [f"{case.id}\t{paper}\t{grade:g}\n" for case in cases for paper, grade in case.relevant.items()]
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "".join(judged), encoding="utf-8"
    )


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


# --- TREC runs


def read_run(path: str | Path) -> dict[str, list[tuple[str, float]]]:
    """Rankings by query, best first, from a TREC run file: `query Q0 paper rank score tag` a line."""
    found: dict[str, list[tuple[str, float]]] = {}
    for number, row in enumerate(_table(Path(path), header=False), 1):
        try:
            query, _, paper, _, score, *_ = row
            found.setdefault(query, []).append((paper, float(score)))
        except ValueError:
            raise UsageError(
                f"{path}:{number}: '{' '.join(row)}' is no line of a TREC run (query Q0 paper rank score tag)"
            ) from None
    return {query: sorted(ranking, key=lambda item: -item[1]) for query, ranking in found.items()}


def write_run(path: str | Path, rankings: Mapping[str, Sequence[str]], tag: str) -> None:
    """Write a TREC run file.

    Scores count down, so that every tool keeps the order.  Spaces in names become `_`.
    """
    lines = [
        f"{_word(query)} Q0 {_word(paper)} {rank} {len(ranking) - rank + 1} {_word(tag)}\n"
        for query, ranking in rankings.items()
        for rank, paper in enumerate(ranking, 1)
    ]
    Path(path).write_text("".join(lines), encoding="utf-8")


def write_qrels(path: str | Path, cases: Sequence[Case]) -> None:
    """TREC judgements: `query 0 paper grade` a line."""
    lines = [
        f"{_word(case.id)} 0 {_word(paper)} {grade:g}\n"
        for case in cases
        for paper, grade in case.relevant.items()
    ]
    Path(path).write_text("".join(lines), encoding="utf-8")


def _word(name: str) -> str:
    return re.sub(r"\s+", "_", name.strip()) or "_"
