"""Papers in an object store: ingested like those of a folder, from a directory or through the queue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import s3
from workers import pipeline, put, work

import ragkit
from ragkit.corpus.postgres import PostgresCorpus
from ragkit.errors import LoadError, UsageError
from ragkit.ingest.queue import counts_of
from ragkit.object_store import Objects
from ragkit.plan import plan
from ragkit.read import objects
from ragkit.read.files import Files
from ragkit.read.process import Reader


class Bucket:
    """A bucket with papers, its address, and what was asked of it."""

    def __init__(self, server: s3.Server, monkeypatch: pytest.MonkeyPatch) -> None:
        self.address = server.bucket(monkeypatch).removesuffix("/indexes")
        self._name = self.address.removeprefix("s3://")
        self._client = boto3.client("s3", endpoint_url=server.url, region_name="us-east-1")
        self.fetched: list[str] = []
        real = Objects.piece

        def piece(store: Objects, path: str, *given: Any) -> bytes:
            self.fetched.append(path)
            return real(store, path, *given)

        monkeypatch.setattr(Objects, "piece", piece)

    def put(self, key: str, content: str | bytes) -> str:
        self._client.put_object(
            Bucket=self._name, Key=key, Body=content.encode() if isinstance(content, str) else content
        )
        return f"{self.address}/{key}"

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self._name, Key=key)


@pytest.fixture
def bucket(s3: s3.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    """With four papers, one of them outside `papers/`, and what is no paper."""
    made = Bucket(s3, monkeypatch)
    for name in ("papers/a.md", "papers/more/My b%20#1?.md", "papers/c.md", "papers2/d.md"):
        made.put(name, paper(name))
    for name in ("papers/.hidden/e.md", "papers/README.md", "papers/run.py"):
        made.put(name, paper(name))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return made


def paper(name: str) -> str:
    return f"# Bridge {name}\n\nThe bridge of {name} carries a hundred people.\n"


def names(bucket: Bucket, rag: ragkit.Rag) -> list[str]:
    return sorted(uri.removeprefix(f"{bucket.address}/") for uri in rag.corpus.uris())


FOUND = ["papers/a.md", "papers/c.md", "papers/more/My b%20#1?.md"]


def test_a_folder_of_a_store_is_ingested_like_one_of_this_machine(bucket: Bucket, tmp_path: Path) -> None:
    rag = pipeline(tmp_path / "corpus")
    first = rag.ingest(f"{bucket.address}/papers/")
    assert (first.new, first.failed, names(bucket, rag)) == (3, (), FOUND)
    assert sorted(first.skipped) == [f"{bucket.address}/papers/README.md", f"{bucket.address}/papers/run.py"]
    [hit] = rag.search("My b%20 carries people", k=1)
    assert hit.metadata["sources"][0]["uri"] == f"{bucket.address}/papers/more/My b%20#1?.md"
    assert list((tmp_path / "temporary").iterdir()) == []
    # what is as it was is not fetched again
    assert sorted(bucket.fetched) == ["My b%20#1?.md", "a.md", "c.md"]
    bucket.fetched.clear()
    again = rag.ingest(f"{bucket.address}/papers")
    assert (again.unchanged, again.new, again.changed, bucket.fetched) == (3, 0, 0, [])
    # what has changed is, and replaces what there was
    bucket.put("papers/c.md", paper("papers/c.md").replace("hundred", "thousand"))
    changed = rag.ingest(f"{bucket.address}/papers")
    assert (changed.unchanged, changed.changed, bucket.fetched) == (2, 1, ["c.md"])
    assert rag.corpus.counts().documents == 3
    # what is gone stays until it is pruned, and then nothing else goes
    rag.ingest(bucket.put("papers2/d.md", paper("d")))
    (tmp_path / "local.md").write_text("# Local\n\nA local bridge.\n")
    rag.ingest(tmp_path / "local.md")
    (tmp_path / "local.md").unlink()
    bucket.delete("papers/a.md")
    bucket.delete("papers2/d.md")
    assert rag.ingest(f"{bucket.address}/papers").pruned == 0
    assert plan(rag, f"{bucket.address}/papers", prune=True).gone == 1
    assert rag.ingest(f"{bucket.address}/papers", prune=True).pruned == 1
    assert names(bucket, rag) == [str(tmp_path / "local.md"), *FOUND[1:], "papers2/d.md"]
    assert rag.ingest(prune=True).pruned == 1  # the local one: stores are asked only when they are named
    assert names(bucket, rag) == [*FOUND[1:], "papers2/d.md"]


def test_the_commands_take_objects_and_show_their_addresses(
    bucket: Bucket, command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Read in a confined process, with several objects at once."""
    one = command("ingest", f"{bucket.address}/papers/a.md", "--json", TMPDIR=str(tmp_path / "temporary"))
    assert (one.returncode, json.loads(one.stdout)["new"]) == (0, 1)
    bucket.put("papers/broken.pdf", b"%PDF-1.4\nnothing")
    rest = command("ingest", bucket.address, "--json", TMPDIR=str(tmp_path / "temporary"))
    report = json.loads(rest.stdout)
    assert (rest.returncode, report["new"], report["unchanged"]) == (3, 3, 1)
    assert [each["source"] for each in report["failed"]] == [f"{bucket.address}/papers/broken.pdf"]
    assert list((tmp_path / "temporary").glob("ragkit-*")) == []
    listed = json.loads(command("list", "--json").stdout)["papers"]
    assert len(listed) == 4
    answer = command("ask", "How many people does the bridge of papers/a.md carry?")
    assert f"{bucket.address}/papers/a.md" in answer.stdout
    shown = command("show", next(each["id"] for each in listed if "papers/a.md" in each["title"]))
    assert (shown.returncode, f"{bucket.address}/papers/a.md" in shown.stdout) == (0, True)
    assert command("doctor").returncode == 0


def test_workers_fetch_the_objects_of_the_queue_themselves(bucket: Bucket, place: PostgresCorpus) -> None:
    rag = pipeline(place)
    assert put(rag, f"{bucket.address}/papers/") == 3  # type: ignore[arg-type]
    assert bucket.fetched == []
    assert work(place).files == 3
    assert names(bucket, rag) == FOUND
    assert len(bucket.fetched) == 3
    bucket.fetched.clear()
    put(rag, f"{bucket.address}/papers/")  # type: ignore[arg-type]
    work(place)
    assert (bucket.fetched, counts_of(rag.corpus).failed) == ([], 0)  # type: ignore[union-attr]


def test_a_store_that_is_away_costs_a_sentence_and_nothing_is_lost(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rag, papers = pipeline(tmp_path / "corpus"), f"{bucket.address}/papers"
    rag.ingest(papers)
    bucket.put("papers/c.md", paper("papers/c.md").replace("hundred", "thousand"))

    def cut(*_: object) -> bytes:
        return b""

    with monkeypatch.context() as broken:  # in the middle of an object
        broken.setattr(Objects, "piece", cut)
        report = rag.ingest(papers)
    assert [each.error for each in report.failed] == ["the store ends it too early; ingest it again"]
    assert list((tmp_path / "temporary").iterdir()) == []
    assert (len(names(bucket, rag)), rag.corpus.counts().documents) == (3, 3)
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        began = time.monotonic()
        with pytest.raises(
            LoadError, match=f"the store '{papers}|{bucket.address}' cannot be used"
        ) as caught:
            rag.ingest(papers, prune=True)
        assert time.monotonic() - began < 30
        assert "\n" not in str(caught.value)
    assert names(bucket, rag) == FOUND
    assert rag.ingest(papers).changed == 1  # although the same content was not read before
    assert "thousand" in "".join(hit.page_content for hit in rag.search("thousand people", k=3))


def test_what_changes_while_it_is_fetched_is_not_mixed(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, real = bucket.put("papers/long.md", "# Long\n\n" + "old " * 100), Objects.piece
    monkeypatch.setattr(objects, "_PIECE", 200)

    def piece(store: Objects, path: str, start: int, *given: Any) -> bytes:
        if start:
            bucket.put("papers/long.md", "# Long\n\n" + "new " * 100)
        return real(store, path, start, *given)

    monkeypatch.setattr(Objects, "piece", piece)
    with pytest.raises(LoadError, match="cannot be used"), objects.fetched(uri, 1.0):
        pytest.fail("it was given although it had changed")


def test_limits_hold_for_objects(bucket: Bucket, tmp_path: Path) -> None:
    uri = bucket.put("papers/large.md", paper("large") + "word " * 250_000)
    with Reader(Files(megabytes_a_file=1)) as reader:
        with pytest.raises(LoadError, match=r"larger than 1 MB \(`megabytes_a_file` of the loader\)"):
            list(reader.read(uri))
    assert bucket.fetched == []
    with (
        Reader(Files(characters_a_paper=1000)) as reader,
        pytest.raises(LoadError, match="characters_a_paper"),
    ):
        list(reader.read(uri))
    assert list((tmp_path / "temporary").iterdir()) == []
    with Reader(Files(include=["more/"])) as reader:
        assert reader.find([f"{bucket.address}/papers"]) == [f"{bucket.address}/{FOUND[2]}"]
    with Reader(Files(exclude=["*.md"])) as reader:
        assert reader.find([f"{bucket.address}/papers"]) == []
        assert reader.find([uri]) == [uri]  # it is named


def test_addresses_that_cannot_be_ingested_are_refused(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rag = pipeline(tmp_path / "corpus")
    with pytest.raises(UsageError, match=f"there is no object or folder '{bucket.address}/nothing'"):
        rag.ingest(f"{bucket.address}/nothing")
    with pytest.raises(LoadError, match="cannot be used"):
        rag.ingest("s3://no-such-bucket-at-all/papers")
    strange = Files(paths=[f"{bucket.address}/papers"])
    with pytest.raises(
        UsageError, match="is not fetched, since a pipeline file names it; name it in the command"
    ):
        strange.find()
    with Reader(strange) as reader, pytest.raises(UsageError, match="since a pipeline file names it"):
        reader.find()
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(UsageError, match=r"a store needs obstore; pip install 'ragkit\[depot\]'"):
        rag.ingest(f"{bucket.address}/papers")


def test_a_file_address_is_the_path_that_it_names(tmp_path: Path) -> None:
    folder = tmp_path / "my papers"
    folder.mkdir()
    (folder / "a.md").write_text(paper("a"))
    rag = pipeline(tmp_path / "corpus")
    assert rag.ingest(f"file://{os.fspath(tmp_path)}/my%20papers").new == 1
    assert list(rag.corpus.uris()) == [str(folder / "a.md")]
    assert rag.ingest(folder).unchanged == 1
