"""The command line as a user runs it: a process of its own, its output, its exit status."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import NOTES, ROOT

import ragkit
import ragkit.cli
import ragkit.doctor

Command = Callable[..., subprocess.CompletedProcess[str]]
BERT = "How many parameters do BERT-base and BERT-large have?"


def test_ingest_ask_search_and_document_agree_in_json(command: Command) -> None:
    ingest = json.loads(command("ingest", NOTES, "--json").stdout)
    assert {k: v for k, v in ingest.items() if k not in ("seconds", "chunks", "encoded")} == {
        "files": 48,
        "new": 48,
        "changed": 0,
        "unchanged": 0,
        "entries": 48,
        "documents": 48,
        "duplicates": 0,
        "variants": 0,
        "descriptions": 0,
        "dropped_keys": {},
        "pruned": 0,
        "failed": [],
        "skipped": [],
        "unused": [],
        "hidden": [],
        "lost": [],
        "known": [],
        "encodings": {},
        "looked_up": 0,
        "merged": [],
        "versions": [],
    }
    answer = json.loads(command("ask", BERT, "--json").stdout)
    assert set(answer) == {
        "question",
        "answer",
        "abstained",
        "confidence",
        "claims",
        "citations",
        "usage",
        "timings_ms",
    }
    assert (answer["question"], answer["abstained"]) == (BERT, None)
    assert set(answer["claims"][0]) == {"text", "verdict", "citations"}
    citation = answer["citations"][0]
    assert set(citation) == {
        "number",
        "document_id",
        "title",
        "sources",
        "start",
        "end",
        "quote",
        "verdict",
        "score",
        "reason",
    }
    paper = json.loads(command("show", citation["document_id"], "--json").stdout)
    assert set(paper) == {"id", "title", "text", "metadata", "sources"}
    assert paper["text"][citation["start"] : citation["end"]] == citation["quote"]
    assert paper["metadata"]["authors"][0] == "Jacob Devlin"
    [hit] = json.loads(command("search", "BERT parameters", "-k", "1", "--json").stdout)["results"]
    assert set(hit) == {
        "document_id",
        "title",
        "chunk_id",
        "start",
        "end",
        "section",
        "kind",
        "text",
        "score",
        "scores",
        "sources",
    }
    assert command("show", citation["document_id"][:8]).stdout.startswith(paper["title"])


def test_answers_are_shown_with_numbered_sources_file_and_quote(command: Command, ingested: Path) -> None:
    shown = command("ask", BERT, "--corpus", ingested).stdout
    assert "340 million. [1]" in shown
    assert (
        "[1] BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding  quoted"
        in shown
    )
    assert "bert.md:943-1036" in shown
    assert "“BERT-base has 12 layers" in shown


def test_a_question_needs_no_quotation_marks(command: Command, ingested: Path) -> None:
    for name in ("ask", "search"):
        bare, quoted = (
            command(name, *said, "--corpus", ingested) for said in (["what", "is", "BERT"], ["what is BERT"])
        )
        assert (bare.returncode, bare.stdout) == (0, quoted.stdout)
        assert "BERT" in bare.stdout


def test_an_off_topic_question_is_declined_with_nearest_titles(command: Command, ingested: Path) -> None:
    done = command("ask", "What is the capital of France?", "--corpus", ingested)
    assert done.returncode == 0
    assert done.stdout.startswith(
        "I cannot answer this from the papers: no relevant passage was found.\n  closest paper: "
    )


def test_the_trace_names_each_stage_with_its_time_on_standard_error(command: Command, ingested: Path) -> None:
    done = command("ask", BERT, "--corpus", ingested, "--trace", "--json")
    assert json.loads(done.stdout)["abstained"] is None
    stages = [line.split()[0] for line in done.stderr.splitlines() if not line.startswith(" ")]
    assert stages == [
        "generate",
        "retrieve",
        "retrieve",
        "fuse",
        "read",
        "filter",
        "refine",
        "gate",
        "generate",
        "read",
        "embed",
        "embed",
        "verify",
    ]
    assert " ms  100 passages" in done.stderr
    below = [line.strip() for line in done.stderr.splitlines() if line.startswith(" ")]
    assert re.fullmatch(r"found \d+ passages", below[0])
    assert re.fullmatch(r"kept \d+ passages, dropped \d+", below[1])
    assert any(line.startswith("dropped: 0.") for line in below)
    assert any(line.startswith("passage 1: ") and "BERT: Pre-training" in line for line in below)
    assert any(
        re.match(r"relevance [01]\.\d\d, needs 0\.50: the passages may answer", line) for line in below
    )
    assert any(
        re.match(r"nearest 0\.\d\d \(weight 4\.75\): the nearest passage's cosine", line) for line in below
    )
    assert any(re.match(r"confidence 0\.\d\d, needs 0\.60: the answer is shown", line) for line in below)


def test_doctor_finds_no_problems_in_a_fresh_corpus(command: Command, ingested: Path) -> None:
    done = command("doctor", "--corpus", ingested, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["problems"], found["counts"]["documents"]) == (0, [], 48)
    assert {(i["tracked"] == i["present"] == i["wanted"]) for i in found["indexes"]} == {True}


def test_files_that_fail_are_named_and_the_status_is_3(command: Command, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("Glass bridges carry 40 people.")
    (tmp_path / "empty.txt").write_text("")
    done = command("ingest", "good.txt", "empty.txt")
    assert done.returncode == 3
    assert "1 paper in the corpus (1 passage)" in done.stdout
    assert done.stderr == "failed: empty.txt: it is empty\n"
    again = command("ingest", ".")
    assert again.returncode == 0
    assert again.stderr.startswith(
        "1 known failure, unchanged and not tried again: empty.txt (it is empty); to try again, name the file"
    )
    assert command("ingest", "empty.txt").returncode == 3


def test_wrong_usage_is_one_sentence_and_status_2(command: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "ingest: {chunk: sentense, index: bm25}\nanswer: {retrieve: [], generate: extractive}\n"
    )
    expected = {
        ("ask", "Anything?"): (
            f"there is no corpus in '.ragkit' of '{tmp_path}' or of a folder above it;"
            " `ragkit ingest PATH` makes one here, and --corpus or --corpus-name uses one elsewhere\n"
        ),
        (
            "ask",
            "",
        ): "the question is empty; ask something, such as `ragkit ask 'What is dense retrieval?'`\n",
        ("ingest", "nowhere"): "there is no file or folder 'nowhere'\n",
        (
            "ask",
            "x",
            "--config",
            "no.yaml",
        ): "there is no file 'no.yaml'; `ragkit config show` prints a configuration to start from\n",
        ("components", "chrome"): "no component is called 'chrome'; `ragkit components` lists them all\n",
    }
    for arguments, sentence in expected.items():
        done = command(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)
    done = command("config", "check", "bad.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "bad.yaml:1:17: ingest.chunk: no BaseDocumentTransformer is called 'sentense'; did you mean 'sentence'?"
    )


def test_a_directory_that_cannot_be_written_is_one_sentence(command: Command, tmp_path: Path) -> None:
    (tmp_path / "paper.txt").write_text("Glass bridges carry 40 people.")
    (tmp_path / "taken").write_text("a file, not a directory")
    done = command("ingest", "paper.txt", "--corpus", "taken")
    assert (done.returncode, done.stderr) == (
        1,
        "cannot write to the corpus in 'taken': File exists; choose another --corpus\n",
    )


def test_debug_shows_the_traceback(command: Command) -> None:
    assert "Traceback" not in command("ask", "Anything?").stderr
    assert "Traceback" in command("ask", "Anything?", "--debug").stderr


def test_a_second_ingest_from_the_shell_encodes_nothing(command: Command, tmp_path: Path) -> None:
    (tmp_path / "paper.txt").write_text("Glass bridges carry 40 people.")
    assert json.loads(command("ingest", "paper.txt", "--json").stdout)["encoded"] == 1
    assert json.loads(command("ingest", "paper.txt", "--json").stdout)["encoded"] == 0


def test_config_show_prints_a_file_that_checks(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(command("config", "show").stdout)
    done = command("config", "check", "mine.yaml")
    assert (done.returncode, done.stdout) == (0, "mine.yaml: no problems\n")


def test_components_lists_slots_and_shows_the_arguments_of_one(command: Command) -> None:
    listed = json.loads(command("components", "--json").stdout)["components"]
    assert {
        "chroma",
        "bm25",
        "dense",
        "lexical",
        "minmax",
        "rrf",
        "extractive",
        "cited",
        "evidence",
        "files",
    } <= {c["name"] for c in listed}
    [sentence] = json.loads(command("components", "sentence", "--json").stdout)["components"]
    assert sentence["arguments"] == [
        {"name": "max_tokens", "type": "int", "default": "200"},
        {"name": "overlap", "type": "int", "default": "1"},
        {"name": "model", "type": "str", "default": '"all-MiniLM-L6-v2"'},
    ]


def test_a_model_that_is_nowhere_is_one_sentence(command: Command, tmp_path: Path) -> None:
    (tmp_path / "ragkit.yaml").write_text(
        "ingest: {chunk: whole, index: &i {type: chroma, embed: {type: sentence_transformers, model: no/such-model}}}\n"
        "answer: {retrieve: {type: dense, store: *i}, generate: extractive}\n"
    )
    (tmp_path / "paper.txt").write_text("Glass bridges carry 40 people.")
    done = command("ingest", "paper.txt", "--config", "ragkit.yaml", HF_HUB_OFFLINE="1")
    assert (done.returncode, done.stderr) == (
        1,
        "the model 'no/such-model' is neither a directory, an installed package nor in the Hugging Face cache, and the hub cannot be"
        " reached; give a directory, such as ./model, or download it once while online\n",
    )


@pytest.mark.parametrize("blocks", [100, 400, 900])
def test_a_disk_that_is_full_is_one_sentence_and_nothing_is_lost(
    tmp_path: Path, command: Command, blocks: int
) -> None:
    """A limit on the size of a file stands for the full disk: writes fail wherever it is reached."""
    (tmp_path / "one.md").write_text("# On Bridges\n\nGlass bridges carry 40 people.\n")
    assert command("ingest", "one.md", "--corpus", "c").returncode == 0
    many = [
        {"title": f"Paper {n}", "text": f"Bridge {n} carries {n * 7} people over a river. " * 4}
        for n in range(400)
    ]
    (tmp_path / "many.jsonl").write_text("".join(json.dumps(paper) + "\n" for paper in many))
    ingest = f"ulimit -f {blocks}; exec {sys.executable} -m ragkit ingest many.jsonl --corpus c"
    full = subprocess.run(["bash", "-c", ingest], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert full.returncode == 1, full.stderr
    [sentence] = full.stderr.strip().splitlines()
    assert sentence.endswith("what was there before is intact")
    assert (
        "Glass bridges carry 40 people."
        in command("ask", "What do glass bridges carry?", "--corpus", "c").stdout
    )
    assert json.loads(command("ingest", "many.jsonl", "--corpus", "c", "--json").stdout)["documents"] == 401
    assert command("doctor", "--corpus", "c").returncode == 0


def test_the_version_is_said(command: Command) -> None:
    assert command("--version").stdout == f"ragkit {ragkit.__version__}\n"


COLLECTED = """
import atexit, gc, sys
from dataclasses import dataclass

from ragkit.index.bm25 import Bm25Index


def tell(what):
    print(what, gc.isenabled(), *gc.get_threshold(), file=sys.stderr)


@dataclass(frozen=True)
class Told(Bm25Index):
    def build(self, last, place):
        tell("writes")
        return super().build(last, place)

    def open(self, place):
        tell("searches")
        return super().open(place)


atexit.register(tell, "ends")
"""


def test_every_command_works_with_the_garbage_collector_as_python_sets_it_and_ends_in_order(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "collected.py").write_text(COLLECTED)
    (tmp_path / "ragkit.yaml").write_text(
        "ingest: {chunk: whole, index: &words {type: collected.Told}}\n"
        "answer: {retrieve: {type: lexical, index: *words}, generate: extractive}\n"
    )
    (tmp_path / "glass.md").write_text("# Glass Bridges\n\nGlass bridges carry 40 people.\n")

    def told(*arguments: str) -> list[str]:
        named = ("--config", "ragkit.yaml", "--allow-import", "collected")
        done = command(*arguments, *named, PYTHONPATH=os.pathsep.join([str(ROOT), str(tmp_path)]))
        assert done.returncode == 0, done.stderr
        return done.stderr.splitlines()

    usual = " ".join(map(str, ["True", *gc.get_threshold()]))
    assert told("ingest", "glass.md") == [f"writes {usual}", f"ends {usual}"]
    assert told("search", "glass") == [f"searches {usual}", f"ends {usual}"]
    assert told("ask", "How many people do glass bridges carry?") == [f"searches {usual}", f"ends {usual}"]
    for seal in (tmp_path / ".ragkit" / "indexes").rglob("*.seal"):
        seal.unlink()
    assert told("doctor", "--repair")[0] == f"writes {usual}"


def test_a_shell_completes_options_presets_and_the_ids_of_papers(command: Command, ingested: Path) -> None:
    def completed(*words: str) -> list[str]:
        return command(
            COMP_WORDS=" ".join(("ragkit", *words)),
            COMP_CWORD=str(len(words)),
            _RAGKIT_COMPLETE="complete_bash",
        ).stdout.split()

    assert completed("ask", "--fai") == ["--fail-on-abstain"]
    assert completed("ask", "--preset", "ch") == ["chat", "chroma"]
    [paper] = ragkit.load(ROOT / "configs" / "default.yaml", corpus=ingested).papers(
        "title contains DistilBERT"
    )
    assert completed("show", "--corpus", str(ingested), paper.id[:6]) == [paper.id]
    assert completed("show", "--corpus", "nowhere", "a") == []


def test_an_ingest_that_is_stopped_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ragkit.Rag, "ingest_events", stopped)
    with pytest.raises(SystemExit) as ended:
        ragkit.cli.main(["ingest", str(NOTES)])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "stopped; finished work is kept; run the same command again to resume\n"


def test_doctor_says_that_a_corpus_is_empty(tmp_path: Path) -> None:
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "corpus")
    rag.add("Glass bridges carry 40 people.", title="Glass bridges")
    assert ragkit.doctor.examine(rag).problems == ()
    rag.remove("Glass bridges")
    assert ragkit.doctor.examine(rag).problems == ("the corpus holds no paper; run `ragkit ingest PATH`",)
