"""Evaluations: nothing asked twice, budgets held, failures survived, and what comes out of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from xml.etree import ElementTree

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr
from support import NOTES, ROOT

import ragkit
from ragkit.errors import UsageError
from ragkit.evaluate.dataset import Case, Dataset, read, write_beir
from ragkit.evaluate.estimate import estimate
from ragkit.evaluate.evaluation import Evaluation, Requirement, regressions
from ragkit.evaluate.judge import ChatJudge
from ragkit.evaluate.run import (
    Assessors,
    Budget,
    Configuration,
    Settings,
    evaluate,
    evaluate_events,
    with_runs,
)
from ragkit.flow import Progress
from ragkit.fuse import MinMaxFusion
from ragkit.gate import CalibratedGate, Logistic
from ragkit.generate.chat import CitedGenerator
from ragkit.retrieve import LexicalRetriever
from ragkit.testing import HashedEmbeddings

LIGHT = Assessors(embed=HashedEmbeddings())


class Speaker(BaseChatModel):
    """A chat model that counts what it is asked, and fails for questions with a certain word."""

    says: str = "DPR trains with in-batch negatives [1]."
    fails_on: str = "no such word"
    _asked: list[str] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "speaker"

    @property
    def asked(self) -> list[str]:
        return self._asked

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> ChatResult:
        question = (
            str(messages[-1].content)
            .rpartition("<question-")[2]
            .partition("\n")[2]
            .partition("\n</question-")[0]
        )
        self._asked.append(question)
        if self.fails_on in question:
            raise TimeoutError("the server did not answer")
        usage = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.says, usage_metadata=usage))])  # type: ignore[typeddict-item]


QUESTIONS = Dataset(
    "questions",
    (
        Case(
            "1",
            "What kind of negatives does DPR train with?",
            answer="In-batch negatives.",
            must_include=(("in-batch",),),
            kind="fact",
        ),
        Case(
            "2",
            "How many parameters has BERT-base?",
            answer="110 million.",
            must_include=(("110",),),
            kind="number",
        ),
        Case("3", "How many layers has BERT-large?", answer="24.", must_include=(("24",),), kind="number"),
        Case("4", "Who painted the Mona Lisa?", answerable=False, kind="unanswerable"),
    ),
    "digest",
)


def pipeline(rag: ragkit.Rag, **changed: Any) -> ragkit.Rag:
    """*rag* with another answer part."""
    return ragkit.Rag(
        corpus=rag.corpus.directory,
        ingest=rag.ingest_pipeline,
        answer=replace(rag.answer_pipeline, **changed),
    )


def speaking(rag: ragkit.Rag, speaker: Speaker, **changed: Any) -> Configuration:
    return Configuration("speaker", pipeline(rag, generate=CitedGenerator(llm=speaker), gate=None, **changed))


def test_what_was_asked_before_is_not_asked_again(rag: ragkit.Rag, tmp_path: Path) -> None:
    speaker, settings = Speaker(), Settings(workspace=tmp_path, assessors=LIGHT)
    first = evaluate([speaking(rag, speaker)], [QUESTIONS], settings)
    assert speaker.asked == [c.question for c in QUESTIONS.cases]
    again = evaluate([speaking(rag, speaker)], [QUESTIONS], settings)
    assert (len(speaker.asked), again.as_json()) == (4, first.as_json())
    evaluate([speaking(rag, speaker, policy="flag")], [QUESTIONS], settings)
    assert len(speaker.asked) == 8  # another policy is another pipeline


def test_an_interrupted_run_goes_on_where_it_stopped(rag: ragkit.Rag, tmp_path: Path) -> None:
    speaker, settings = Speaker(), Settings(workspace=tmp_path, assessors=LIGHT)
    events = evaluate_events([speaking(rag, speaker)], [QUESTIONS], settings)
    asked = (event for event in events if isinstance(event, Progress) and event.stage == "ask")
    assert [next(asked).done, next(asked).done] == [1, 2]
    events.close()
    assert len(evaluate([speaking(rag, speaker)], [QUESTIONS], settings).runs[0].results) == 4
    assert len(speaker.asked) == 4


def test_a_budget_ends_a_run_with_what_it_has_and_the_next_goes_on(rag: ragkit.Rag, tmp_path: Path) -> None:
    speaker = Speaker()
    settings = Settings(workspace=tmp_path, assessors=LIGHT, budget=Budget(calls=3))
    found = evaluate([speaking(rag, speaker)], [QUESTIONS], settings)
    assert found.stopped == "the budget of 3 calls is spent; run again to go on from here"
    assert ([r.case.id for r in found.runs[0].results], found.failed) == (["1", "2", "3"], False)
    by_tokens = Settings(workspace=tmp_path / "other", assessors=LIGHT, budget=Budget(tokens=150))
    assert len(evaluate([speaking(rag, speaker)], [QUESTIONS], by_tokens).runs[0].results) == 2
    assert evaluate([speaking(rag, speaker)], [QUESTIONS], settings).stopped == ""
    assert len(speaker.asked) == 3 + 2 + 1


def test_a_question_that_fails_costs_itself_and_is_asked_again_next_time(
    rag: ragkit.Rag, tmp_path: Path
) -> None:
    settings = Settings(workspace=tmp_path, assessors=LIGHT)
    found = evaluate([speaking(rag, Speaker(fails_on="layers"))], [QUESTIONS], settings)
    assert [(r.case.id, r.fault, r.outcome.error) for r in found.runs[0].results if r.outcome.error] == [
        ("3", "error", "TimeoutError: the server did not answer")
    ]
    assert found.runs[0].values("failed") == {"1": 0, "2": 0, "3": 1, "4": 0}


def test_a_server_that_is_gone_ends_the_run(rag: ragkit.Rag, tmp_path: Path) -> None:
    many = replace(QUESTIONS, cases=tuple(Case(str(i), f"Is it {i}?") for i in range(20)))
    speaker = Speaker(fails_on="Is it")
    found = evaluate([speaking(rag, speaker)], [many], Settings(workspace=tmp_path, assessors=LIGHT))
    assert (len(speaker.asked), found.failed) == (5, True)
    assert found.stopped.startswith(
        "5 questions in a row failed with speaker, questions; the last: TimeoutError"
    )


class Counting(LexicalRetriever):
    """A keyword retriever that counts its searches."""

    _searches: list[str] = PrivateAttr(default_factory=list)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        self._searches.append(query)
        return super()._get_relevant_documents(query, run_manager=run_manager)


def test_pipelines_that_search_alike_search_once(rag: ragkit.Rag, tmp_path: Path) -> None:
    searches: list[str] = []
    words = rag.ingest_pipeline.index[1]
    counting = Counting(index=words, name="lexical")
    counting._searches = searches
    alike = {"retrieve": [counting], "fuse": MinMaxFusion()}
    two = [
        Configuration("one", pipeline(rag, **alike)),
        Configuration("two", pipeline(rag, **alike, policy="flag")),
    ]
    evaluate(two, [QUESTIONS], Settings(workspace=tmp_path, assessors=LIGHT))
    assert len(searches) == len(QUESTIONS.cases)


def test_several_questions_are_asked_at_a_time(rag: ragkit.Rag, tmp_path: Path) -> None:
    one = evaluate(
        [Configuration("c", rag)], [QUESTIONS], Settings(workspace=tmp_path / "1", assessors=LIGHT)
    )
    four = evaluate(
        [Configuration("c", rag)], [QUESTIONS], Settings(workspace=tmp_path / "4", assessors=LIGHT, jobs=4)
    )
    answers = [
        [r.outcome.answer and r.outcome.answer.text for r in found.runs[0].results] for found in (one, four)
    ]
    assert answers[0] == answers[1]


@pytest.fixture
def collection(tmp_path: Path) -> Dataset:
    papers = [
        ("a", "On Bridges", "Glass bridges carry people."),
        ("b", "", "Tunnels are dark."),
        ("c", "On Boats", "Boats float."),
    ]
    write_beir(
        tmp_path / "tiny",
        papers,
        [Case("q", "glass bridges", relevant={"a": 1.0}), Case("r", "dark tunnels", relevant={"b": 1.0})],
    )
    return read(tmp_path / "tiny")


def test_a_collection_is_ingested_once_and_searched(
    rag: ragkit.Rag, collection: Dataset, tmp_path: Path
) -> None:
    def stages() -> set[str]:
        events = evaluate_events([Configuration("default", rag)], [collection], Settings(workspace=tmp_path))
        return {event.stage for event in events if isinstance(event, Progress)}

    assert stages() == {"read", "chunk", "index", "ask"}
    assert stages() == {"ask"}
    found = evaluate([Configuration("default", rag)], [collection], Settings(workspace=tmp_path))
    assert found.runs[0].values("mrr") == {"q": 1, "r": 1}


def test_a_run_of_another_tool_is_measured_beside(
    rag: ragkit.Rag, collection: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "other.trec").write_text("q Q0 b 1 2 x\nq Q0 a 2 1 x\nr Q0 b 1 1 x\n")
    found = evaluate([Configuration("default", rag)], [collection], Settings(workspace=tmp_path))
    both = with_runs(found, [collection], [tmp_path / "other.trec"])
    assert {run.configuration: run.values("mrr") for run in both.runs} == {
        "default": {"q": 1, "r": 1},
        "other": {"q": 0.5, "r": 1},
    }
    (tmp_path / "none.trec").write_text("z Q0 a 1 1 x\n")
    with pytest.raises(UsageError, match="ranks no query of tiny"):
        with_runs(found, [collection], [tmp_path / "none.trec"])


def test_what_a_run_would_take_is_said_before(rag: ragkit.Rag, collection: Dataset, tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path, assessors=LIGHT)
    [asked, searched] = estimate([speaking(rag, Speaker())], [QUESTIONS, collection], settings)
    assert (asked.questions, asked.known, asked.calls, asked.tokens, asked.papers) == (4, 0, 4, None, 0)
    assert (searched.questions, searched.calls, searched.papers, searched.encode) == (2, 0, 3, 3)
    assert not (tmp_path / "corpora").exists()
    evaluate([speaking(rag, Speaker())], [replace(QUESTIONS, cases=QUESTIONS.cases[:2])], settings)
    [asked] = estimate([speaking(rag, Speaker())], [QUESTIONS], settings)
    assert (asked.known, asked.calls, asked.tokens) == (2, 2, 220)


def test_two_configurations_of_one_name_are_refused(rag: ragkit.Rag, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two configurations are called 'a'"):
        evaluate(
            [Configuration("a", rag), Configuration("a", rag)], [QUESTIONS], Settings(workspace=tmp_path)
        )


# --- judges and prices


class Grader(Speaker):
    """Likes what mentions negatives."""

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> ChatResult:
        text = str(messages[-1].content)
        self._asked.append(text)
        if "second_answer" in text:
            first = text.partition("<second_answer")[0]
            said = {
                "better": "first"
                if "negatives [" in first or "in-batch negatives" in first.partition("<first_answer")[2]
                else "second"
            }
        else:
            said = {"score": 5 if "in-batch negatives" in text.partition("<answer")[2] else 1}  # type: ignore[dict-item]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(json.dumps(said)))])


def test_a_judge_grades_prefers_and_is_not_asked_twice(rag: ragkit.Rag, tmp_path: Path) -> None:
    grader = Grader()
    answerable = replace(QUESTIONS, cases=QUESTIONS.cases[:1])
    good, bad = Speaker(), Speaker(says="Something else entirely [1].")
    two = [
        replace(speaking(rag, good, policy="flag"), name="good"),
        replace(speaking(rag, bad, policy="flag"), name="bad"),
    ]
    settings = Settings(
        workspace=tmp_path, assessors=replace(LIGHT, judge=ChatJudge(llm=grader)), pairwise=True
    )
    found = evaluate(two, [answerable], settings)
    assert {run.configuration: run.values("grade") for run in found.runs} == {
        "good": {"1": 1.0},
        "bad": {"1": 0.0},
    }
    assert [ranked.name for ranked in found.preferred["questions"]] == ["good", "bad"]
    asked = len(grader.asked)
    assert asked == 2 + 2
    evaluate(two, [answerable], settings)
    assert len(grader.asked) == asked


def test_tokens_have_a_price(rag: ragkit.Rag, tmp_path: Path) -> None:
    class Named(Speaker):
        model_name: str = "gpt-x"

    settings = Settings(workspace=tmp_path, assessors=LIGHT, prices={"gpt-x": (1.0, 20.0)})
    found = evaluate([speaking(rag, Named())], [QUESTIONS], settings)
    assert found.runs[0].values("cost")["1"] == pytest.approx((100 * 1.0 + 10 * 20.0) / 1e6)


# --- what comes out

MUTE = CalibratedGate(found=Logistic({}, bias=0.0, threshold=1.0))


@pytest.fixture
def evaluation(rag: ragkit.Rag, tmp_path: Path) -> Evaluation:
    two = [
        Configuration("default", rag),
        Configuration("mute", pipeline(rag, gate=MUTE)),
    ]
    return evaluate(two, [QUESTIONS], Settings(workspace=tmp_path, assessors=LIGHT))


def test_every_figure_has_an_interval_and_every_two_configurations_a_test(evaluation: Evaluation) -> None:
    data = json.loads(json.dumps(evaluation.as_json()))
    assert {
        "datasets",
        "configurations",
        "measures",
        "figures",
        "comparisons",
        "coverage",
        "questions",
        "stopped",
    } <= set(data)
    assert all(f["low"] <= f["value"] <= f["high"] for f in data["figures"])
    right = {
        f["configuration"]: f["value"]
        for f in data["figures"]
        if f["measure"] == "right" and f["kind"] is None
    }
    assert right == {"default": 1.0, "mute": 0.0}
    [apart] = [c for c in data["comparisons"] if c["measure"] == "right"]
    assert (apart["first"], apart["second"], apart["difference"], apart["cases"], apart["test"]) == (
        "default",
        "mute",
        1.0,
        3,
        "McNemar",
    )
    assert (apart["p"], apart["verdict"]) == (0.25, "could be chance")
    assert [q["fault"] for q in data["questions"] if q["configuration"] == "mute"] == [
        "gate declined"
    ] * 3 + [None]


def test_requirements(evaluation: Evaluation) -> None:
    assert Requirement.parse("right >= 0.5").unmet(evaluation) == [
        "questions, mute: right is 0.000, not >= 0.5"
    ]
    assert Requirement.parse("failed<=0").unmet(evaluation) == []
    assert Requirement.parse("ndcg@10 > 0").unmet(replace(evaluation, runs=())) == [
        "nothing measured 'ndcg@10'"
    ]
    with pytest.raises(UsageError, match="'rihgt > 1' is no requirement; write one such as"):
        Requirement.parse("rihgt > 1")


def test_a_regression_is_told_from_chance(evaluation: Evaluation, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(evaluation.as_json()))
    assert regressions(evaluation, earlier) == []
    many = replace(QUESTIONS, cases=tuple(replace(QUESTIONS.cases[0], id=str(i)) for i in range(12)))
    good = evaluation.runs[0].results[0]
    bad = evaluation.runs[1].results[0]
    before = Evaluation(
        (replace(evaluation.runs[0], dataset=many, results=tuple(replace(good, case=c) for c in many.cases)),)
    )
    after = Evaluation((replace(before.runs[0], results=tuple(replace(bad, case=c) for c in many.cases)),))
    earlier.write_text(json.dumps(before.as_json()))
    worse = regressions(after, earlier)
    assert any(line.startswith("questions, default: right changed by -1.000 (p = ") for line in worse)
    with pytest.raises(
        UsageError,
        match="has no run of these datasets and configurations to compare with; it has questions with default",
    ):
        regressions(replace(after, runs=(replace(after.runs[0], configuration="renamed"),)), earlier)
    earlier.write_text("{}")
    with pytest.raises(UsageError, match="is no result of `ragkit eval --json`"):
        regressions(after, earlier)


def test_junit_has_a_case_for_each_question(evaluation: Evaluation) -> None:
    root = ElementTree.fromstring(evaluation.junit(["right is too low"]))
    suites = {s.get("name"): (s.get("tests"), s.get("failures")) for s in root}
    assert suites == {
        "questions default": ("4", "0"),
        "questions mute": ("4", "3"),
        "requirements": ("1", "1"),
    }
    assert [c.get("message") for c in root.iter("failure")] == ["gate declined"] * 3 + ["right is too low"]


def test_rankings_and_answers_are_written_for_other_tools(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.write_trec(tmp_path / "trec")
    assert sorted(p.name for p in (tmp_path / "trec").iterdir()) == [
        "questions.default.run",
        "questions.mute.run",
        "questions.qrels",
    ]
    evaluation.write_samples(tmp_path / "samples.jsonl")
    first = json.loads((tmp_path / "samples.jsonl").read_text().splitlines()[0])
    assert first["user_input"] == first["input"] == "What kind of negatives does DPR train with?"
    assert first["retrieved_contexts"] == first["retrieval_context"] != []
    assert first["response"] == first["actual_output"]
    assert first["reference"] == first["expected_output"] == "In-batch negatives."


# --- the command


def test_the_command_compares_reports_and_requires(
    ingested: Path, tmp_path: Path, command: Callable[..., CompletedProcess[str]]
) -> None:
    text = (ROOT / "ragkit" / "presets" / "default.yaml").read_text()
    (tmp_path / "three.yaml").write_text(text.replace("k: 6", "k: 3"))
    questions = "\n".join((ROOT / "examples" / "questions.jsonl").read_text().splitlines()[:6])
    (tmp_path / "q.jsonl").write_text(questions)
    common = [
        "eval",
        "q.jsonl",
        "-c",
        ROOT / "configs" / "default.yaml",
        "-c",
        "three.yaml",
        "--corpus",
        ingested,
        "--workspace",
        "ws",
    ]
    planned = json.loads(command(*common, "--dry-run", "--json").stdout)["runs"]
    assert [(run["configuration"], run["questions"], run["known"]) for run in planned] == [
        ("default", 6, 0),
        ("three", 6, 0),
    ]
    done = command(*common, "--json", "--report", "r.html", "--junit", "j.xml", "--require", "right >= 0.1")
    assert (done.returncode, done.stderr) == (0, "")
    data = json.loads(done.stdout)
    assert (data["configurations"], len(data["questions"]), data["unmet"]) == (["default", "three"], 12, [])
    assert "<!doctype html>" in (tmp_path / "r.html").read_text()[:200].lower()
    assert ElementTree.parse(tmp_path / "j.xml").getroot().tag == "testsuites"
    shown = command(*common, "--require", "ms < 0")
    assert shown.returncode == 1
    assert "not met: q, default: ms is" in shown.stderr
    assert "right" in shown.stdout
    assert "could be chance" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["nowhere.jsonl"],
            "there is no 'nowhere.jsonl'; name a folder in BEIR's layout or a file of questions (JSON lines)",
        ),
        (
            ["q.jsonl", "--require", "nonsense"],
            "'nonsense' is no requirement; write one such as 'right >= 0.8'",
        ),
        (["q.jsonl", "--price", "gpt"], "'gpt' is no price; write one such as gpt-4o-mini=0.15/0.60"),
        (["q.jsonl", "--pairwise"], "a pairwise comparison needs a judge; name one with --judge FILE"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: Sequence[str], message: str, tmp_path: Path, command: Callable[..., CompletedProcess[str]]
) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "a?"}\n')
    done = command("eval", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_papers_are_read_into_a_corpus_of_the_runs_own(
    tmp_path: Path, command: Callable[..., CompletedProcess[str]]
) -> None:
    (tmp_path / "q.jsonl").write_text(
        '{"question": "What kind of negatives does DPR train with?", "must_include": [["in-batch"]]}\n'
    )
    done = command(
        "eval", "q.jsonl", "--papers", NOTES / "dense-passage-retrieval.md", "--workspace", "ws", "--json"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {f["measure"]: f["value"] for f in json.loads(done.stdout)["figures"]}["right"] == 1.0
    assert not (tmp_path / ".ragkit").exists()
