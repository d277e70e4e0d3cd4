"""What a question asks: its parts, and what would answer each."""

from __future__ import annotations

import unicodedata
from typing import Literal

import pytest

from ragkit.text.question import Asked, Mentions, ParsedQuestion, Query, parts, unmentioned


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is DPR?", ["What is DPR?"]),
        ("What are precision and recall?", ["What are precision and recall?"]),
        ("Which one trains and evaluates faster?", ["Which one trains and evaluates faster?"]),
        (
            "TensorNet is equivariant to which group, and what sort of tensors does it use?",
            ["TensorNet is equivariant to which group", "TensorNet what sort of tensors does it use?"],
        ),
        (
            "How many parameters do the judge Auto-J and the model SFR-RAG have?",
            [
                "How many parameters do the judge Auto-J",
                "How many parameters do the judge the model SFR-RAG have?",
            ],
        ),
        ("Which is larger, Auto-J or SFR-RAG?", ["Which is larger, Auto-J", "Which is larger, SFR-RAG"]),
        (
            "Which of the two, PEG or BGE, is trained on more data?",
            [
                "Which of the two, PEG, is trained on more data",
                "Which of the two, BGE, is trained on more data",
            ],
        ),
        (
            "Compare the sizes of Auto-J and SFR-RAG",
            ["Compare the sizes of Auto-J", "Compare the sizes of SFR-RAG"],
        ),
        ("Auto-J vs. BEIR", ["Auto-J", "BEIR"]),
        ("Compare P-Adapters with prompt tuning", ["Compare P-Adapters with prompt tuning"]),
        ("Does PEG use MARCO or NQ?", ["Does PEG use MARCO or NQ?"]),
        ("Which model is better than GPT-4?", ["Which model is better than GPT-4?"]),
        ("Which of BERT, T5 or XLNet is largest?", ["Which of BERT, T5 or XLNet is largest?"]),
        ("Which of BERT, T5 or XLNet?", ["Which of BERT, T5 or XLNet?"]),
        ("Which model is better, BERT, T5 or XLNet?", ["Which model is better, BERT, T5 or XLNet?"]),
        (
            "What is the accuracy of BERT vs. XLNet on GLUE?",
            ["What is the accuracy of BERT vs. XLNet on GLUE?"],
        ),
        ("What is BERT vs XLNet and who made T5?", ["What is BERT vs XLNet", "who made T5?"]),
        ("Compare BERT with T5. How large is XLNet?", ["Compare BERT with T5. How large is XLNet?"]),
        ("compare" + " " * 5000 + "x", ["compare" + " " * 5000 + "x"]),
        ("", [""]),
    ],
)
def test_the_things_that_a_question_asks_for_are_told_apart(question: str, expected: list[str]) -> None:
    assert parts(question) == expected


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("How many people do glass bridges carry?", "Glass bridges carry 40 people."),
        ("What accuracy does DPR reach on Natural Questions?", "DPR is right in 78.4% of cases."),
        ("What does ICV stand for?", "ICV stands for in-context vectors."),
        ("What does ICV stand for?", "We call them vectors of context (ICV)."),
        ("What is the Department of Glass (DoG) short for?", "It is short for the Department of Glass."),
        ("Which pooling does NV-Embed use?", "It uses Latent Attention."),
        ("Who wrote the survey of Glass?", "It was written by Ada Stone."),
        ("Why do glass bridges break?", "Glass bridges break because of frost."),
        ("How large is Auto-J, and how large is SFR-RAG?", "Auto-J has 13B parameters and SFR-RAG has 9B."),
    ],
)
def test_an_answer_has_the_kind_of_thing_that_is_asked_for(question: str, text: str) -> None:
    assert ParsedQuestion.of(question).is_answered_by(text)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("How many people do glass bridges carry?", "Glass bridges carry people."),
        ("How many people do the 40 bridges carry?", "The 40 bridges carry people."),
        ("How many people do glass bridges carry?", "Glass bridges carry 50 cars."),
        ("What does ICV stand for?", "ICV is what we call it."),
        ("Which pooling does NV-Embed use?", "NV-Embed uses a kind of pooling."),
        ("ReAGent attribution: which model provides the tokens?", "ReAGent replaces the tokens."),
        ("Why do glass bridges break?", "Glass bridges break."),
        ("Which model is larger, and how many parameters does Auto-J have?", "SFR-RAG is the larger model."),
    ],
)
def test_what_only_says_the_question_again_is_no_answer(question: str, text: str) -> None:
    assert not ParsedQuestion.of(question).is_answered_by(text)


def test_what_a_question_names_and_asks_for() -> None:
    asked = ParsedQuestion.of("On how many stories was GPT-4 tested by Stone?")
    assert asked.names == {"gpt-4", "stone"}
    assert asked.codes == {"gpt-4"}
    assert (asked.asks_number, asked.counted) == (True, "stori")
    assert asked.gives_number("It read 12 stories.")
    assert not asked.gives_number("It read 12 books.")
    assert not asked.gives_number("GPT-4 read stories.")


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("BERT has 12 layers.", True),
        ("The number of layers in the encoder of BERT-base was set to 12.", True),
        ("Its layers number 12.", True),
        ("It has 12 identical, bidirectional, densely connected Transformer layers.", True),
        ("Layers of this kind take words of all sorts for tokens of 3 to 4 letters.", False),
        ("It has 12 heads.", False),
    ],
)
def test_a_number_is_given_by_what_is_counted(text: str, given: bool) -> None:
    assert ParsedQuestion.of("How many layers does BERT have?").gives_number(text) is given


def test_what_is_counted_ends_where_the_question_goes_on() -> None:
    assert ParsedQuestion.of("How many teams handed in projects?").counted == "team"


def test_what_is_counted_ends_before_an_auxiliary_without_a_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragkit.text.question.counted_noun", lambda question: pytest.fail("it was parsed"))
    assert ParsedQuestion.of("How many in-batch negatives does PEG train with?").counted == "negat"
    assert ParsedQuestion.of("How many submitted papers were rejected?").counted == "paper"


def test_of_a_question_in_another_language_only_what_is_written_alike_is_known() -> None:
    asked = ParsedQuestion.of("Mit wie vielen In-Batch-Negativen wird PEG in Berlin trainiert?")
    assert (asked.names, asked.asks_number, asked.things) == ({"peg"}, False, frozenset())
    assert ParsedQuestion.of("Mit wie vielen Negativen wird PEG trainiert?").is_answered_by(
        "PEG wird mit 80.000 Negativen trainiert."
    )


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("How many legal entity types are annotated?", "18."),
        ("And how many hard negatives?", "Five per query."),
        ("Which LLM beats AdaBoost?", "Claude 3."),
        ("What is the purpose of ICV?", "It makes a frozen model follow the demonstrated task."),
        ("Which is larger, BERT or GPT-4?", "GPT-4 is the larger one."),
        ("Which model is larger, BERT or GPT-4?", "GPT-4 is the larger one."),
        ("Which causes of error are named?", "Only Drift is."),
        ("What are the roles into which the agent is split?", "A planner and a caller."),
    ],
)
def test_a_brief_answer_is_one(question: str, text: str) -> None:
    assert ParsedQuestion.of(question).is_answered_by(text)


@pytest.mark.parametrize(
    "question",
    [
        "How do large language models store facts?",
        "Which length normalization is used?",
        "Explain how large models work.",
    ],
)
def test_an_adjective_asks_for_no_number(question: str) -> None:
    assert not ParsedQuestion.of(question).asks_number


def test_a_name_is_a_whole_word() -> None:
    assert parts("What is AI used for in training, and what does it cost?")[1] == "AI what does it cost?"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many people do Glass Arches carry, and how large is ZorgNet-9?", ["ZorgNet-9"]),
        ("Which is larger, GlassNet or ZorgNet-9?", ["ZorgNet-9"]),
        ("How large is ZorgNet-9?", ["ZorgNet-9"]),
        ("Which is larger, BergNet or ZorgNet-9?", ["BergNet", "ZorgNet-9"]),
        ("What did Kovačević say about arches?", ["Kovačević"]),
        ("How many people does GlassNet carry, and who built the arches?", []),
        ("What is the size of GlassNet?", []),
        ("Does GlassNet beat ZorgNet-9, and by how much?", ["ZorgNet-9"]),
        ("How large is GlassNet, and how many Parameters does Zorg's Net-9 have?", ["Zorg", "Net-9"]),
        ("What is GlassNet? Describe ZorgNet-9.", ["ZorgNet-9"]),
        ("What is GlassNet? Answer in English.", []),
        ("What is GlassNet? Thanks!", []),
        ("Does Bavaria use GlassNet?", []),
        ("How large is GlassNet, and what is RAG?", []),
        ("How large is GlassNet, and who works in the US?", []),
        ("Wie groß ist GlassNet? Wie viele Menschen trägt ZorgNet-9?", ["ZorgNet-9"]),
    ],
)
def test_what_a_question_also_names_and_no_text_mentions(question: str, expected: list[str]) -> None:
    assert (
        unmentioned(
            ParsedQuestion.of(question),
            [
                Mentions.of("_GlassNet_ has 9B parameters."),
                Mentions.of("Glass Arches carry 40 people in the U.S., say retrieval-augmented generators."),
            ],
        )
        == expected
    )


@pytest.mark.parametrize(
    ("text", "name", "is_there"),
    [
        ("BERTはGoogleのモデルで", "bert", True),
        ("_Self-RAG_ is new.", "self-rag", True),
        ("It is GPT-3.5.", "gpt-3", False),
        ("It is GPT-3. It", "gpt-3", True),
        ("It is GPT-3.", "gpt3", True),
        ("It has CO₂.", "co2", True),
    ],
)
def test_a_name_is_found_as_it_may_be_written(text: str, name: str, is_there: bool) -> None:
    assert Mentions.of(text).has(name) is is_there


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("What is DPR?", "DPR"),
        ("What's the Watermark Anything Model?", "Watermark Anything Model"),
        ("what are P-Adapters", "P-Adapters"),
        ("What is meant by active inheritance?", "active inheritance"),
        ("Explain order dependency.", "order dependency"),
        ("What does MaxSim do?", "MaxSim"),
        ('What is "active inheritance"?', "active inheritance"),
        ("What is DPR (Dense Passage Retrieval)?", "DPR"),
        ("Who is Ada Lovelace?", "Ada Lovelace"),
        ("Who was the author?", ""),
        ("What is the new method called?", ""),
        ("What is x" + " " * 5000 + "y" * 70, ""),
        ("What is the size of DPR?", ""),
        ("What is used for training?", ""),
        ("What does DPR train on?", ""),
        ("Which is larger?", ""),
        ("", ""),
    ],
)
def test_a_question_may_ask_what_a_thing_is(question: str, subject: str) -> None:
    assert ParsedQuestion.of(question).subject == subject


@pytest.mark.parametrize(
    "text",
    [
        "DPR is a retriever with two encoders.",
        "DPR (Dense Passage Retrieval) is the first of them.",
        "We propose Dense Passage Retrieval (DPR), which has two encoders.",
        "Two encoders, dubbed DPR, beat BM25.",
        "DPR -- a retriever with two encoders -- beats BM25.",
        "DPR [3] is a retriever with two encoders.",
        "DPR is perhaps the best known retriever.",
        "We propose a retriever with two encoders, DPR, and train it.",
        "DPR, a retriever with two encoders, beats BM25.",
        "DPR denotes retrievers with two encoders.",
        "Dense passage retrieval (DPR) is a retriever with two encoders.",
        "DPR, which has two encoders, is slow.",
        "Here DPR is a retriever with two encoders.",
        "DPR is when two encoders are trained.",
    ],
)
def test_a_sentence_may_say_what_a_thing_is(text: str) -> None:
    assert ParsedQuestion.of("What is DPR?").defines(text)


@pytest.mark.parametrize(
    "text",
    [
        "DPR is competitive with BM25.",
        "Code for DPR is available.",
        "The proposed DPR wins.",
        "Our proposed method beats DPR.",
        "Compared with DPR, our retriever is slow.",
        "Unlike DPR, the others use words.",
        "We propose a retriever that beats DPR.",
        "We propose to compare our retriever with DPR.",
        "In terms of DPR, results are poor.",
        "Definitely better than DPR.",
        "Developers like DPR.",
        "The main drawback of DPR is the time it takes.",
        "Baselines: DPR: 88.5, BM25: 90.1.",
        "DPR-2 is a retriever.",
        "It is a retriever.",
    ],
)
def test_a_sentence_that_only_has_the_name_does_not_say_what_it_is(text: str) -> None:
    assert not ParsedQuestion.of("What is DPR?").defines(text)


def test_one_of_many_is_what_they_are() -> None:
    assert ParsedQuestion.of("What are knowledge graphs?").defines("A knowledge graph is a set of triples.")


def test_what_a_paper_with_the_name_in_its_title_proposes_is_the_thing() -> None:
    asked, text = ParsedQuestion.of("What is DPR?"), "We propose a retriever with two encoders."
    assert asked.defines(text, "DPR: Dense Passage Retrieval")
    assert not asked.defines(text, "Beyond DPR: Dense Retrieval")
    assert not asked.defines("We find that the proposed retriever wins.", "DPR: Dense Passage Retrieval")
    assert not ParsedQuestion.of("Which is larger?").defines(text, "DPR: Dense Passage Retrieval")


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Which is larger, Auto-J", True),
        ("Which has more parameters: Auto-J", True),
        ("Compare the sizes of Auto-J", True),
        ("Compare the methods of PEG", False),
        ("Which model is larger?", False),
        ("Is Auto-J larger?", False),
    ],
)
def test_a_comparison_may_be_told_by_numbers(question: str, expected: bool) -> None:
    assert ParsedQuestion.of(question).compares_numbers is expected


# --- the question as a value


def test_a_query_is_a_text_with_a_weight_and_a_group_that_is_parsed_once() -> None:
    query = Query("How many people do glass bridges carry?", weight=0.5, group=1)
    assert (query, query.weight, query.group) == ("How many people do glass bridges carry?", 0.5, 1)
    assert query.parsed is query.parsed
    assert query.parsed.asks_number
    other = query.reworded("What load do they bear?")
    assert (other, other.weight, other.group) == ("What load do they bear?", 0.5, 1)
    assert query.reworded(str(query)) is query


def test_a_question_that_nobody_has_rewritten_is_its_own_query() -> None:
    asked = Asked.of("What is DPR?")
    assert (asked.text, asked.standalone, asked.searches) == ("What is DPR?",) * 2 + (("What is DPR?",),)
    assert asked.parsed is asked.searches[0].parsed


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What does PYAR mean in the trial?", "It was given in years (Person Years at Risk, PYAR)."),
        ("What is the acronym ALCE short for?", "We propose ALCE, a benchmark for Automatic LLMs’ Citation Evaluation."),
        ("What does TBI stand for in the RNA server?", "We developed the Tightly Bound Ion (TBI) model."),
        ("What is BTEB?", "It raises basic transcription element-binding protein (BTEB)."),
    ],
)  # fmt: skip
def test_what_letters_stand_for_is_told_in_several_ways(question: str, text: str) -> None:
    assert ParsedQuestion.of(question).defines(text)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What does TBI stand for in the RNA server?", "The server computes it for T2 RNA (PDB code 2TPK)."),
        ("What is BTEB?", "Primers were made for BTEB (DQ677879)."),
    ],
)
def test_other_letters_and_numbers_in_brackets_define_nothing(question: str, text: str) -> None:
    assert not ParsedQuestion.of(question).defines(text)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gödel", "The theorem of Godel holds."),
        ("godel", "The theorem of Gödel holds."),
        ("müller", "Müllers bridge holds."),
        ("łukasiewicz", "Lukasiewicz wrote it."),
        ("sorensen", "Sørensen wrote it."),
    ],
)
def test_a_name_is_found_without_its_accents(form: Literal["NFC", "NFD"], name: str, text: str) -> None:
    assert Mentions.of(unicodedata.normalize(form, text)).has(unicodedata.normalize(form, name))


def test_an_accent_is_no_other_letter() -> None:
    assert not Mentions.of("The theorem of Gadel holds.").has("gödel")
    assert not Mentions.of("かき").has("かぎ")
