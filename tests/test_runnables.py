"""A Rag as parts of LangChain programs: a retriever, and a runnable that answers, streams and is a tool."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

import ragkit
from ragkit.answer import Answer

BERT = "How many parameters do BERT-base and BERT-large have?"
WORDS = "hard negatives"


def untimed(answer: Answer) -> Answer:
    return answer.model_copy(update={"timings_ms": {}})


# --- the retriever


def test_the_retriever_finds_what_search_finds_sync_and_async(rag: ragkit.Rag) -> None:
    retriever = rag.as_retriever(k=3, where="year >= 2020")
    found = retriever.invoke(WORDS)
    assert found == rag.search(WORDS, 3, "year >= 2020") == asyncio.run(rag.asearch(WORDS, 3, "year >= 2020"))
    assert asyncio.run(retriever.ainvoke(WORDS)) == found
    assert retriever.batch([WORDS, BERT])[0] == found
    assert len(found) == 3
    assert min(hit.metadata["year"] for hit in found) >= 2020


def test_its_documents_have_text_title_score_and_span(rag: ragkit.Rag) -> None:
    for hit in rag.as_retriever(k=2).invoke(WORDS):
        assert {"title", "score", "document_id", "start", "end"} <= set(hit.metadata)
        paper = rag.corpus.document(hit.metadata["document_id"])
        assert paper is not None
        assert paper.page_content[hit.metadata["start"] : hit.metadata["end"]] == hit.page_content
        json.dumps(hit.metadata)


def test_it_is_a_part_of_chains(rag: ragkit.Rag) -> None:
    def titles(found: list[Document]) -> str:
        return "; ".join(hit.metadata["title"] for hit in found)

    chain: Any = {"context": rag.as_retriever(k=1) | titles, "question": RunnablePassthrough()}
    whole = RunnablePassthrough() | chain
    assert whole.invoke("late interaction")["context"].startswith("ColBERT")


def test_a_retriever_that_cannot_be_is_refused_at_once(rag: ragkit.Rag) -> None:
    for k in (0, -1, "three", True, 2.5):
        with pytest.raises(ragkit.UsageError, match=f"k={k!r} is no number of passages: give 1 or more"):
            rag.as_retriever(k=k)  # type: ignore[arg-type]
    with pytest.raises(ragkit.UsageError, match="k=0 is no number"):
        rag.search(WORDS, k=0)
    with pytest.raises(ragkit.UsageError):
        rag.as_retriever(where="year >")
    with pytest.raises(ragkit.UsageError, match="the question is empty"):
        rag.as_retriever().invoke(" ")


# --- the runnable


def test_the_runnable_takes_a_text_or_a_mapping(rag: ragkit.Rag) -> None:
    asking = rag.as_runnable()
    answer = untimed(rag.ask(BERT))
    for given in (BERT, {"question": BERT}, {"question": BERT, "history": None, "where": None}):
        assert untimed(asking.invoke(given)) == answer
    assert untimed(asyncio.run(asking.ainvoke({"question": BERT}))) == answer
    assert [untimed(each) for each in asking.batch([BERT])] == [answer]
    limited = asking.invoke({"question": BERT, "where": "title contains DistilBERT"})
    assert {c.title.split(",")[0] for c in limited.citations} <= {"DistilBERT"}


def test_the_runnable_knows_the_conversation(rag: ragkit.Rag) -> None:
    before = [HumanMessage("What does DPR train with?"), AIMessage("With in-batch negatives.")]
    asked = {"question": "and how many questions in a batch?", "history": before}
    answer = rag.as_runnable().invoke(asked)
    assert answer.citations[0].title == "Dense Passage Retrieval for Open-Domain Question Answering"


def test_the_runnable_streams_the_answer_so_far_and_ends_with_the_whole(rag: ragkit.Rag) -> None:
    async def streamed() -> list[Answer]:
        return [each async for each in rag.as_runnable().astream(BERT)]

    whole = untimed(rag.ask(BERT))
    for parts in (list(rag.as_runnable().stream(BERT)), asyncio.run(streamed())):
        assert untimed(parts[-1]) == whole
        assert len(parts) > 1
        for part in parts:
            assert whole.text.startswith(part.text)
            assert part.citations == whole.citations[: len(part.citations)]
            json.dumps(part.as_json())


def test_a_chain_goes_on_from_the_whole_answer(rag: ragkit.Rag) -> None:
    chain = rag.as_runnable() | RunnableLambda(lambda answer: answer.text)
    assert "".join(chain.stream(BERT)) == rag.ask(BERT).text


def test_the_runnable_is_a_tool_whose_reply_a_model_can_read(rag: ragkit.Rag) -> None:
    tool = rag.as_runnable().as_tool()
    assert (tool.name, set(tool.args)) == ("ask_papers", {"question", "where"})
    assert "citations" in tool.description
    assert tool.get_input_jsonschema()["required"] == ["question"]
    assert untimed(tool.invoke({"question": BERT})) == untimed(rag.ask(BERT))
    call = {"name": tool.name, "args": {"question": BERT}, "id": "1", "type": "tool_call"}
    for message in (tool.invoke(call), asyncio.run(tool.ainvoke(call))):
        assert isinstance(message, ToolMessage)
        assert "340 million. [1]" in message.content
        assert "word for word in its source" in message.content
    assert rag.as_runnable().as_tool(name="mine", description="Mine.").name == "mine"


def test_bad_input_is_refused_with_a_sentence(rag: ragkit.Rag) -> None:
    asking = rag.as_runnable()
    for given, sentence in (
        (
            {"query": "x"},
            "a question has no 'query': give a text, or 'question' with 'history', 'where' and 'versions'",
        ),
        ({"where": "year > 2000"}, "a question needs 'question'"),
        ({"question": 3}, "a question needs 'question', a text"),
        (7, "a question is a text or a mapping with 'question', not int"),
        ({"question": "x", "history": [{"role": "user"}]}, "a message of the history has no text"),
        ({"question": "x", "history": ["hello"]}, "a message of the history has no text"),
    ):
        with pytest.raises(ragkit.UsageError, match=sentence):
            asking.invoke(given)  # type: ignore[arg-type]
