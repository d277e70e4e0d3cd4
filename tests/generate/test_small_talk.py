"""Small talk gets a friendly reply without a search; questions in friendly words stay questions."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from support import NOTES, ROOT, Stretched

import ragkit
from ragkit.conversation import Conversation, FileChatHistory
from ragkit.flow import Called, run
from ragkit.generate.small_talk import SmallTalkGenerator
from ragkit.models.embeddings import SentenceTransformersEmbeddings
from ragkit.text.question import Asked


@pytest.fixture(scope="module")
def talk() -> SmallTalkGenerator:
    return SmallTalkGenerator(SentenceTransformersEmbeddings("all-MiniLM-L6-v2"))


@pytest.fixture(scope="module")
def rag(tmp_path_factory: pytest.TempPathFactory) -> ragkit.Rag:
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path_factory.mktemp("talk") / "corpus")
    rag.ingest(NOTES / "bert.md", NOTES / "dense-passage-retrieval.md")
    return rag


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        ("Thank you!", "You are welcome."),
        ("Great, thanks a lot", "You are welcome."),
        ("Good morning!", "Hello."),
        ("Bye!", "Goodbye."),
        ("What can you do?", "I answer questions from the papers"),
        ("Thanks! Bye.", "You are welcome. Goodbye."),
    ],
)
def test_small_talk_gets_a_reply(talk: SmallTalkGenerator, said: str, reply: str) -> None:
    answer = run(talk.flow(Asked.of(said), ()))
    assert talk.suits(Asked.of(said))
    assert answer.text.startswith(reply)
    assert (answer.abstained, answer.citations, answer.small_talk) == (None, (), True)


def test_vectors_of_any_length_tell_small_talk_alike(talk: SmallTalkGenerator) -> None:
    stretched = SmallTalkGenerator(Stretched(talk.embed))
    for said in ("Thank you!", "Bye!", "What can it do?", "Are you sure of it?"):
        assert stretched.nearness(said) == (pytest.approx(talk.nearness(said)[0]), talk.nearness(said)[1])


@pytest.mark.parametrize(
    "question",
    [
        "Thanks. And how many layers does it have?",
        "Thanks, and how many layers does it have?",
        "Hi, how many parameters does BERT have?",
        "Why?",
        "Tell me more",
        "Does it help?",
        "What can it do?",
        "How helpful is InstructGPT?",
        "Who wrote it?",
        "Which robot was used?",
        "Wie viele Schichten hat BERT?",
        "",
        "?",
    ],
)
def test_a_question_is_no_small_talk(talk: SmallTalkGenerator, question: str) -> None:
    assert not talk.suits(Asked.of(question))
    assert run(talk.flow(Asked.of(question), ())).abstained is not None


def test_nothing_is_searched_for(rag: ragkit.Rag) -> None:
    events = list(rag.stream("Thanks a lot!"))
    assert {(event.stage, event.component) for event in events if isinstance(event, Called)} == {
        ("generate", "SmallTalkGenerator")
    }


def test_a_follow_up_leans_on_what_was_asked_before_the_thanks(rag: ragkit.Rag, tmp_path: Path) -> None:
    chat = Conversation(rag, FileChatHistory(tmp_path / "talk.jsonl"))
    chat.ask("How many layers does BERT-base have?")
    assert chat.ask("Thanks!").text == "You are welcome."
    resumed = Conversation(rag, FileChatHistory(tmp_path / "talk.jsonl"))
    assert resumed.answers[-1].small_talk
    assert "110 million" in resumed.ask("And how many parameters?").text
    assert Asked.of("And why?", resumed.history.messages).earlier == [
        "How many layers does BERT-base have?",
        "And how many parameters?",
    ]


def test_of_messages_of_another_program_every_question_counts() -> None:
    history = [HumanMessage("How many layers does BERT have?"), AIMessage("12."), HumanMessage("Thanks!")]
    assert Asked.of("And why?", history).earlier == ["How many layers does BERT have?", "Thanks!"]
