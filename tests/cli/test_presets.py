"""`--preset`, `--model` and `--set`, which all commands take alike, `ragkit presets` and `ragkit config show`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import ragkit
from ragkit.cli import app
from ragkit.config import layers, presets
from ragkit.pipeline_file import read, shown

Command = Callable[..., subprocess.CompletedProcess[str]]
BERT = "How many parameters do BERT-base and BERT-large have?"
WITHOUT_PIPELINE = {"presets", "components", "schema", "verifier", "copy"}


def commands(group: Any, path: str = "") -> dict[str, Any]:
    found = {}
    for name, command in group.commands.items():
        found |= (
            commands(command, f"{path}{name} ") if hasattr(command, "commands") else {path + name: command}
        )
    return found


@pytest.mark.parametrize("name", commands(typer.main.get_command(app)))
def test_every_command_that_works_with_a_pipeline_takes_the_same_options(name: str) -> None:
    options = {o for p in commands(typer.main.get_command(app))[name].params for o in p.opts}
    wanted = {"--preset", "--model", "--set", "--allow-import", "--allow-env"}
    assert (wanted <= options) == (name.split()[-1] not in WITHOUT_PIPELINE)


def test_ask_with_a_model_in_a_word(command: Command, ingested: Path, model_server: Any) -> None:
    model_server.says = "BERT-base has 110 million parameters."
    corpus = ("--corpus", ingested, "--json")
    done = command("ask", BERT, "--model", f"{model_server.url}#m", *corpus)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["usage"] is not None
    assert model_server.asked
    model_server.asked.clear()
    done = command("ask", BERT, *corpus, RAGKIT_MODEL=f"{model_server.url}#m")
    assert done.returncode == 0, done.stderr
    assert model_server.asked
    model_server.asked.clear()
    done = command("ask", BERT, "--preset", "default", *corpus, RAGKIT_MODEL=f"{model_server.url}#m")
    assert done.returncode == 0, done.stderr
    assert not model_server.asked


def test_values_are_set_and_wrong_ones_are_one_sentence(command: Command, ingested: Path) -> None:
    one = ("--set", "answer.retrieve.0.k=1", "--set", "answer.retrieve.1.k=1")
    hits = json.loads(command("search", "BERT", *one, "--corpus", ingested, "--json").stdout)["results"]
    assert 1 <= len(hits) <= 2
    for options, sentence in {
        ("--set", "answer.refine.k=none"): "--set answer.refine.k=none: answer.refine.k: input should be a valid integer, got 'none'\n",
        ("--set", "answer.refine"): "--set answer.refine: write KEY=VALUE, such as --set answer.refine.k=3\n",
        ("--preset", "chat"): "no chat model is named; pass --model or set RAGKIT_MODEL, such as gpt-4o-mini, ollama/qwen3 or http://HOST:PORT/v1#NAME\n",
        ("--preset", "caht"): "no preset is called 'caht'; did you mean 'chat'?; `ragkit presets` lists them\n",
    }.items():  # fmt: skip
        done = command("doctor", *options)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)


def test_presets_can_be_compared(command: Command, ingested: Path, tmp_path: Path) -> None:
    question = {"question": BERT, "answer": "340 million", "gold_titles": ["BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding"]}  # fmt: skip
    (tmp_path / "q.jsonl").write_text(json.dumps(question))
    (tmp_path / "flag.yaml").write_text("extends: default\nanswer: {policy: flag}\n")
    options = ("--corpus", ingested, "--workspace", "kept", "--set", "answer.refine.k=3", "--json")
    done = command("eval", "q.jsonl", "--preset", "default", "-c", "flag.yaml", *options)
    assert done.returncode == 0, done.stderr
    assert {f["configuration"] for f in json.loads(done.stdout)["figures"]} == {"default", "flag"}


def test_the_presets_are_listed(command: Command) -> None:
    listed = json.loads(command("presets", "--json").stdout)["presets"]
    assert [each["name"] for each in listed] == presets.names()
    assert all(each["summary"] for each in listed)
    assert "keyword search" in " ".join(command("presets").stdout.split())


def test_a_shown_preset_is_whole_needs_no_model_and_keeps_its_anchors(command: Command) -> None:
    done = command("config", "show", "--preset", "chat")
    assert (done.returncode, done.stderr) == (0, "")
    for written in (
        "minilm: &minilm",
        "embed: *minilm",
        "store: *dense",
        "llm: *llm",
        "model: ${RAGKIT_MODEL}",
    ):
        assert written in done.stdout
    [top] = yaml.safe_load(done.stdout)["answer"]["refine"]
    assert (top["type"], top["k"], top["reader"]["type"]) == ("top", 6, "joint")


@pytest.mark.parametrize("name", presets.names())
def test_what_is_shown_is_the_same_pipeline(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGKIT_MODEL", "m")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.chdir(tmp_path)
    document = read(preset=name, overrides={"answer.refine.k": 2})
    Path("shown.yaml").write_text(shown(document))
    again = ragkit.load(preset=name, overrides=[layers.Override.parse("answer.refine.0.k=2")])
    assert yaml.safe_load(ragkit.dump(ragkit.load("shown.yaml"))) == yaml.safe_load(ragkit.dump(again))


def test_config_check_takes_the_options(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: default\n")
    assert command("config", "check", "mine.yaml").stdout == "mine.yaml: no problems\n"
    done = command("config", "check", "mine.yaml", "--set", "answer.policy=drpo")
    assert done.returncode == 2
    assert done.stderr.startswith("--set answer.policy=drpo: answer.policy: input should be")
