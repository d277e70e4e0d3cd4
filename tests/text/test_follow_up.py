"""What a question leaves to the conversation before it: whether it leans, and what it names instead."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from ragkit.flow import run
from ragkit.rewrite import FollowUpRewriter
from ragkit.text.follow_up import exchanged, leans, other
from ragkit.text.question import Asked


@pytest.mark.parametrize(
    "question",
    [
        "Why?",
        "Which ones?",
        "And its score on PopQA?",
        "How much faster is it than BERT?",  # a name of its own explains no pronoun before it
        "By how much did it beat Condorcet fusion?",
        "What did PaLM reach on GSM8K with them?",  # nor one of another number
        "How well does that do on TREC Deep Learning 2019?",
        "How much were the annotators paid?",
        "How many parameters does the largest one have?",
        "What about MTEB, how many does it have?",
        "What is the context length?",
        "And RoBERTa?",
        "Und warum?",
    ],
)
def test_a_question_leans_that_points_back_or_is_a_fragment(question: str) -> None:
    assert leans(question, "How many layers does BEIR-Net have?")


@pytest.mark.parametrize(
    "question",
    [
        "Why does BERT mask its inputs?",
        "How does SPLADE regularise its sparse term weights?",
        "Several papers train critics in reinforcement learning. Which one uses human labels?",
        "Is it true that BERT has twelve layers?",
        "What is late interaction?",
        "What about REALM, how many parameters has it?",
        "And what is SPLADE trained with?",
        "Where in a context does the accuracy of language models suffer most?",
        "Self-RAG citation precision",
        "Wie viele Schichten hat das kleine Modell von BERT in diesem Vergleich?",
    ],
)
def test_a_question_that_explains_itself_does_not_lean(question: str) -> None:
    assert not leans(question, "How many layers does DPR have?")


@pytest.mark.parametrize(
    ("last", "question", "whole"),
    [
        ("How many layers does BERT-base have?", "What about DistilBERT?", "How many layers does DistilBERT have?"),
        ("How many tokens was Chinchilla trained on?", "And Llama 2?", "How many tokens was Llama 2 trained on?"),
        ("When was the SimCSE paper published?", "And Sentence-BERT?", "When was the Sentence-BERT paper published?"),
        ("What is the nDCG@10 of E5 on MTEB?", "How about GTR?", "What is the nDCG@10 of GTR on MTEB?"),
        ("What is the nDCG@10 of E5 on MTEB?", "And on BEIR?", "What is the nDCG@10 of E5 on BEIR?"),
        ("What is BERT's batch size?", "and E5", "What is E5's batch size?"),
        ("Where do its negatives come from?", "And those of DPR?", "Where do DPR's negatives come from?"),
        ("How many parameters does BERT have?", "And the Transformer?", "How many parameters does the Transformer have?"),
        ("How wide is the Transformer?", "And the Perceiver?", "How wide is the Perceiver?"),
    ],
)  # fmt: skip
def test_another_subject_is_asked_the_last_question(last: str, question: str, whole: str) -> None:
    named = other(question)
    assert named is not None
    exchange = exchanged(named, last)
    assert exchange is not None
    assert exchange.question == whole


@pytest.mark.parametrize(
    "question",
    ["And its F1 on SQuAD?", "What about torsion profiles?", "Why?", "And what is SPLADE?", "", "?"],
)
def test_what_names_no_other_subject_exchanges_none(question: str) -> None:
    assert other(question) is None


def rewritten(*said: str) -> Asked:
    history = [m for question in said[:-1] for m in (HumanMessage(question), AIMessage("It is so."))]
    return run(FollowUpRewriter().flow(Asked.of(said[-1], history)))


def test_a_chain_of_other_subjects_keeps_what_is_asked() -> None:
    asked = rewritten("What batch size does DPR train with?", "And E5?", "What about GTR?")
    assert asked.standalone == asked.searches[0] == "What batch size does GTR train with?"
    assert asked.text == "What about GTR?"
    leaning = rewritten("What batch size does DPR train with?", "And E5?", "Does it use hard negatives?")
    assert "E5" in leaning.searches[0]
    assert "DPR" not in leaning.searches[0]


def test_another_subject_takes_the_place_of_a_topic_that_the_last_question_does_not_name() -> None:
    asked = rewritten(
        "How many layers does BERT-base have?", "And how many parameters?", "What about DistilBERT?"
    )
    assert asked.searches[0] == "layers DistilBERT And how many parameters?".replace("And ", "")
    plural = rewritten("How many questions does HotpotQA contain?", "Who wrote them?", "And TriviaQA?")
    assert plural.searches[0] == "questions TriviaQA contain Who wrote them?"


def test_a_long_conversation_that_leans_throughout_is_followed() -> None:
    asked = rewritten("How many layers does BERT have?", *["And why?"] * 1500, "And its width?")
    assert "BERT" in asked.searches[0]
