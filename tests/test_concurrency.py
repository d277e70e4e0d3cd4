"""One corpus, several processes and threads at once: readers are never disturbed, and one writes at a time.

Every part that could take the tests down with it, or must be killed, is a process of its own: this file as a
script.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

import ragkit
from ragkit.doctor import examine
from ragkit.document import scores_of, sources_of, span_of, title_of
from ragkit.flow import Progress

OLD, NEW, PARTS = (
    200,
    800,
    2,
)  # papers before; papers that come while there are readers; ingests that they come in
A_FILE = 100
PROCESSES = THREADS = 4
EDITIONS, REPLACED = 8, 10  # how often papers are replaced, and how many
SOON = 2.0  # seconds after which an open reader must have seen what was ingested

PATIENCE = (
    200  # seconds until a process is taken for one that hangs; on a busy machine each of its steps takes long
)
ENVIRONMENT = {**os.environ, "RAGKIT_ALLOW_IMPORT": "ragkit"}
PIPELINE = """
corpus: {corpus}
define:
  dense: &dense {{type: chroma, embed: {{type: ragkit.testing.HashedEmbeddings, size: 512}}}}
  words: &words bm25
ingest: {{chunk: {{type: sentence, max_tokens: 40}}, index: [*dense, *words]}}
answer:
  retrieve: [{{type: dense, store: *dense, k: 10}}, {{type: lexical, index: *words, k: 10}}]
  generate: extractive
  verify: evidence
"""


# --- papers


def word(chance: random.Random) -> str:
    return "".join(chance.choice("bdfgklmnprst") + chance.choice("aeiou") for _ in range(3))


def title(n: int) -> str:
    chance = random.Random(n)
    return f"{word(chance).title()} {word(chance)} {word(chance)} number {n}"


def text(n: int, edition: int = 0) -> str:
    """Four sentences, each of which names the paper and the edition."""
    chance = random.Random(f"{n} {edition}")
    return " ".join(
        f"The {word(chance)} of paper {n} in edition {edition} carries {word(chance)} and {word(chance)} to {word(chance)}."
        for _ in range(4)
    )


def write(folder: Path, numbers: range) -> Path:
    """Papers, so many to a file."""
    folder.mkdir(exist_ok=True)
    for at in range(0, len(numbers), A_FILE):
        some = numbers[at : at + A_FILE]
        lines = [json.dumps({"title": title(n), "text": text(n)}) for n in some]
        (folder / f"from{some[0]:05}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def write_edition(folder: Path, numbers: range, edition: int) -> Path:
    """Papers whose text is another in each edition, put in place whole."""
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"title": title(n), "text": text(n, edition)}) for n in numbers]
    (folder.parent / "unfinished").write_text("\n".join(lines) + "\n")
    (folder.parent / "unfinished").replace(folder / "edition.jsonl")
    return folder


# --- what a reader sees


@dataclass
class Seen:
    """What readers did and what was wrong with it, each fault told once with how often it was."""

    searches: int = 0
    answers: int = 0
    opened: int = 0
    faults: dict[str, dict[str, int]] = field(default_factory=dict)

    def fault(self, kind: str, what: str) -> None:
        known = self.faults.setdefault(kind, {})
        if what in known or len(known) < 5:
            known[what] = known.get(what, 0) + 1

    def add(self, other: dict[str, Any]) -> None:
        self.searches += other["searches"]
        self.answers += other["answers"]
        self.opened += other["opened"]
        for kind, faults in other["faults"].items():
            for what in faults:
                self.fault(kind, what)


EVERY_TITLE = frozenset(map(title, range(OLD + NEW)))


def look(rag: ragkit.Rag, n: int, seen: Seen) -> None:
    """Search for paper *n* and ask about it, and check all that comes back."""
    try:
        hits = rag.search(title(n))
        seen.searches += 1
        if title(n) not in map(title_of, hits):
            seen.fault("lost", f"paper {n}")
        for hit in hits:
            span = span_of(hit)
            check_span(rag, span.document_id, span.start, span.end, hit.page_content, title_of(hit), seen)
        answer = rag.ask(f"What does paper {n} carry? {title(n)}")
        seen.answers += 1
        for citation in answer.citations:
            check_span(
                rag, citation.document_id, citation.start, citation.end, citation.quote, citation.title, seen
            )
            if not citation.sources:
                seen.fault("false", f"“{citation.title}” is cited from no file")
        if not answer.citations:
            seen.fault("lost", f"an answer about paper {n}")
    except Exception as error:
        seen.fault("raised", f"{type(error).__name__}: {error} {getattr(error, '__notes__', '')}")


def check_span(
    rag: ragkit.Rag, identity: str | None, start: int, end: int, quote: str, name: str, seen: Seen
) -> None:
    paper = rag.corpus.document(str(identity))
    if paper is None or title_of(paper) != name or name not in EVERY_TITLE:
        seen.fault("false", f"there is no paper {identity} called “{name}”")
    elif not quote or paper.page_content[start:end] != quote:
        seen.fault("false", f"{start}:{end} of “{name}” is not “{quote}”")


def see_new(rag: ragkit.Rag, numbers: range, seen: Seen) -> None:
    """Search until both indexes find each of the new papers by its title, or it has taken too long."""
    until = time.monotonic() + SOON
    for n in numbers:
        while True:
            late = time.monotonic() > until
            found: set[str] = set()
            try:
                for hit in rag.search(title(n), 20):
                    found |= set(scores_of(hit)) if title_of(hit) == title(n) else set()
            except Exception as error:
                seen.fault("raised", f"{type(error).__name__}: {error} {getattr(error, '__notes__', '')}")
            if found >= {"dense", "lexical"}:
                break
            if late:
                seen.fault("unseen", f"paper {n} is found by {' and '.join(found) or 'neither index'} only")
                break


# --- the other processes: this file as a script


def reader(pipeline: str, stop: str, threads: str) -> None:
    """Ask and search with one Rag in so many threads until *stop* exists; then look for the new papers."""
    os.nice(10)  # so that the writer gets on
    rag = ragkit.load(pipeline)
    every = [Seen(opened=1 if t == 0 else 0) for t in range(int(threads))]
    look(rag, 0, every[0])
    print("ready", flush=True)

    def work(seen: Seen, seed: int) -> None:
        chance = random.Random(seed)
        while not Path(stop).exists():
            look(rag, chance.randrange(OLD), seen)

    working = [threading.Thread(target=work, args=(seen, t)) for t, seen in enumerate(every)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    total = every[0]
    for seen in every[1:]:
        total.add(vars(seen))
    see_new(rag, range(OLD, OLD + NEW, NEW // 12), total)
    see_new(ragkit.load(pipeline), range(OLD, OLD + NEW, NEW // 12), total)
    print(json.dumps(vars(total)))


def opener(pipeline: str, stop: str) -> None:
    """Open the corpus anew again and again, each time in a process of its own, until *stop* is there."""
    import chromadb  # noqa: F401  # imported once, and nothing opened: what is forked is as good as a new process
    import tantivy  # noqa: F401

    total = Seen()
    chance = random.Random(0)
    print("ready", flush=True)
    while not Path(stop).exists():
        numbers = [chance.randrange(OLD) for _ in range(3)]
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(15)  # one that hangs is killed
            seen = Seen(opened=1)
            rag = ragkit.load(pipeline)
            for n in numbers:
                look(rag, n, seen)
            os.write(writing, json.dumps(vars(seen)).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        if said:
            total.add(json.loads(said))
        if os.WIFSIGNALED(status):
            total.fault("raised", f"killed by {signal.Signals(os.WTERMSIG(status)).name}")
        elif status:
            total.fault("raised", f"exit status {os.waitstatus_to_exitcode(status)}")
    print(json.dumps(vars(total)))


def finder(pipeline: str) -> None:
    """Look for papers old and new with both indexes."""
    seen = Seen(opened=1)
    see_new(ragkit.load(pipeline), range(0, OLD + NEW, 7), seen)
    print(json.dumps(vars(seen)))


def writer(pipeline: str, folder: str, stage: str) -> None:
    """Ingest; at the first event of *stage*, say so and wait to be told to go on."""
    waiting = True
    for event in ragkit.load(pipeline).ingest_events(folder):
        if waiting and isinstance(event, Progress) and event.stage == stage:
            waiting = False
            print("ready", flush=True)
            sys.stdin.readline()


def starter(pipeline: str, folder: str) -> None:
    """Get ready to ingest, and do so the moment that the word comes."""
    rag = ragkit.load(pipeline)
    import chromadb  # noqa: F401
    import tantivy  # noqa: F401

    print("ready", flush=True)
    sys.stdin.readline()
    try:
        rag.ingest(folder)
    except ragkit.CorpusError as error:
        sys.exit(str(error))


def replacer(pipeline: str, folder: str) -> None:
    """Ingest one edition after another of the same papers."""
    rag = ragkit.load(pipeline)
    print("ready", flush=True)
    sys.stdin.readline()
    for edition in range(1, EDITIONS):
        rag.ingest(write_edition(Path(folder), range(REPLACED), edition))


def editions(pipeline: str, stop: str) -> None:
    """Search for the papers that are being replaced; each passage must be of one edition."""
    rag = ragkit.load(pipeline)
    seen = Seen()
    rag.search(title(0))
    print("ready", flush=True)
    while not Path(stop).exists():
        for n in range(REPLACED):
            look_at_edition(rag, n, seen)
    print(json.dumps(vars(seen)))


def look_at_edition(rag: ragkit.Rag, n: int, seen: Seen) -> None:
    """Search for paper *n* while it is replaced; every passage must come from one of its editions."""
    try:
        hits = [hit for hit in rag.search(title(n), 20) if title_of(hit) == title(n)]
    except Exception as error:
        return seen.fault("raised", f"{type(error).__name__}: {error} {getattr(error, '__notes__', '')}")
    seen.searches += 1
    if not hits:
        seen.fault("lost", f"paper {n}")
    for hit in hits:
        span, named = span_of(hit), set(re.findall(r"in edition (\d+)", hit.page_content))
        if len(named) != 1 or text(n, int(min(named)))[span.start : span.end] != hit.page_content:
            seen.fault("torn", f"{span.start}:{span.end} of paper {n}: “{hit.page_content}”")
        if not sources_of(hit):
            seen.fault("sourceless", f"a passage of paper {n}")
    if len({span_of(hit).document_id for hit in hits}) > 1:
        seen.fault("mixed", f"paper {n}")
    return None


# --- running them


def save_pipeline(folder: Path, corpus: Path | None = None) -> Path:
    path = folder / "ragkit.yaml"
    path.write_text(PIPELINE.format(corpus=json.dumps(str(corpus or folder / "corpus"))))
    return path


def load(pipeline: Path) -> ragkit.Rag:
    return ragkit.load(pipeline, allow_import=["ragkit"])


def run(*arguments: object) -> str:
    """The output of a command that does what it should, and complains of nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "ragkit", *map(str, arguments)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), (
        f"`ragkit {arguments[0]}`: exit status {done.returncode}, {done.stderr}{alive(done.stderr)}"
    )
    return done.stdout


def alive(said: str) -> str:
    """Which processes run that a message names, so that it is seen who holds a lock."""
    numbers = [int(number) for number in re.findall(r"process (\d+)", said)]
    return "".join(f"{number}: {psutil.Process(number)}\n" for number in numbers if psutil.pid_exists(number))


@contextmanager
def started(role: Callable[..., None], *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that plays *role*, once it is ready; it is gone when the block is left."""
    process = subprocess.Popen(
        [sys.executable, __file__, role.__name__, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        pytest.fail(process.communicate()[1])


def told(process: subprocess.Popen[str]) -> Seen:
    """What a reader has to say once it is over; one that died says so."""
    seen = Seen()
    try:
        out, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        seen.fault("raised", "it hangs")
        return seen
    if errors:
        seen.fault("said", errors.strip())
    if process.returncode < 0:
        seen.fault("raised", f"killed by {signal.Signals(-process.returncode).name}")
    elif process.returncode:
        seen.fault("raised", errors)
    else:
        seen.add(json.loads(out))
    return seen


# --- readers beside a writer


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Seen]]:
    """A corpus that was ingested into while it was read, and what each kind of reader saw of it."""
    folder = tmp_path_factory.mktemp("beside")
    pipeline, papers, stop = save_pipeline(folder), write(folder / "papers", range(OLD)), folder / "stop"
    run("ingest", papers, "--config", pipeline)
    with ExitStack() as stack:
        kinds: list[tuple[str, tuple[Any, ...]]] = [("process", (reader, pipeline, stop, 1))] * PROCESSES
        kinds += [("threads", (reader, pipeline, stop, THREADS)), ("opener", (opener, pipeline, stop))]
        running = [(name, stack.enter_context(started(*what))) for name, what in kinds]
        for _, process in running:
            ready(process)
        for part in range(PARTS):
            write(papers, range(OLD + part * NEW // PARTS, OLD + (part + 1) * NEW // PARTS))
            run("ingest", papers, "--config", pipeline)
        stop.touch()
        seen: dict[str, Seen] = {}
        for name, process in running:
            seen.setdefault(name, Seen()).add(vars(told(process)))
    return pipeline, seen


KINDS = ("process", "threads", "opener")


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_beside_a_writer_never_fails(beside: tuple[Path, dict[str, Seen]], kind: str) -> None:
    seen = beside[1][kind]
    assert seen.faults.get("raised", {}) == {}
    assert min(seen.searches, seen.answers, 10 * seen.opened) >= 10, (
        "too little was read beside the writer to show anything"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_beside_a_writer_takes_no_index_for_damaged(
    beside: tuple[Path, dict[str, Seen]], kind: str
) -> None:
    assert beside[1][kind].faults.get("said", {}) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_beside_a_writer_finds_what_was_there_before_every_time(
    beside: tuple[Path, dict[str, Seen]], kind: str
) -> None:
    assert beside[1][kind].faults.get("lost", {}) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_beside_a_writer_is_told_exact_characters_of_papers_that_exist(
    beside: tuple[Path, dict[str, Seen]], kind: str
) -> None:
    assert beside[1][kind].faults.get("false", {}) == {}


@pytest.mark.parametrize("kind", ["process", "threads"])
def test_a_reader_that_was_open_the_whole_time_sees_the_new_papers(
    beside: tuple[Path, dict[str, Seen]], kind: str
) -> None:
    assert beside[1][kind].faults.get("unseen", {}) == {}


def test_what_was_ingested_beside_readers_is_sound_and_whole(beside: tuple[Path, dict[str, Seen]]) -> None:
    pipeline = beside[0]
    diagnosis = json.loads(run("doctor", "--config", pipeline, "--json"))
    assert (diagnosis["problems"], diagnosis["counts"]["documents"]) == ([], OLD + NEW)
    with started(finder, pipeline) as process:
        seen = told(process)
    assert seen.faults == {}
    assert seen.opened == 1


# --- one writer at a time


def test_a_second_writer_is_refused_at_once_with_the_first_ones_number(tmp_path: Path) -> None:
    pipeline, papers = save_pipeline(tmp_path), write(tmp_path / "papers", range(20))
    with started(writer, pipeline, papers, "index") as first:
        ready(first)
        with pytest.raises(AssertionError) as refused:
            run("ingest", papers, "--config", pipeline)
        sentence = rf"the corpus in '.*' is being written by process {first.pid} since [\d: -]+; wait for it to finish"
        assert re.fullmatch(
            rf"`ragkit ingest`: exit status 1, {sentence}", str(refused.value).splitlines()[0]
        )
        rag, began = load(pipeline), time.monotonic()
        with pytest.raises(ragkit.CorpusError, match=f"process {first.pid} "):
            rag.ingest(papers)
        with pytest.raises(ragkit.CorpusError, match=f"process {first.pid} "):
            rag.repair()
        assert time.monotonic() - began < 5
        assert rag.corpus.problems() == []
        _, errors = first.communicate("go on\n", timeout=PATIENCE)
    assert (first.returncode, errors) == (0, "")
    report = rag.ingest(write(papers, range(A_FILE, A_FILE + 20)))
    assert report.documents == 40
    assert examine(rag).problems == ()
    rag.corpus.close()


@pytest.mark.parametrize("stage", ["read", "chunk", "index"])
def test_a_killed_writers_lock_is_taken_over_at_once(tmp_path: Path, stage: str) -> None:
    pipeline, papers = save_pipeline(tmp_path), write(tmp_path / "papers", range(300))
    with started(writer, pipeline, papers, stage) as first:
        ready(first)
        rag = load(pipeline)
        with pytest.raises(ragkit.CorpusError, match=f"process {first.pid} "):
            rag.repair()
        first.send_signal(signal.SIGKILL)
        first.wait()
        report = rag.ingest(papers)  # which is refused where the lock is held
    assert (report.documents, report.failed) == (300, ())
    assert examine(rag).problems == ()
    rag.corpus.close()


def test_two_first_writers_at_the_same_moment_leave_a_sound_corpus(tmp_path: Path) -> None:
    pipeline = save_pipeline(tmp_path)
    halves = [write(tmp_path / "one", range(100)), write(tmp_path / "other", range(100, 200))]
    with started(starter, pipeline, halves[0]) as one, started(starter, pipeline, halves[1]) as other:
        both = (one, other)
        for process in both:
            ready(process)
        for process in both:
            assert process.stdin is not None
            process.stdin.write("now\n")
            process.stdin.flush()
        said = [process.communicate(timeout=PATIENCE)[1] for process in both]
    statuses = [process.returncode for process in both]
    assert 0 in statuses
    for n, status in enumerate(statuses):
        assert status in (0, 1), said[n]
        if status:
            assert re.search(
                rf"is being written by (process {both[1 - n].pid} since .*|another process); wait for it to finish",
                said[n],
            )
            run("ingest", halves[n], "--config", pipeline)
    assert json.loads(run("doctor", "--config", pipeline, "--json"))["counts"]["documents"] == 200


# --- a reader beside a writer that replaces


@pytest.fixture(scope="module")
def replaced(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What two processes saw of papers that a third replaced again and again."""
    folder = tmp_path_factory.mktemp("replaced")
    stop, pipeline, seen = folder / "stop", save_pipeline(folder), Seen()
    papers = write_edition(folder / "papers", range(REPLACED), 0)
    run("ingest", papers, "--config", pipeline)
    with (
        started(replacer, pipeline, papers) as writing,
        started(editions, pipeline, stop) as one,
        started(editions, pipeline, stop) as other,
    ):
        for process in (writing, one, other):
            ready(process)
        _, errors = writing.communicate("go on\n", timeout=PATIENCE)
        assert (writing.returncode, errors) == (0, "")
        stop.touch()
        for process in (one, other):
            seen.add(vars(told(process)))
    return seen


def test_a_passage_of_a_paper_that_is_being_replaced_is_of_one_edition(replaced: Seen) -> None:
    assert replaced.faults.get("torn", {}) == {}
    assert replaced.searches > 20


def test_a_paper_that_is_being_replaced_is_found_every_time(replaced: Seen) -> None:
    assert (
        replaced.faults.get("lost", {}),
        replaced.faults.get("raised", {}),
        replaced.faults.get("said", {}),
    ) == ({}, {}, {})


def test_at_every_step_of_its_replacement_a_paper_has_one_text_and_a_file(tmp_path: Path) -> None:
    pipeline, some, seen = save_pipeline(tmp_path), range(3), Seen()
    rag, other = load(pipeline), load(pipeline)
    rag.ingest(write_edition(tmp_path / "papers", some, 0))
    for _ in rag.ingest_events(write_edition(tmp_path / "papers", some, 1)):
        for n in some:
            look_at_edition(other, n, seen)
    assert seen.faults == {}
    assert {h.page_content for h in other.search(title(1), 20) if title_of(h) == title(1)} <= {
        h.page_content for h in rag.search(title(1), 20)
    }
    rag.corpus.close()


if __name__ == "__main__":
    {role.__name__: role for role in (reader, opener, finder, writer, starter, replacer, editions)}[
        sys.argv[1]
    ](*sys.argv[2:])
