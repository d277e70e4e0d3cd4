"""Answers in a chat model's words: the marks are resolved, and what they claim is checked."""

from __future__ import annotations

from typing import Any

import ragkit
from ragkit.flow import run, steps
from ragkit.generate.chat import CitedGenerator
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.llm import openai_chat
from ragkit.policy import apply
from ragkit.testing import passages, scripted_chat
from ragkit.verify import EvidenceVerifier

QUESTION = "How many people do glass bridges carry?"


def written(*responses: str) -> ragkit.Answer:
    """What becomes of a model's words: cited and judged."""
    answer = run(CitedGenerator(scripted_chat(list(responses))).flow(QUESTION, passages()))
    return run(EvidenceVerifier().flow(answer))


def test_a_mark_is_resolved_to_the_sentence_that_supports_the_claim() -> None:
    answer = written("Glass bridges carry 40 people [1].")
    [citation] = answer.citations
    assert (citation.number, citation.title, citation.quote) == (1, "On Bridges", "Glass bridges carry 40 people.")
    assert (citation.start, citation.end, citation.verdict) == (0, 30, "supported")
    assert answer.claims[0].text == "Glass bridges carry 40 people."
    assert answer.text == "Glass bridges carry 40 people. [1]"


def test_a_mark_that_names_no_passage_is_reported() -> None:
    answer = written("Glass bridges carry 40 people [9].")
    [citation] = answer.citations
    assert (citation.verdict, citation.document_id, citation.quote) == ("unresolved", None, "")
    assert citation.reason == "the mark [9] names no passage"
    assert answer.claims[0].verdict == "unresolved"


def test_a_claim_without_a_mark_is_cited_where_a_passage_supports_it() -> None:
    answer = written("They are tested every year. Whales sing.")
    assert answer.text == "They are tested every year. [1] Whales sing."
    assert [c.quote for c in answer.citations] == ["They are tested every year."]
    assert [c.verdict for c in answer.claims] == ["supported", "unsupported"]


def test_a_closing_list_of_sources_is_no_claim() -> None:
    assert written("Glass bridges carry 40 people. Sources: [1], [2], [3]").text == "Glass bridges carry 40 people. [1]"


def test_a_wrong_number_is_unsupported() -> None:
    answer = written("Glass bridges carry 50 people [1].")
    assert answer.claims[0].verdict == "unsupported"
    assert answer.citations[0].reason == "the source does not have the number 50"


def test_a_flipped_negation_is_unsupported() -> None:
    assert written("Wooden ones do last [3].").claims[0].verdict == "unsupported"


def test_policies_flag_drop_or_abstain() -> None:
    answer = written("Glass bridges carry 40 people [1]. They carry 50 cars [1]. They are tested every year [2].")
    assert [c.verdict for c in answer.claims] == ["supported", "unsupported", "supported"]
    assert apply("flag", answer) == answer
    dropped = apply("drop", answer)
    assert dropped.text == "Glass bridges carry 40 people. [1] They are tested every year. [2]"
    assert [c.number for c in dropped.citations] == [1, 2]
    assert [c.quote for c in dropped.citations] == ["Glass bridges carry 40 people.", "They are tested every year."]
    abstained = apply("abstain", answer)
    assert abstained.abstained is not None
    assert abstained.abstained.reason == "1 of 3 sentences are not supported by the papers"


def test_dropping_every_claim_is_an_abstention() -> None:
    dropped = apply("drop", written("Whales sing [1]."))
    assert dropped.abstained is not None
    assert dropped.abstained.reason == "no sentence of the answer is supported by the papers"
    assert dropped.abstained.nearest == ("On Bridges",)


def test_a_model_that_finds_no_answer_abstains() -> None:
    assert apply("drop", written("NOT IN THE SOURCES.")).abstained is not None


def test_an_openai_compatible_server_is_asked_with_numbered_sources(model_server: Any) -> None:
    model_server.says = "Glass bridges carry 40 people [1]."
    llm = openai_chat(model="m", base_url=model_server.url)
    answer = run(CitedGenerator(llm).flow(QUESTION, passages()))
    assert answer.text == "Glass bridges carry 40 people. [1]"
    [request] = model_server.asked
    assert (request["model"], request["stream"], request["temperature"]) == ("m", True, 0.0)
    assert request["messages"][1]["content"] == (
        "Sources:\n\n[1] On Bridges\nGlass bridges carry 40 people.\n\n[2] On Bridges\nThey are tested every year.\n\n"
        "[3] On Bridges\nWooden ones are cheaper, but do not last.\n\nQuestion: How many people do glass bridges carry?"
    )


def test_the_models_tokens_are_streamed(model_server: Any) -> None:
    model_server.says = "Glass bridges carry 40 people [1]."
    generator = CitedGenerator(openai_chat(model="m", base_url=model_server.url))
    assert "".join(getattr(event, "text", "") for event in steps(generator.flow(QUESTION, passages()))) == model_server.says


def test_an_extractive_answer_is_the_best_sentence_under_its_papers_name() -> None:
    answer = run(ExtractiveGenerator(most=1).flow(QUESTION, passages()))
    assert answer.text == "“On Bridges”: Glass bridges carry 40 people. [1]"


def test_an_extractive_answer_says_nothing_twice() -> None:
    twice = [passages()[0], passages()[0].model_copy(update={"id": "other", "metadata": {**passages()[0].metadata, "document_id": "p2"}})]
    assert len(run(ExtractiveGenerator().flow(QUESTION, twice)).claims) == 1
