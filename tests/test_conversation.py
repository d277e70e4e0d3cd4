"""Conversations: what is remembered, what a follow-up leans on, and what becomes of a session's file."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from support import NOTES, ROOT

import ragkit
from ragkit import conversation, platform, private
from ragkit.conversation import Conversation, FileChatHistory, answer_of, messages_of
from ragkit.document import title_of
from ragkit.errors import UsageError
from ragkit.flow import Token

PEG = """\
# Towards Robust Text Retrieval with Progressive Learning

Retrieval augmentation has become an effective solution to empower large language models with external and verified knowledge \
sources. In this paper, we introduce the PEG, a progressively learned embeddings for robust text retrieval. PEG was trained on \
more than 100 million data, encompassing a wide range of domains and covering various tasks. We increase the number of in-batch \
negative samples to 80,000 and, for each query, we extracted five hard negatives. Concurrently, we incorporated a progressive \
learning mechanism, enabling the model to dynamically modulate its attention to the samples throughout training. PEG surpasses \
state-of-the-art embeddings in retrieving true positives on C-MTEB and DuReader.
"""
PEG_TITLE = "Towards Robust Text Retrieval with Progressive Learning"
DPR_TITLE = "Dense Passage Retrieval for Open-Domain Question Answering"


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> ragkit.Rag:
    """The example papers and PEG's."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "peg.md").write_text(PEG)
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=folder / "corpus")
    rag.ingest(NOTES, folder / "peg.md")
    return rag


def found(answer: ragkit.Answer) -> str:
    """The paper that was found first."""
    return title_of(answer.context[0])


# --- follow-ups


def test_a_follow_up_finds_the_paper_that_was_spoken_of(papers: ragkit.Rag) -> None:
    chat = Conversation(papers)
    chat.ask("What does PEG train with?")
    answer = chat.ask("and how many hard negatives?")
    assert found(answer) == PEG_TITLE
    assert "five hard negatives" in answer.text
    assert answer.question == "and how many hard negatives?"


def test_a_third_turn_still_leans_on_the_first(papers: ragkit.Rag) -> None:
    chat = Conversation(papers)
    chat.ask("What does PEG train with?")
    chat.ask("and how many hard negatives?")
    answer = chat.ask("And how many in-batch negatives?")
    assert found(answer) == PEG_TITLE
    assert "80,000" in answer.text


def test_after_a_change_of_topic_a_follow_up_is_about_the_new_one(papers: ragkit.Rag) -> None:
    chat = Conversation(papers)
    chat.ask("What does PEG train with?")
    assert found(chat.ask("What kind of negatives does DPR train with?")) == DPR_TITLE
    assert found(chat.ask("and how many hard negatives?")) == DPR_TITLE


def test_after_a_reset_there_is_nothing_to_lean_on(papers: ragkit.Rag) -> None:
    chat = Conversation(papers)
    chat.ask("What does PEG train with?")
    chat.reset()
    assert chat.answers == []
    answer = chat.ask("and how many hard negatives?")
    assert answer.model_copy(update={"timings_ms": {}}) == papers.ask(
        "and how many hard negatives?"
    ).model_copy(update={"timings_ms": {}})


def test_what_points_back_means_the_last_question_though_it_was_declined(papers: ragkit.Rag) -> None:
    chat = Conversation(papers)
    chat.ask("What kind of negatives does DPR train with?")
    assert chat.ask("What does ZorgNet-9 train with?").abstained
    declined = chat.ask("and how many hard negatives?").abstained
    assert declined
    assert "ZorgNet-9" in declined.reason


# --- what is remembered


def test_sync_async_and_streamed_conversations_remember_the_same(rag: ragkit.Rag) -> None:
    asked, awaited, streamed, astreamed = (Conversation(rag) for _ in range(4))
    question = "What kind of negatives does DPR train with?"
    asked.ask(question)
    asyncio.run(awaited.aask(question))
    list(streamed.stream(question))

    async def drained() -> None:
        _ = [event async for event in astreamed.astream(question)]

    asyncio.run(drained())
    for other in (awaited, streamed, astreamed):
        assert other.history.messages == asked.history.messages
    said, answered = asked.history.messages
    assert (said.type, said.text) == ("human", question)
    assert answered.response_metadata["ragkit"]["citations"][0]["title"] == DPR_TITLE


def test_a_question_that_is_broken_off_was_never_asked(rag: ragkit.Rag) -> None:
    chat = Conversation(rag)
    events = chat.stream("What kind of negatives does DPR train with?")
    while not isinstance(next(events), Token):
        pass
    events.close()
    assert chat.answers == []


def test_a_question_that_fails_was_never_asked(rag: ragkit.Rag) -> None:
    chat = Conversation(rag)
    with pytest.raises(ragkit.UsageError):
        chat.ask("  ")
    assert chat.answers == []


def test_where_keeps_to_some_papers(rag: ragkit.Rag) -> None:
    answer = Conversation(rag).ask(
        "What kind of negatives are trained with?", "title contains 'Dense Passage'"
    )
    assert {title_of(passage) for passage in answer.context} == {DPR_TITLE}


class Listed(BaseChatMessageHistory):
    """A history of another make."""

    def __init__(self, *messages: BaseMessage) -> None:
        self.messages = [*messages]

    def add_messages(self, messages: object) -> None:
        self.messages += messages  # type: ignore[operator]

    def clear(self) -> None:
        self.messages = []


def test_any_langchain_history_goes_on(papers: ragkit.Rag) -> None:
    chat = Conversation(
        papers, Listed(HumanMessage("What does PEG train with?"), AIMessage("In-batch negatives."))
    )
    assert found(chat.ask("and how many hard negatives?")) == PEG_TITLE
    first, second = chat.answers
    assert (first.question, first.text, first.citations) == (
        "What does PEG train with?",
        "In-batch negatives.",
        (),
    )
    assert PEG_TITLE in [citation.title for citation in second.citations]


def test_what_another_program_says_under_our_name_is_plain_text() -> None:
    for kept in ({"citations": "none"}, "text", {"claims": [{}]}):
        said = AIMessage("So.", response_metadata={"ragkit": kept})
        assert answer_of([HumanMessage("Why?"), said]) == ragkit.Answer(
            question="Why?", claims=(ragkit.Claim(text="So."),)
        )


# --- files


def test_a_session_is_resumed_from_its_file_with_its_citations(papers: ragkit.Rag, tmp_path: Path) -> None:
    first = Conversation(papers, FileChatHistory(tmp_path / "talk.jsonl"))
    answer = first.ask("What does PEG train with?")
    again = Conversation(papers, FileChatHistory(tmp_path / "talk.jsonl"))
    [kept] = again.answers
    assert (kept.question, kept.text, kept.citations, kept.confidence) == (
        answer.question,
        answer.text,
        answer.citations,
        answer.confidence,
    )
    assert found(again.ask("and how many hard negatives?")) == PEG_TITLE
    assert len(again.answers) == len(first.answers) == 2


def test_a_file_has_a_line_for_a_question_and_its_answer(tmp_path: Path) -> None:
    history = FileChatHistory(tmp_path / "talk.jsonl")
    history.add_messages([HumanMessage("Wie groß?"), AIMessage("40 people.")])
    assert (tmp_path / "talk.jsonl").read_text() == (
        '[{"type": "human", "data": {"content": "Wie groß?", "type": "human"}}, {"type": "ai", "data": {"content": "40 people.", "type": "ai"}}]\n'
    )
    written = (tmp_path / "talk.jsonl").read_text()
    history.clear()
    history.clear()
    assert history.messages == []
    assert (tmp_path / "talk.jsonl").read_text() == f"{written}[]\n"
    history.add_messages(turn("again"))
    assert next(message.content for message in FileChatHistory(tmp_path / "talk.jsonl").messages) == "again"


def test_a_conversation_that_is_saved_goes_on_in_the_file(tmp_path: Path, rag: ragkit.Rag) -> None:
    chat = Conversation(rag, Listed(*turn("one"), *turn("two")))
    chat.save(tmp_path / "talk.jsonl")
    chat.history.add_messages(turn("three"))
    assert [
        answer.question for answer in Conversation(rag, FileChatHistory(tmp_path / "talk.jsonl")).answers
    ] == ["one", "two", "three"]
    with pytest.raises(
        ragkit.UsageError, match="there is a file '.*' already; save the conversation under another name"
    ):
        Conversation(rag).save(tmp_path / "talk.jsonl")


def turn(question: str) -> list[BaseMessage]:
    return messages_of(ragkit.Answer(question=question, claims=(ragkit.Claim(text=f"{question}!"),)))


@given(st.data())
def test_wherever_a_crash_cuts_the_last_line_what_came_before_is_there_and_it_goes_on(
    data: st.DataObject,
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "talk.jsonl"
        history = FileChatHistory(path)
        history.add_messages(turn("one"))
        before = path.stat().st_size
        history.add_messages(turn("zwei — 二"))
        content = path.read_bytes()
        path.write_bytes(content[: data.draw(st.integers(before, len(content) - 2))])
        assert history.messages == turn("one")
        history.add_messages(turn("three"))
        assert history.messages == [*turn("one"), *turn("three")]


def test_what_another_process_adds_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = FileChatHistory(tmp_path / "s.jsonl"), FileChatHistory(tmp_path / "s.jsonl")
    ours.add_messages([HumanMessage("one")])
    opened = private.opener

    def opening(path: str, flags: int) -> int:  # just before our file is open
        monkeypatch.setattr(private, "opener", opened)
        theirs.add_messages([HumanMessage("two")])
        return opened(path, flags)

    monkeypatch.setattr(private, "opener", opening)
    ours.add_messages([HumanMessage("three")])
    assert [message.content for message in ours.messages] == ["one", "two", "three"]


def test_a_file_that_another_process_keeps_locked_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = FileChatHistory(tmp_path / "s.jsonl")
    history.add_messages([HumanMessage("one")])
    monkeypatch.setattr(conversation, "_PATIENCE", 0.1)
    with history.path.open("rb") as held:
        platform.HERE.lock(held)
        with pytest.raises(UsageError, match=r"another process keeps '.*' locked"):
            history.add_messages([HumanMessage("two")])
    history.add_messages([HumanMessage("two")])
    assert [message.content for message in history.messages] == ["one", "two"]


def test_a_file_whose_last_line_was_left_without_an_end_is_whole(tmp_path: Path) -> None:
    history = FileChatHistory(tmp_path / "talk.jsonl")
    history.add_messages(turn("one"))
    history.path.write_bytes(history.path.read_bytes().rstrip())
    history.add_messages(turn("two"))
    assert history.messages == [*turn("one"), *turn("two")]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("Dear diary", 1),
        ('{"type": "human"}\n', 1),
        ("[1, 2]\n", 1),
        ('[{"type": "robot", "data": {"content": "x"}}]\n', 1),
        (json.dumps([{"type": "human", "data": {"content": "one"}}]) + "\n\0\0\0\0", 2),
        ('[{"type": "human", "da\n[]\n', 1),
        ("\xff\xfe", 1),
    ],
)
def test_a_file_that_is_no_session_is_one_sentence_and_stays_as_it_is(
    tmp_path: Path, content: str, line: int
) -> None:
    path = tmp_path / "diary.txt"
    path.write_bytes(content.encode("latin-1"))
    history = FileChatHistory(path)
    for attempt in (lambda: history.messages, lambda: history.add_messages(turn("one")), history.clear):
        with pytest.raises(
            ragkit.UsageError,
            match=f"line {line} of '.*diary.txt' is not of a conversation; mend it or name another file",
        ):
            attempt()
    assert path.read_bytes() == content.encode("latin-1")


def test_a_file_that_cannot_be_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        ragkit.UsageError, match="cannot be saved in '.*nowhere/talk.jsonl': No such file or directory"
    ):
        FileChatHistory(tmp_path / "nowhere" / "talk.jsonl").add_messages(turn("one"))
    with pytest.raises(ragkit.UsageError, match="cannot be read: Is a directory"):
        _ = FileChatHistory(tmp_path).messages


@pytest.mark.parametrize(
    "block", re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "conversation.md").read_text(), re.DOTALL)
)
def test_the_documents_python_runs(
    block: str, ingested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ragkit").symlink_to(ingested)
    monkeypatch.chdir(tmp_path)
    exec(block, {})
