"""Test sets: questions are self-contained, spans match their quotes, and rejected questions are counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ROOT

import ragkit
from ragkit.cli.show import reviewed
from ragkit.evaluate.dataset import read
from ragkit.evaluate.testset import KINDS, Entry, GoldSpan, Testset, write_events
from ragkit.evaluate.testset.drafts import reads_well
from ragkit.evaluate.testset.model import Written, read_question
from ragkit.flow import Finished, Progress, result_of
from ragkit.testing import scripted_chat

BRIDGE = "We propose GlassSpan, a method that predicts the load of glass bridges from sound. GlassSpan consists of three stages."
TUNNEL = "We introduce TunnelBench, a benchmark of 450 flooded tunnels for rescue robots. We annotated 12 tunnels by hand."
KITES = "Kites fly in the wind. Children like them more than anything else on a beach."


def write(*arguments: Any, **named: Any) -> Testset:
    return cast(Testset, result_of(write_events(*arguments, **named)))


def papers(folder: Path, **texts: str) -> ragkit.Rag:
    """A corpus of papers, each with its title and text."""
    rows = [json.dumps({"title": title.replace("_", " "), "text": text}) for title, text in texts.items()]
    (folder / "papers.jsonl").write_text("\n".join(rows))
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=folder / "corpus")
    rag.ingest(folder / "papers.jsonl")
    return rag


def asked(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    return [(entry.question, entry.answer) for entry in entries]


def test_a_number_is_asked_for_with_the_noun_that_it_counts(tmp_path: Path) -> None:
    found = write(papers(tmp_path, Tunnels=TUNNEL, Kites=KITES), 10, ["number"])
    assert asked(found.entries) == [
        ("How many flooded tunnels does TunnelBench contain?", "450"),
        ("How many tunnels were annotated in the paper on tunnels?", "12"),
    ]


def test_a_definition_is_asked_for_by_its_name(tmp_path: Path) -> None:
    found = write(papers(tmp_path, Bridges=BRIDGE, Kites=KITES), 10, ["definition"])
    assert asked(found.entries) == [
        ("What is GlassSpan?", "a method that predicts the load of glass bridges from sound")
    ]


def test_a_fact_is_asked_for_with_what_is_said_of_the_name(tmp_path: Path) -> None:
    found = write(papers(tmp_path, Bridges=BRIDGE, Kites=KITES), 10, ["fact"])
    [entry] = found.entries
    assert entry == Entry(
        id="fact-1",
        question="Which method predicts the load of glass bridges from sound?",
        answer="GlassSpan",
        gold_titles=("Bridges",),
        must_include=(("GlassSpan",),),
        kind="fact",
        spans=(
            GoldSpan(
                document_id=entry.spans[0].document_id, title="Bridges", start=0, end=82, quote=BRIDGE[:82]
            ),
        ),
    )


def test_an_abbreviation_is_spelled_out(tmp_path: Path) -> None:
    text = "We present Kite Altitude Measuring (KAM), which is cheap. It was flown for a summer on the beach."
    found = write(papers(tmp_path, Kites=text, Bridges=BRIDGE), 5, ["definition"])
    assert ("What does KAM stand for?", "Kite Altitude Measuring") in asked(found.entries)


def test_two_papers_that_share_a_name_are_both_gold(tmp_path: Path) -> None:
    one = "Our robot crosses bridges. We evaluate it on RopeWorld with good results."
    two = "Tunnels are dark. Experiments on RopeWorld show that lamps improve rescue."
    found = write(papers(tmp_path, Bridges=one, Tunnels=two, Kites=KITES), 5, ["two_papers"])
    assert [(e.question, sorted(e.gold_titles), len(e.spans)) for e in found.entries] == [
        ("Which two papers report results on RopeWorld?", ["Bridges", "Tunnels"], 2)
    ]


def test_a_name_of_three_papers_is_not_asked_for(tmp_path: Path) -> None:
    one, two = (
        "We evaluate our robot on RopeWorld with good results.",
        "Experiments on RopeWorld show that lamps improve rescue.",
    )
    rag = papers(tmp_path, Bridges=one, Tunnels=two, Kites=f"{KITES} RopeWorld has none of them.")
    assert write(rag, 5, ["two_papers"]).entries == ()


def test_an_unanswerable_question_has_no_gold_and_asks_for_what_the_paper_does_not_say(
    tmp_path: Path,
) -> None:
    found = write(papers(tmp_path, Tunnels=TUNNEL, Kites=KITES), 3, ["unanswerable"])
    assert found.entries
    assert {
        (entry.answer, entry.gold_titles, entry.must_include, entry.spans) for entry in found.entries
    } == {("", (), (), ())}


def test_what_the_paper_says_is_not_asked_as_unanswerable(tmp_path: Path) -> None:
    said = f"{TUNNEL} TunnelBench is free under the Apache licence, takes 3 GB, and its annotators were paid. Their agreement was high."
    found = write(papers(tmp_path, Tunnels=said, Kites=KITES), 10, ["unanswerable"])
    assert [e.question for e in found.entries if "TunnelBench benchmark" in e.question] == []


def test_what_another_paper_says_as_well_is_ambiguous(tmp_path: Path) -> None:
    rag = papers(
        tmp_path,
        Bridges=BRIDGE,
        Glass="GlassSpan, a method by others, is old. GlassSpan is a method that predicts loads of bridges.",
    )
    found = write(rag, 10, ["definition"])
    assert (found.entries, found.rejected) == ((), {"ambiguous": 1})


def test_no_paper_is_asked_about_too_often(rag: ragkit.Rag) -> None:
    found = write(rag, 24)
    times = Counter(span.document_id for entry in found.entries for span in entry.spans)
    assert max(times.values()) == 1
    assert found.rejected["enough of this paper"] > 0


def test_a_set_has_every_kind_and_the_share_of_unanswerable_questions(rag: ragkit.Rag) -> None:
    found = write(rag, 20, unanswerable=0.25)
    kinds = Counter(entry.kind for entry in found.entries)
    assert set(kinds) == set(KINDS)
    assert kinds["unanswerable"] == round(0.25 * len(found.entries))


def test_a_set_is_a_question_file(rag: ragkit.Rag, tmp_path: Path) -> None:
    entries = write(rag, 10).entries
    (tmp_path / "own.jsonl").write_text("\n".join(json.dumps(entry.as_json()) for entry in entries))
    cases = read(tmp_path / "own.jsonl").cases
    assert [(c.id, c.question, c.answer, c.must_include, c.kind, c.answerable) for c in cases] == [
        (e.id, e.question, e.answer, e.must_include, e.kind, e.kind != "unanswerable") for e in entries
    ]


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), size=st.integers(1, 15))
def test_a_seed_gives_the_same_set_and_every_span_is_its_quote(rag: ragkit.Rag, seed: int, size: int) -> None:
    found = write(rag, size, seed=seed)
    assert found == write(rag, size, seed=seed)
    assert len(found.entries) <= size
    for entry in found.entries:
        for span in entry.spans:
            document = rag.corpus.document(span.document_id)
            assert document is not None
            assert document.page_content[span.start : span.end] == span.quote
        if entry.kind in ("number", "definition", "fact"):
            assert entry.answer in " ".join(entry.spans[0].quote.split())
            assert entry.answer not in entry.question


def test_progress_ends_with_the_set(rag: ragkit.Rag) -> None:
    *progress, last = write_events(rag, 3)
    assert progress == [Progress("testset", n, 3) for n in range(4)]
    assert isinstance(last, Finished)
    assert isinstance(last.result, Testset)


def test_a_sample_keeps_the_order(rag: ragkit.Rag) -> None:
    found = write(rag, 10)
    some = found.sample(4, seed=3)
    assert len(some) == 4
    assert [e for e in found.entries if e in some] == list(some)
    assert found.sample(100) == found.entries


def test_an_empty_corpus_gives_an_empty_set(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "corpus")
    rag.ingest(tmp_path / "none")
    assert write(rag, 5) == Testset(entries=(), rejected={})


# --- with a chat model


def test_a_model_writes_the_question_and_confirms_it(tmp_path: Path) -> None:
    llm = scripted_chat(
        [
            '{"question": "How many flooded tunnels are in TunnelBench?", "answer": "450", "sentence": 1}',
            "450 tunnels",
        ]
    )
    found = write(papers(tmp_path, Tunnels=TUNNEL), 1, ["number"], llm)
    assert asked(found.entries) == [("How many flooded tunnels are in TunnelBench?", "450")]
    assert found.entries[0].spans[0].quote == TUNNEL[:79]


def test_an_answer_that_the_model_does_not_give_again_is_not_confirmed(tmp_path: Path) -> None:
    llm = scripted_chat(
        [
            '{"question": "How many flooded tunnels are in TunnelBench?", "answer": "450", "sentence": 1}',
            "NOT IN THE TEXT",
        ]
    )
    found = write(papers(tmp_path, Tunnels=TUNNEL), 1, ["number"], llm)
    assert (found.entries, found.rejected) == ((), {"not confirmed": 1})


def test_a_reply_that_cannot_be_read_is_asked_for_once_more(tmp_path: Path) -> None:
    llm = scripted_chat(
        [
            "Certainly!",
            '{"question": "How many flooded tunnels are in TunnelBench?", "answer": "450", "sentence": 1}',
            "450",
        ]
    )
    assert len(write(papers(tmp_path, Tunnels=TUNNEL), 1, ["number"], llm).entries) == 1
    unread = write(papers(tmp_path, Tunnels=TUNNEL), 1, ["number"], scripted_chat(["Certainly!"]))
    assert (unread.entries, unread.rejected) == ((), {"reply not understood": 1})


def test_an_answer_that_is_not_in_the_sentence_is_rejected(tmp_path: Path) -> None:
    llm = scripted_chat(
        ['{"question": "How many flooded tunnels are in TunnelBench?", "answer": "460", "sentence": 1}']
    )
    assert write(papers(tmp_path, Tunnels=TUNNEL), 1, ["number"], llm).rejected == {
        "answer not in the span": 1
    }


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("How many flooded tunnels does this paper list?", "points nowhere"),
        ("How many tunnels does the benchmark have for robots?", "points nowhere"),
        ("Are there 450 flooded tunnels in TunnelBench?", "gives the answer away"),
        ("Tunnels how many flooded in TunnelBench", "clumsy"),
        ("Which kite flies highest above the Baltic beach in winter storms?", "paper not found"),
    ],
)
def test_a_question_that_is_no_good_is_counted(tmp_path: Path, question: str, reason: str) -> None:
    llm = scripted_chat([json.dumps({"question": question, "answer": "450", "sentence": 1}), "450"])
    many = {
        f"Kites_{n}": f"{KITES} The kite number {n} flies above the Baltic beach in winter storms."
        for n in range(12)
    }
    found = write(
        papers(tmp_path, Tunnels=TUNNEL, **many)
        if reason == "paper not found"
        else papers(tmp_path, Tunnels=TUNNEL),
        1,
        ["number"],
        llm,
    )
    assert reason in found.rejected


def test_an_unanswerable_question_of_a_model_is_kept_if_nothing_found_answers_it(tmp_path: Path) -> None:
    reply = '{"question": "Who dug the flooded tunnels of TunnelBench?", "answer": "", "sentence": 0}'
    kept = write(
        papers(tmp_path, Tunnels=TUNNEL), 1, ["unanswerable"], scripted_chat([reply, "NOT IN THE TEXT."])
    )
    assert asked(kept.entries) == [("Who dug the flooded tunnels of TunnelBench?", "")]
    dropped = write(
        papers(tmp_path, Tunnels=TUNNEL), 1, ["unanswerable"], scripted_chat([reply, "Rescue robots"])
    )
    assert dropped.rejected == {"not confirmed": 1}


@pytest.mark.parametrize(
    "reply",
    [
        '{"question": "Why?", "answer": "Wind", "sentence": 2}',
        'Here it is:\n```json\n{"question": "Why?", "answer": "Wind", "sentence": "[2]"}\n```',
        "{} Question: Why?\nAnswer: Wind\nSentence: 2",
        '{"note": 1} {"question": " Why? ", "answer": "Wind", "sentence": 2.0}',
    ],
)
def test_replies_are_read_leniently(reply: str) -> None:
    assert read_question(reply) == Written("Why?", "Wind", 2)


@given(st.text())
def test_no_reply_breaks_the_reader(reply: str) -> None:
    read = read_question(reply)
    assert read is None or read.question


@pytest.mark.parametrize(
    ("question", "clean"),
    [
        ("How many tunnels does TunnelBench contain?", True),
        ("What is GlassSpan?", True),
        ("What is?", False),
        ("Which method lowers the loss $L_1$ of the model?", False),
        ("Which method method lowers the loss of a model?", False),
        ("Which method lowers the loss (of a model?", False),
        ("Which method lowers the loss of the?", False),
    ],
)
def test_a_clean_question_reads_well(question: str, clean: bool) -> None:
    assert reads_well(question) is clean


def test_the_command_writes_a_question_file_and_a_collection_that_can_be_measured(
    ingested: Path, tmp_path: Path, command: Callable[..., CompletedProcess[str]]
) -> None:
    done = command(
        "testset", "--corpus", ingested, "--size", "12", "-o", "own.jsonl", "--beir", "own", "--sample", "3"
    )
    assert (done.returncode, done.stderr) == (0, "")
    entries = [json.loads(line) for line in (tmp_path / "own.jsonl").read_text().splitlines()]
    assert done.stdout.startswith(f"{len(entries)} questions in own.jsonl: ")
    found = command("eval", "own.jsonl", "own", "--corpus", ingested, "--workspace", "ws", "--json")
    assert found.returncode == 2  # both datasets are called `own`
    (tmp_path / "own").rename(tmp_path / "papers")
    found = command("eval", "own.jsonl", "papers", "--corpus", ingested, "--workspace", "ws", "--json")
    assert (found.returncode, found.stderr) == (0, "")
    figures = {
        (f["dataset"], f["measure"]): f["value"]
        for f in json.loads(found.stdout)["figures"]
        if f["kind"] is None
    }
    assert figures["papers", "recall@10"] > 0.9
    assert figures["own", "recall@10"] > 0.9


def test_a_kind_that_there_is_not_is_refused(
    ingested: Path, command: Callable[..., CompletedProcess[str]]
) -> None:
    done = command("testset", "--corpus", ingested, "--kind", "riddle")
    assert (done.returncode, done.stderr) == (
        2,
        "there is no kind 'riddle' (known: number, definition, fact, two_papers, unanswerable)\n",
    )


def test_only_what_the_reviewer_keeps_is_kept(rag: ragkit.Rag, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = write(rag, 5).entries
    said = iter(["", "n", "y", "q"])
    monkeypatch.setattr("builtins.input", lambda _: next(said))
    assert list(reviewed(entries)) == [entries[0], *entries[2:]]
