"""Health, metrics, shutdown, new generations, logs, and the files to deploy with."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import psutil
import yaml
from postgres import Server
from support import ROOT
from typer.testing import CliRunner
from workers import pipeline, write

import ragkit
from ragkit.cli import app
from ragkit.corpus.postgres import PostgresCorpus

Serving = Callable[..., httpx2.Client]
BERT = "How many parameters do BERT-base and BERT-large have?"
DEPLOY = ROOT / "deploy"
KEYWORDS = (
    "--set=answer.retrieve={type: lexical, index: {type: bm25}, k: 20}",
    "--set=answer.fuse=rrf",
    "--set=answer.refine={type: top, k: 5}",
)
WARMING = 200  # searches, after which caches are full
MAY_GROW = 40_000_000  # bytes in 2,000 searches; 20 kB a search


def test_it_is_alive_and_becomes_ready(server: httpx2.Client) -> None:
    assert server.get("/livez").json() == {"alive": True}
    server.post("/api/search", json={"query": "x"})
    for place in ("/readyz", "/health"):
        assert server.get(place).json() == {"ready": True, "reasons": []}


def test_what_is_lacking_is_told(serving: Serving, tmp_path: Path) -> None:
    client = serving(ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "none"))
    reply = client.get("/readyz")
    assert reply.status_code == 503
    assert any("no papers are ingested yet" in reason for reason in reply.json()["reasons"])
    assert str(tmp_path) not in reply.text


def test_a_server_that_could_not_fetch_the_published_indexes_answers_from_the_state_before_and_says_so(
    serving: Serving, postgres: Server, tmp_path: Path
) -> None:
    depot = tmp_path / "depot"
    depot.mkdir()
    builder = PostgresCorpus(postgres.database(f"db{time.time_ns()}"), tmp_path / "builder", depot=str(depot))
    write(tmp_path / "papers", 3)
    pipeline(builder).ingest(tmp_path / "papers")
    client = serving(pipeline(replace(builder, folder=tmp_path / "server")))
    asked = {"query": "bridge 2 people across river 1"}
    before = client.post("/api/search", json=asked).json()
    assert client.get("/readyz").json() == {"ready": True, "reasons": []}
    there = set(depot.rglob("*"))
    write(tmp_path / "papers", 9)
    pipeline(builder).ingest(tmp_path / "papers")
    for path in set(depot.rglob("*.f32")) - there:
        path.write_bytes(b"x" * path.stat().st_size)
    reply = client.get("/readyz")
    assert reply.status_code == 200
    assert reply.json() == {
        "ready": True,
        "reasons": [
            "default: answers from the state before the published one, which is not fetched from the depot yet;"
            " the server's log has the reason"
        ],
    }
    assert client.post("/api/search", json=asked).json() == before
    fresh = serving(pipeline(replace(builder, folder=tmp_path / "fresh")))
    fresh.post("/api/search", json=asked)
    reply = fresh.get("/readyz")
    assert (reply.status_code, reply.json()["ready"]) == (503, False)
    assert reply.json()["reasons"][-1] == (
        "default: the indexes cannot be fetched from the depot now; the server's log has the reason"
    )


def test_questions_are_counted(serving: Serving, ingested: Path) -> None:
    client = serving(ragkit.load(ROOT / "configs" / "default.yaml", corpus=ingested))
    client.post("/api/ask", json={"question": BERT})
    client.post("/api/ask", json={"question": "What is the capital of France?"})
    client.post("/api/ask", json={"question": BERT, "where": "year >="})
    told = client.get("/metrics").text
    for outcome in ("answered", "abstained", "failed"):
        assert f'ragkit_questions_total{{outcome="{outcome}"}} 1.0' in told
    assert re.search(r'ragkit_claims_total\{verdict="\w+"\} [1-9]', told)
    assert "ragkit_question_seconds_count 3.0" in told
    assert 'ragkit_stage_seconds_count{stage="retrieve"}' in told
    assert "ragkit_abstentions_total{" in told
    assert "ragkit_generation{" in told
    assert "ragkit_inflight 0.0" in told
    assert 'ragkit_queue{state="waiting"} 0.0' in told


def test_what_another_process_ingests_answers_the_next_question(serving: Serving, tmp_path: Path) -> None:
    corpus, note = tmp_path / "corpus", tmp_path / "terns.md"
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=corpus)
    rag.ingest(ROOT / "examples" / "papers" / "bert.md")
    client = serving(rag)
    assert client.get("/api/papers").json()["total"] == 1
    note.write_text("# Terns\n\nThe Arctic tern flies 70,000 kilometres a year.\n")
    ragkit.load(ROOT / "configs" / "default.yaml", corpus=corpus).ingest(note)
    answer = client.post("/api/ask", json={"question": "How far does the Arctic tern fly in a year?"}).json()
    assert "70,000 kilometres" in answer["answer"]


def started(corpus: Path, stderr: int, *more: str) -> tuple[subprocess.Popen[str], str]:
    """A server in a process of its own, and its address."""
    options = ["--config", str(ROOT / "configs" / "default.yaml"), "--corpus", str(corpus), "--port", "0"]
    command = [sys.executable, "-u", "-m", "ragkit", "serve", *options, *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().split()[-1]


def test_a_server_that_is_stopped_answers_what_it_accepted_and_logs_it(ingested: Path) -> None:
    process, address = started(ingested, subprocess.PIPE)
    replies: list[Any] = []

    def ask() -> None:
        replies.append(httpx2.post(f"{address}/api/ask", json={"question": BERT}, timeout=60))

    asking = threading.Thread(target=ask)
    asking.start()  # while the models are being loaded
    until = time.monotonic() + 30
    while "ragkit_inflight 1.0" not in httpx2.get(f"{address}/metrics").text and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    asking.join(60)
    _, logged = process.communicate(timeout=60)
    assert replies[0].status_code == 200
    assert "340 million" in replies[0].json()["answer"]
    lines = [json.loads(line) for line in logged.splitlines() if line.startswith("{")]
    [line] = [line for line in lines if line["path"] == "/api/ask"]
    assert (line["method"], line["status"]) == ("POST", 200)
    assert line["request"] == replies[0].headers["x-request-id"]
    assert BERT not in logged


def test_many_searches_keep_no_memory(ingested: Path) -> None:
    process, address = started(ingested, subprocess.DEVNULL, *KEYWORDS)
    resident = psutil.Process(process.pid).memory_info

    def search(n: int) -> int:
        query = {"query": f"How many parameters has model {n % 20}?", "k": 5}
        return client.post("/api/search", json=query).status_code

    with httpx2.Client(base_url=address, timeout=60) as client, ThreadPoolExecutor(4) as pool:
        assert set(pool.map(search, range(WARMING))) == {200}
        before = resident().rss
        assert set(pool.map(search, range(WARMING, WARMING + 2000))) == {200}
    assert resident().rss - before < MAY_GROW
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def test_options_limit_an_address_and_name_who_may_frame_a_paper(
    ingested: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    chat = "https://chat.example"
    process, address = started(
        ingested, subprocess.DEVNULL, *KEYWORDS, "--per-minute=2", "--frame-ancestor", chat
    )
    with httpx2.Client(base_url=address, timeout=60) as client:
        replies = [client.post("/api/search", json={"query": "x"}).status_code for _ in range(3)]
        policy = client.get("/papers/x", headers={"accept": "text/html"}).headers["content-security-policy"]
    assert replies == [200, 200, 429]
    assert policy.endswith(f"frame-ancestors 'self' {chat}")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    for wrong in ("chat.example", "https://chat.example/x", "*", "https://a.example; script-src *"):
        done = command("serve", "--frame-ancestor", wrong)
        assert (done.returncode, f"--frame-ancestor {wrong} is no origin" in done.stderr) == (2, True)


# --- the files to deploy with


def options_of(arguments: list[str]) -> set[str]:
    return {argument for argument in arguments if argument.startswith("--")}


def known_options() -> set[str]:
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    return set(re.findall(r"--[a-z-]+", shown))


def test_the_dockerfile_copies_what_is_there_and_runs_what_exists() -> None:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    steps = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
    assert steps[0][0] == "FROM"
    for kind, rest in steps:
        if kind == "COPY":
            assert all((ROOT / name).exists() for name in rest.split()[:-1])
    command = json.loads(next(rest for kind, rest in steps if kind == "CMD"))
    assert options_of(command) <= known_options()
    assert any((kind, rest) == ("USER", "ragkit") for kind, rest in steps)


def test_the_compose_file_starts_what_exists() -> None:
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    ours = found["services"]["ragkit"]
    assert (DEPLOY / ours["build"]["context"] / ours["build"]["dockerfile"]).resolve().exists()
    assert options_of(ours["command"]) <= known_options()
    assert set(ours["depends_on"]) <= found["services"].keys()
    named = {volume.split(":")[0] for each in found["services"].values() for volume in each["volumes"]}
    assert named == found["volumes"].keys()
    assert all(port.startswith("127.0.0.1:") for port in ours["ports"])


def test_the_unit_starts_what_exists() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "ragkit.service")
    command = shlex.split(unit["Service"]["ExecStart"])
    assert command[1] == "serve"
    assert options_of(command) <= known_options()
    assert int(unit["Service"]["TimeoutStopSec"]) > 30
