"""Evaluation metrics: cases computed by hand, and a second implementation of each ranking metric."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import SHARED

from ragkit.answer import Abstention, Answer, Cited, Claim, Quote
from ragkit.errors import UsageError
from ragkit.evaluate.dataset import (
    Case,
    Dataset,
    read,
    read_qrels,
    read_run,
    write_beir,
    write_qrels,
    write_run,
)
from ragkit.evaluate.measure import Values, fault, is_right, of_answer, of_rankings, ranking, token_f1
from ragkit.evaluate.outcome import Outcome, RetrievedPassage

# --- rankings


def collection(**relevant: dict[str, float]) -> Dataset:
    return Dataset("d", tuple(Case(q, q, relevant=grades) for q, grades in relevant.items()), "", Path())


def test_a_ranking_computed_by_hand() -> None:
    dataset = collection(q={"a": 2, "b": 1, "c": 1, "never": 1})
    [values] = of_rankings(dataset, {"q": ["x", "a", "b", "y", "c"]}).values()
    gained = 2 / math.log2(3) + 1 / math.log2(4) + 1 / math.log2(6)
    best = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4) + 1 / math.log2(5)
    assert values == pytest.approx(
        {
            "ndcg@10": gained / best,
            "recall@10": 3 / 4,
            "recall@100": 3 / 4,
            "mrr": 1 / 2,
            "map": (1 / 2 + 2 / 3 + 3 / 5) / 4,
        }
    )


def test_a_query_that_finds_nothing_counts_as_zero_and_one_without_judgements_not_at_all() -> None:
    dataset = collection(q={"a": 1}, other={})
    assert of_rankings(dataset, {"q": [], "other": ["a"]}) == {
        "q": dict.fromkeys(("ndcg@10", "recall@10", "recall@100", "mrr", "map"), 0.0)
    }


def by_the_book(found: list[str], relevant: dict[str, float]) -> Values:
    """The textbook definitions, written down once more."""
    good = [d for d, grade in relevant.items() if grade > 0]
    ranks = [i for i, d in enumerate(found, 1) if d in good]
    gains = sum(relevant.get(d, 0) / math.log2(i + 1) for i, d in enumerate(found[:10], 1))
    ideal = sum(g / math.log2(i + 1) for i, g in enumerate(sorted(relevant.values(), reverse=True)[:10], 1))
    return {
        "ndcg@10": gains / ideal,
        "recall@10": sum(r <= 10 for r in ranks) / len(good),
        "recall@100": sum(r <= 100 for r in ranks) / len(good),
        "mrr": 1 / ranks[0] if ranks else 0.0,
        "map": sum(n / r for n, r in enumerate(ranks, 1)) / len(good),
    }


names = st.text("abcdefghij", min_size=1, max_size=2)


@settings(max_examples=60)
@given(
    st.lists(names, unique=True, max_size=40),
    st.dictionaries(names, st.integers(1, 3).map(float), min_size=1),
)
def test_every_measure_of_a_ranking_is_what_the_book_says(
    found: list[str], relevant: dict[str, float]
) -> None:
    assert of_rankings(collection(q=relevant), {"q": found})["q"] == pytest.approx(
        by_the_book(found, relevant)
    )


def test_papers_left_out_are_taken_out_of_the_ranking_and_each_paper_counts_once() -> None:
    case = Case("q", "q", left_out=frozenset({"source"}))
    hits = [
        RetrievedPassage(document_id="1", title="", uris=("source",)),
        *[RetrievedPassage(document_id="2", title="", uris=("a", "b"))] * 2,
    ]
    assert ranking(collection(), case, hits) == ["a", "b"]


# --- answers

DENSE = Case(
    "1",
    "How many?",
    relevant={"on bridges": 1.0},
    answer="Forty people.",
    must_include=(("40", "forty"), ("people",)),
)
NEVER = Case("2", "Who?", answerable=False)
QUESTIONS = Dataset("questions", (DENSE, NEVER), "")
PASSAGE = RetrievedPassage(
    document_id="p1", title="On Bridges", text="Glass bridges carry 40 people. They are tested every year."
)


def said(*claims: tuple[str, tuple[str, ...]], confidence: float = 1.0) -> Answer:
    """An answer of claims, each with the quotes that it cites."""
    made = []
    for text, quotes in claims:
        places = [(PASSAGE.text.find(quote), quote) for quote in quotes]
        cites = [
            Quote(document_id="p1", title="On Bridges", start=at, end=at + len(q), quote=q)
            for at, q in places
        ]
        made.append(Claim(text=text, before=" ", cites=tuple(Cited(quote=quote) for quote in cites)))
    return Answer(question="", claims=tuple(made), confidence=confidence)


def measured(case: Case, answer: Answer, draft: str | None = None) -> Values:
    return of_answer(
        QUESTIONS,
        case,
        Outcome(
            found=(PASSAGE,), context=(PASSAGE,), draft=draft or answer.text, answer=answer, seconds=0.25
        ),
    )


DECLINED = Answer(question="", abstained=Abstention(reason="nothing was found"))


def test_an_answer_computed_by_hand() -> None:
    answer = said(
        ("Glass bridges carry 40 people.", ("Glass bridges carry 40 people.", "They are tested every year.")),
        ("They are painted green.", ("They are tested every year.",)),
    )
    assert measured(DENSE, answer) == pytest.approx(
        {
            "ms": 250,
            "failed": 0,
            "calls": 0,
            "declined_wrongly": 0,
            "right": 1,
            "f1": 2
            * 1
            / (9 + 2),  # the words of the claims, without articles, and those of the reference share `people`
            "in_context": 1,
            "cites_gold": 1,
            "good": 1,
            "cited": 1,
            "citation_recall": 1 / 2,
            "citation_precision": 1
            / 3,  # of the first claim's two, one is not needed; the second claim is not supported
            "faithful": 1 / 2,
        }
    )


def test_a_declined_question() -> None:
    assert measured(NEVER, DECLINED) == {
        "ms": 250,
        "failed": 0,
        "calls": 0,
        "declined_rightly": 1,
        "decline_precision": 1,
        "good": 1,
    }
    wrongly = measured(DENSE, DECLINED)
    assert {n: wrongly[n] for n in ("declined_wrongly", "decline_precision", "right", "f1", "good")} == {
        "declined_wrongly": 1,
        "decline_precision": 0,
        "right": 0,
        "f1": 0,
        "good": 0,
    }


def test_two_citations_that_support_a_claim_only_together_are_both_precise() -> None:
    claim = "Glass bridges carry 40 people, and wooden ones were closed by the council in May."
    answer = said(
        (claim, ("Glass bridges carry 40 people.", "Wooden ones were closed by the council in May."))
    )
    values = measured(DENSE, answer)
    assert (values["citation_recall"], values["citation_precision"]) == (1, 1)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("They carry 40 people.", True),
        ("Forty PEOPLE [1].", True),
        ("People, says the source [40].", False),
        ("They carry 140 people.", False),
        ("They carry 40.5 people.", False),
        ("They carry 40.", False),
        ("They carry 40,000 people.", False),
        ("They carry 40 peoples.", True),
        ("They carry 40 peoplekind.", False),
    ],
)
def test_right_means_one_alternative_of_each_list_and_no_part_of_a_longer_word_or_number(
    text: str, right: bool
) -> None:
    assert is_right(DENSE, text) is right


def test_what_an_answer_must_say_may_stand_between_characters_without_spaces() -> None:
    case = Case(id="1", question="?", must_include=(("13B", "130亿"), ("数据集",)))
    assert is_right(case, "该多模态数据集有130亿个参数。")
    assert not is_right(case, "该多模态数据集有1130亿个参数。")


@pytest.mark.parametrize(
    ("one", "other", "f1"),
    [("The cat sat.", "a cat", 2 / 3), ("same words", "Same, words!", 1), ("x", "y", 0), ("", "y", 0)],
)
def test_token_f1(one: str, other: str, f1: float) -> None:
    assert token_f1(one, other) == pytest.approx(f1)


OTHER = RetrievedPassage(document_id="p2", title="On Tunnels", text="Tunnels are dark.")


@pytest.mark.parametrize(
    ("outcome", "found"),
    [
        (
            Outcome(found=(OTHER,), context=(OTHER,), draft="No.", answer=said(("No.", ()))),
            "retrieval missed",
        ),
        (
            Outcome(found=(OTHER, PASSAGE), context=(OTHER,), draft="No.", answer=said(("No.", ()))),
            "refiner dropped",
        ),
        (Outcome(found=(PASSAGE,), context=(PASSAGE,), answer=DECLINED), "gate declined"),
        (
            Outcome(found=(PASSAGE,), context=(PASSAGE,), draft="Some.", answer=said(("Some.", ()))),
            "generator ignored",
        ),
        (
            Outcome(found=(PASSAGE,), context=(PASSAGE,), draft="40 people.", answer=DECLINED),
            "verifier erred",
        ),
        (
            Outcome(
                found=(PASSAGE,), context=(PASSAGE,), draft="40 people.", answer=said(("40 people.", ()))
            ),
            "",
        ),
        (Outcome(error="TimeoutError: late"), "error"),
    ],
)
def test_a_wrong_answer_is_put_down_to_the_first_step_that_went_wrong(outcome: Outcome, found: str) -> None:
    assert fault(QUESTIONS, DENSE, outcome) == found


def test_answering_what_no_paper_answers_is_a_fault_and_declining_it_none() -> None:
    assert fault(QUESTIONS, NEVER, Outcome(draft="I.", answer=said(("I.", ())))) == "answered"
    assert fault(QUESTIONS, NEVER, Outcome(answer=DECLINED)) == ""


# --- datasets


def test_a_question_file(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(
        '{"question": "How many?", "answer": "40", "gold_titles": ["On  Bridges!"], "must_include": [["40", "forty"], "people"]}\n\n'
        '{"id": "x", "question": "Who?", "gold_titles": [], "kind": "unanswerable", "split": "test"}\n'
    )
    dataset = read(tmp_path / "q.jsonl")
    assert [(c.id, c.question, dict(c.relevant), c.must_include, c.answerable) for c in dataset.cases] == [
        ("1", "How many?", {"on bridges": 1.0}, (("40", "forty"), ("people",)), True),
        ("x", "Who?", {}, (), False),
    ]
    assert [c.id for c in read(tmp_path / "q.jsonl", "test").cases] == ["x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"question": "a"}\n{"quest": 1}\n', "q.jsonl:2: question: field required"),
        ("nonsense\n", "q.jsonl:1: invalid json"),
        ("", "has no question to ask"),
        ('{"question": "a", "id": "1"}\n{"question": "b", "id": "1"}\n', "has 2 questions with the id '1'"),
    ],
)
def test_a_question_file_that_is_none_is_refused_with_the_line(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "q.jsonl").write_text(text)
    with pytest.raises(UsageError, match=message):
        read(tmp_path / "q.jsonl")


def test_a_folder_without_queries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="has no corpus.jsonl; a BEIR folder holds corpus.jsonl, queries.jsonl"
    ):
        read(tmp_path)


def test_a_collection_is_read_as_it_was_written(tmp_path: Path) -> None:
    cases = (
        Case("q1", "bridges?", relevant={"a": 2.0, "b": 1.0}),
        Case("q2", "tunnels?", relevant={"b": 1.0}),
    )
    write_beir(tmp_path / "c", [("a", "On Bridges", "They sway."), ("b", "", "Dark.")], cases)
    assert read(tmp_path / "c").cases == cases
    assert read(tmp_path / "c", "test").name == "c"
    with pytest.raises(UsageError, match="has no qrels/dev.tsv; it has test"):
        read(tmp_path / "c", "dev")


def test_runs_and_judgements_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_run(tmp_path / "r", {"q 1": ["b", "a"]}, "my tool")
    assert (tmp_path / "r").read_text() == "q_1 Q0 b 1 2 my_tool\nq_1 Q0 a 2 1 my_tool\n"
    assert read_run(tmp_path / "r") == {"q_1": [("b", 2.0), ("a", 1.0)]}
    write_qrels(tmp_path / "j", [Case("q1", "", relevant={"a": 2.0})])
    assert read_qrels(tmp_path / "j") == {"q1": {"a": 2.0}}
    (tmp_path / "r").write_text("not a run\n")
    with pytest.raises(UsageError, match="r:1: 'not a run' is no line of a TREC run"):
        read_run(tmp_path / "r")


@pytest.mark.skipif(
    not (SHARED / "data").is_dir(), reason="the shared collections are not beside this checkout"
)
@pytest.mark.parametrize(
    ("name", "queries", "judged"),
    [("cranfield", 225, 1612), ("medline", 30, 696), ("cisi", 76, 3114), ("vaswani", 93, 2083)],
)
def test_the_real_collections_have_as_many_judgements_as_they_say(
    name: str, queries: int, judged: int
) -> None:
    dataset = read(SHARED / "data" / name)
    assert (len(dataset.cases), sum(len(c.relevant) for c in dataset.cases)) == (queries, judged)
