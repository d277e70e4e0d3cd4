"""`ragkit ask --stream` and `ragkit chat` as a user runs them: in a pipe, and on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from ragkit import events

Command = Callable[..., subprocess.CompletedProcess[str]]
BERT = "How many parameters do BERT-base and BERT-large have?"
DPR = "What kind of negatives does DPR train with?"
TRUE = "DPR adds one hard negative per question taken from the top BM25 results."
FALSE = "DPR adds nine hard negatives per question."


@pytest.fixture
def model(model_server: Any, ingested: Path) -> dict[str, str]:
    """The environment that `configs/llm.yaml` needs to ask the server."""
    return {"RAGKIT_BASE_URL": model_server.url, "RAGKIT_MODEL": "m", "RAGKIT_API_KEY": "none"}


def said(
    *questions: str, corpus: Path, options: tuple[str, ...] = (), config: str = "default", **environment: str
) -> Any:
    """What `ragkit chat` says to lines from a pipe."""
    command = [
        sys.executable,
        "-m",
        "ragkit",
        "chat",
        "--corpus",
        str(corpus),
        "--config",
        str(ROOT / "configs" / f"{config}.yaml"),
    ]
    lines = "".join(f"{question}\n" for question in questions)
    environment = {**os.environ, "COLUMNS": "120", **environment}
    return subprocess.run(
        [*command, *options], input=lines, capture_output=True, text=True, check=False, env=environment
    )


# --- ragkit ask --stream


def test_a_stream_in_json_is_one_event_a_line_and_ends_with_the_answer(
    command: Command, ingested: Path
) -> None:
    whole = json.loads(command("ask", BERT, "--corpus", ingested, "--json").stdout)
    told = [
        events.read(line)
        for line in command("ask", BERT, "--corpus", ingested, "--stream", "--json").stdout.splitlines()
    ]
    assert [event.type for event in told if event.type != "stage"] == [
        "token",
        "citation",
        "citation",
        "claim",
        "claim",
        "answer",
    ]
    last = told[-1]
    assert isinstance(last, events.AnswerEvent)
    assert {**last.as_json(), "timings_ms": {}} == {"type": "answer", **whole, "timings_ms": {}}


def test_what_the_answer_says_nothing_of_is_told(command: Command, ingested: Path) -> None:
    both = "How many parameters does BERT-base have, and how many does ZorgNet-9 have?"
    for options in ((), ("--stream",)):
        told = " ".join(command("ask", both, "--corpus", ingested, *options).stdout.split())
        assert "110 million parameters" in told
        assert "None of the passages found mentions ZorgNet-9." in told
    assert json.loads(command("ask", both, "--corpus", ingested, "--json").stdout)["unmentioned"] == [
        "ZorgNet-9"
    ]
    last = command("ask", both, "--corpus", ingested, "--stream", "--json").stdout.splitlines()[-1]
    assert events.read(last).as_json()["unmentioned"] == ["ZorgNet-9"]
    assert "unmentioned" not in json.loads(command("ask", BERT, "--corpus", ingested, "--json").stdout)


def test_a_stream_that_fails_ends_with_an_error(command: Command, tmp_path: Path) -> None:
    done = command("ask", BERT, "--stream", "--json")
    sentence = (
        f"there is no corpus in '.ragkit' of '{tmp_path}' or of a folder above it;"
        " `ragkit ingest PATH` makes one here, and --corpus or --corpus-name uses one elsewhere"
    )
    assert done.returncode == 2
    assert json.loads(done.stdout) == {"type": "error", "message": sentence}
    assert done.stderr == f"{sentence}\n"


def test_in_a_pipe_a_stream_shows_what_ask_shows(command: Command, ingested: Path) -> None:
    plain, streamed = (
        command("ask", BERT, "--corpus", ingested, *option).stdout for option in ((), ("--stream",))
    )
    assert streamed.split() == plain.split()


def test_what_is_unsupported_is_not_in_a_stream(
    command: Command, ingested: Path, model_server: Any, model: dict[str, str]
) -> None:
    model_server.says = f"{TRUE} {FALSE} DPR trains with in-batch negatives."
    streamed = command(
        "ask", DPR, "--config", ROOT / "configs" / "llm.yaml", "--corpus", ingested, "--stream", **model
    ).stdout
    shown = streamed.partition("\n\n[1]")[0]
    assert shown.startswith(
        "DPR adds one hard negative per question taken from the top BM25 results. [1] DPR trains with in-batch negatives."
    )
    assert "nine" not in streamed


# --- ragkit chat


def test_chat_answers_from_a_pipe_and_follows_up(ingested: Path) -> None:
    done = said(DPR, "and how many questions in a batch?", "/reset", "/quit", "never asked", corpus=ingested)
    assert (done.returncode, done.stderr) == (0, "the conversation begins anew\n")
    assert done.stdout.count("[1] Dense Passage Retrieval for Open-Domain Question Answering  quoted") == 2
    assert "never asked" not in done.stdout


def test_a_session_is_saved_as_it_goes_and_resumed(ingested: Path, tmp_path: Path) -> None:
    talk = tmp_path / "talk.jsonl"
    first = said(DPR, corpus=ingested, options=("--session", str(talk)))
    assert first.stderr == f"a new conversation, kept in '{talk}'\n"
    again = said(
        "/history",
        "and how many questions in a batch?",
        "/sources",
        corpus=ingested,
        options=("--session", str(talk)),
    )
    assert again.stderr == f"1 question and its answer found in '{talk}'\n"
    assert again.stdout.startswith(f"> {DPR}\n")
    assert again.stdout.count("[1] Dense Passage Retrieval for Open-Domain Question Answering  quoted") == 2
    assert len(talk.read_text().splitlines()) == 2


def test_a_conversation_can_be_saved_later(ingested: Path, tmp_path: Path) -> None:
    talk = tmp_path / "talk.jsonl"
    done = said(DPR, f"/save {talk}", "and how many questions in a batch?", corpus=ingested)
    assert done.stderr == f"saved in '{talk}', from now on too\n"
    assert [json.loads(line)[0]["data"]["content"] for line in talk.read_text().splitlines()] == [
        DPR,
        "and how many questions in a batch?",
    ]


def test_a_chat_filters_and_exports_and_a_reset_keeps_what_was_saved(ingested: Path, tmp_path: Path) -> None:
    talk, notes, papers = (tmp_path / name for name in ("talk.jsonl", "notes.md", "papers.bib"))
    lines = (DPR, f"/export {notes}", f"/export {papers}", "/reset", "/where title contains DistilBERT", DPR)
    done = said(*lines, corpus=ingested, options=("--session", str(talk)))
    assert (done.returncode, done.stderr.splitlines()[1:]) == (
        0,
        [
            f"written to '{notes}'",
            f"written to '{papers}'",
            "the conversation begins anew",
            "from now on, only passages with title contains DistilBERT",
        ],
    )
    assert notes.read_text().startswith(f"## {DPR}\n\n")
    assert "- [1] Dense Passage Retrieval" in notes.read_text()
    assert "Dense Passage Retrieval" in papers.read_text()
    first, reset, last = talk.read_text().splitlines()
    assert (DPR in first, reset, "Dense Passage" in last) == (True, "[]", False)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/open 1", "nothing has been asked yet; ask a question first"),
        ("/open", "'/open' needs an argument; /help lists the commands"),
        ("/export notes.xyz", "'notes.xyz' has no ending that names a format; use .md, .bib, .ris, .json"),
    ],
)
def test_what_chat_cannot_do_is_one_sentence(ingested: Path, line: str, sentence: str) -> None:
    done = said(line, corpus=ingested)
    assert (done.returncode, done.stderr) == (2, f"{sentence}\n")


def test_a_damaged_session_is_one_sentence_and_stays_as_it_is(ingested: Path, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("Dear diary")
    done = said(DPR, corpus=ingested, options=("--session", str(tmp_path / "diary.txt")))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"line 1 of '.*diary.txt' is not of a conversation; mend it or name another file \(this one is left as it is\)\n",
        done.stderr,
    )
    assert (tmp_path / "diary.txt").read_text() == "Dear diary"


def test_what_chat_does_not_know_is_one_sentence(ingested: Path) -> None:
    done = said("/dance", corpus=ingested)
    assert (done.returncode, done.stderr) == (2, "there is no command '/dance'; /help lists the commands\n")


# --- on a terminal


class Terminal:
    """`ragkit` with a terminal to talk to."""

    def __init__(self, *arguments: str | Path, **environment: str) -> None:
        mine, its = pty.openpty()
        settings = termios.tcgetattr(its)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(its, termios.TCSANOW, settings)
        known = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40", **environment}
        command = [sys.executable, "-m", "ragkit", *map(str, arguments)]
        hears = partial(
            signal.signal, signal.SIGINT, signal.SIG_DFL
        )  # which what runs in the background of a shell does not
        self.process = subprocess.Popen(
            command, stdin=its, stdout=its, stderr=its, env=known, start_new_session=True, preexec_fn=hears
        )
        os.close(its)
        self.screen, self.seen = mine, ""

    def until(self, wanted: str) -> str:
        """What is shown next, until *wanted* is, or until the end."""
        while wanted not in self.seen:
            assert select.select([self.screen], [], [], 60)[0], self.seen
            try:
                self.seen += os.read(self.screen, 65536).decode(errors="replace")
            except OSError:  # it has ended
                break
        shown, _, self.seen = self.seen.partition(wanted)
        return shown

    def type(self, line: str) -> None:
        os.write(self.screen, f"{line}\n".encode())


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*arguments: str | Path, **environment: str) -> Terminal:
        opened.append(Terminal(*arguments, **environment))
        return opened[-1]

    yield start
    for each in opened:
        each.process.kill()
        each.process.wait()
        os.close(each.screen)


def test_on_a_terminal_what_is_unsupported_is_gone_in_the_end(
    terminal: Callable[..., Terminal], ingested: Path, model_server: Any, model: dict[str, str]
) -> None:
    model_server.says = f"{TRUE} {FALSE} DPR trains with in-batch negatives."
    shell = terminal(
        "ask", DPR, "--config", ROOT / "configs" / "llm.yaml", "--corpus", ingested, "--stream", **model
    )
    last = shell.until("characters that never come").rpartition("\x1b[2K")[2]
    assert "DPR adds one hard negative per question" in last
    assert "nine" not in last


def heard(asked: socket.socket) -> bytes:
    """All that a client says before it waits for a reply."""
    asked.settimeout(60)
    said = asked.recv(65536)
    asked.settimeout(1)
    try:
        while more := asked.recv(65536):
            said += more
    except TimeoutError:
        pass
    return said


def test_a_question_that_is_stopped_is_forgotten_and_the_chat_goes_on(
    terminal: Callable[..., Terminal], ingested: Path, tmp_path: Path, model: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        model["RAGKIT_BASE_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        talk = tmp_path / "talk.jsonl"
        shell = terminal(
            "chat",
            "--corpus",
            ingested,
            "--session",
            talk,
            "--config",
            ROOT / "configs" / "llm.yaml",
            **model,
        )
        shell.until("> ")
        shell.type(DPR)
        with silent.accept()[0] as asked:
            assert heard(asked)  # the model has the question, and says nothing
            shell.process.send_signal(signal.SIGINT)
            assert "stopped; the question is forgotten" in shell.until("> ")
        shell.type("/dance")
        assert "there is no command '/dance'; /help lists the commands" in shell.until("> ")
        shell.type("/quit")
        assert shell.process.wait(60) == 0
        assert not talk.exists()
