"""Answers in a chat model's words: the marks are resolved, and what they claim is checked."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel

import ragkit
from ragkit.answer import Answer
from ragkit.ask import AnswerPipeline
from ragkit.document import passage, scored
from ragkit.errors import ModelError
from ragkit.flow import Token, run, steps
from ragkit.generate import Generator
from ragkit.generate.backed import BackedGenerator
from ragkit.generate.chat import CitedGenerator, StructuredGenerator
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.models.chat import openai_chat
from ragkit.policy import Policy, apply
from ragkit.testing import PAPER, passages, scripted_chat
from ragkit.text.question import Asked
from ragkit.text.words import sentences
from ragkit.verify.evidence import EvidenceVerifier
from ragkit.verify.streaming import ClaimReady

QUESTION = "How many people do glass bridges carry?"


def written(*responses: str) -> ragkit.Answer:
    """What becomes of a model's words: cited and judged."""
    answer = run(CitedGenerator(scripted_chat(list(responses))).flow(Asked.of(QUESTION), passages()))
    return run(EvidenceVerifier().flow(Asked.of(QUESTION), answer))


def test_a_mark_is_resolved_to_the_sentence_that_supports_the_claim() -> None:
    answer = written("Glass bridges carry 40 people [1].")
    [citation] = answer.citations
    assert (citation.number, citation.title, citation.quote) == (
        1,
        "On Bridges",
        "Glass bridges carry 40 people.",
    )
    assert (citation.start, citation.end, citation.verdict) == (0, 30, "quoted")
    assert answer.claims[0].text == "Glass bridges carry 40 people."
    assert answer.text == "Glass bridges carry 40 people. [1]"


def test_a_mark_that_names_no_passage_is_reported() -> None:
    answer = written("Glass bridges carry 40 people [9].")
    [citation] = answer.citations
    assert (citation.verdict, citation.document_id, citation.quote) == ("unresolved", None, "")
    assert citation.reason == "the mark [9] names no sentence of the sources"
    assert answer.claims[0].verdict == "unresolved"


def test_a_claim_without_a_mark_is_cited_where_a_passage_supports_it() -> None:
    answer = written("They are tested every year. Whales sing.")
    assert answer.text == "They are tested every year. [1] Whales sing."
    assert [c.quote for c in answer.citations] == ["They are tested every year."]
    assert [c.verdict for c in answer.claims] == ["quoted", "unsupported"]


def test_a_closing_list_of_sources_is_no_claim() -> None:
    assert (
        written("Glass bridges carry 40 people. Sources: [1], [2], [3]").text
        == "Glass bridges carry 40 people. [1]"
    )


def test_a_wrong_number_is_unsupported() -> None:
    answer = written("Glass bridges carry 50 people [1].")
    assert answer.claims[0].verdict == "unsupported"
    assert answer.citations[0].reason == "the source does not have the number 50"


def test_a_flipped_negation_is_unsupported() -> None:
    assert written("Wooden ones do last [3].").claims[0].verdict == "unsupported"


def test_policies_flag_drop_or_abstain() -> None:
    answer = written(
        "Glass bridges carry 40 people [1]. They carry 50 cars [1]. They are tested every year [2]."
    )
    assert [c.verdict for c in answer.claims] == ["quoted", "unsupported", "quoted"]
    assert apply("flag", answer) == answer
    dropped = apply("drop", answer)
    assert dropped.text == "Glass bridges carry 40 people. [1] They are tested every year. [2]"
    assert [c.number for c in dropped.citations] == [1, 2]
    assert [c.quote for c in dropped.citations] == [
        "Glass bridges carry 40 people.",
        "They are tested every year.",
    ]
    abstained = apply("abstain", answer)
    assert abstained.abstained is not None
    assert abstained.abstained.reason == "1 of 3 sentences are not supported by the papers"


def test_a_citation_is_judged_by_the_claims_that_are_left() -> None:
    answer = written("Glass bridges carry 40 people [1]. Glass bridges carry 50 people [1].")
    assert [c.verdict for c in answer.citations] == ["unsupported"]
    [citation] = apply("drop", answer).citations
    assert (citation.verdict, citation.score, citation.reason) == (
        "quoted",
        1.0,
        "the source says it word for word",
    )


@pytest.mark.parametrize("policy", ["drop", "abstain"])
def test_marks_that_name_nothing_are_taken_out_and_all_others_stay(policy: Policy) -> None:
    said = "Wooden ones are cheaper, but do not last [9][3]. Glass bridges carry 40 people and are tested every year [1][9][2]."
    left = apply(policy, written(said))
    assert [[cited.quote.quote for cited in claim.cites if cited.quote] for claim in left.claims] == [
        ["Wooden ones are cheaper, but do not last."],
        ["Glass bridges carry 40 people.", "They are tested every year."],
    ]
    assert [claim.citations for claim in left.numbered] == [(1,), (2, 3)]
    assert all(cited.finding for claim in left.claims for cited in claim.cites)


def test_dropping_every_claim_is_an_abstention() -> None:
    dropped = apply("drop", written("Whales sing [1]."))
    assert dropped.abstained is not None
    assert dropped.abstained.reason == "no sentence of the answer is supported by the papers"
    assert dropped.abstained.nearest == ("On Bridges",)


def test_a_model_that_finds_no_answer_abstains() -> None:
    assert apply("drop", written("NOT IN THE SOURCES.")).abstained is not None


def test_an_openai_compatible_server_is_asked_with_numbered_sentences_behind_a_fence(
    model_server: Any,
) -> None:
    model_server.says = "Glass bridges carry 40 people [1]."
    llm = openai_chat(model="m", base_url=model_server.url)
    answer = run(CitedGenerator(llm).flow(Asked.of(QUESTION), passages()))
    assert answer.text == "Glass bridges carry 40 people. [1]"
    [request] = model_server.asked
    assert (request["model"], request["stream"], request["temperature"]) == ("m", True, 0.0)
    instruction, data = (message["content"] for message in request["messages"])
    [fence] = set(re.findall(r"[0-9a-f]{16}", data))
    assert f"tags that end in {fence}" in instruction
    assert data == (
        f"<sources-{fence}>\n“On Bridges”\n[1] Glass bridges carry 40 people.\n[2] They are tested every year.\n"
        f"[3] Wooden ones are cheaper, but do not last.\n</sources-{fence}>\n\n"
        f"<question-{fence}>\nHow many people do glass bridges carry?\n</question-{fence}>"
    )


def test_the_models_tokens_are_streamed(model_server: Any) -> None:
    model_server.says = "Glass bridges carry 40 people [1]."
    generator = CitedGenerator(openai_chat(model="m", base_url=model_server.url))
    assert (
        "".join(getattr(event, "text", "") for event in steps(generator.flow(Asked.of(QUESTION), passages())))
        == model_server.says
    )


def test_a_model_that_says_nothing_is_asked_once_more() -> None:
    assert written("", "Glass bridges carry 40 people [1].").text == "Glass bridges carry 40 people. [1]"


@pytest.mark.parametrize("reply", ["", "<think>What is a bridge?</think>"])
def test_a_model_that_says_nothing_twice_has_failed_and_does_not_decline(reply: str) -> None:
    with pytest.raises(ModelError, match="replied nothing, even when asked again"):
        written(reply)


def test_a_model_that_declines_is_an_abstention_with_the_reason_and_the_nearest_paper() -> None:
    for reply in (
        "NOT IN THE SOURCES.",
        "I am sorry, but this is not in the sources.",
        "<think>Hm.</think> NOT IN THE SOURCES",
    ):
        answer = apply(
            "drop", run(CitedGenerator(scripted_chat([reply])).flow(Asked.of(QUESTION), passages()))
        )
        assert answer.abstained == ragkit.Abstention(
            reason="the chat model finds no answer in them", nearest=("On Bridges",)
        )


def test_an_instruction_must_name_the_fence() -> None:
    with pytest.raises(ValueError, match=r"'instruction' must have the placeholder '\{fence\}'"):
        CitedGenerator(scripted_chat(["x"]), instruction="Answer.")
    with pytest.raises(
        ValueError,
        match=r"'instruction' has the placeholder '\{n\}'; there is only '\{fence\}' and '\{language\}'",
    ):
        CitedGenerator(scripted_chat(["x"]), instruction="Name {n} of {fence}.")
    with pytest.raises(ValueError, match=r"'translating' must have the placeholder '\{language\}'"):
        CitedGenerator(scripted_chat(["x"]), translating="Translate what is in {fence}.")


GERMAN = "Wie viele Menschen tragen Glasbrücken?"


@pytest.mark.parametrize(
    ("question", "language"), [(GERMAN, "German"), (QUESTION, "the language of the question")]
)
def test_the_model_is_told_in_which_language_to_answer(
    model_server: Any, question: str, language: str
) -> None:
    model_server.says = "NOT IN THE SOURCES"
    run(
        CitedGenerator(openai_chat(model="m", base_url=model_server.url)).flow(Asked.of(question), passages())
    )
    assert f"Write the answer in {language}." in model_server.asked[0]["messages"][0]["content"]


SAID = "Glass bridges carry 40 people [1]. Glass bridges are made of cheese by old monks [2]. They are tested every year."
SAID_IN_GERMAN = "1. Glasbrücken tragen 40 Menschen.\n2. Sie werden jedes Jahr geprüft."


def asked_in_german(*replies: Any, generate: Generator | None = None) -> Answer:
    pipeline = AnswerPipeline(
        retrieve=[],
        generate=generate or CitedGenerator(scripted_chat(list(replies))),
        verify=EvidenceVerifier(),
    )
    return run(pipeline.answer(Asked.of(GERMAN), passages()))


def test_what_holds_of_an_answer_in_english_is_translated_and_keeps_its_verdict() -> None:
    answer = asked_in_german(SAID, SAID_IN_GERMAN)
    assert answer.text == "Glasbrücken tragen 40 Menschen. [1] Sie werden jedes Jahr geprüft. [2]"
    assert [c.verdict for c in answer.claims] == ["quoted", "quoted"]
    assert [c.original for c in answer.claims] == [
        "Glass bridges carry 40 people.",
        "They are tested every year.",
    ]
    assert [c.quote for c in answer.citations] == [
        "Glass bridges carry 40 people.",
        "They are tested every year.",
    ]
    assert [claim.get("original") for claim in answer.as_json()["claims"]] == [
        c.original for c in answer.claims
    ]


@pytest.mark.parametrize(
    "translation",
    [
        "",
        "Ich kann diesen Text leider nicht übersetzen.",
        "Hier ist die Übersetzung: Glasbrücken tragen 40 Menschen.",
        "1. Glasbrücken tragen 50 Menschen.",
        "1. Glass bridges carry 40 people.",
        "9. Glasbrücken tragen 40 Menschen.",
        "1. Glasbrücken tragen 40 Menschen und 99,9 % der GPT-4-Last.",
        "1. Glass bridges do not carry 40 people.",
    ],
)
def test_what_is_no_translation_is_not_taken(translation: str) -> None:
    assert (
        asked_in_german("Glass bridges carry 40 people [1].", translation).text
        == "Glass bridges carry 40 people. [1]"
    )


def test_a_sentence_is_translated_even_if_another_is_not() -> None:
    translation = "1. Glasbrücken tragen viele Menschen.\n2. Sie werden jedes Jahr geprüft."
    answer = asked_in_german(SAID, translation)
    assert answer.text == "Glass bridges carry 40 people. [1] Sie werden jedes Jahr geprüft. [2]"
    assert "original" not in answer.as_json()["claims"][0]


def test_of_two_translations_of_a_sentence_the_first_is_taken() -> None:
    answer = asked_in_german(
        "Glass bridges carry 40 people [1].",
        "1. Glasbrücken tragen 40 Menschen.\n1. Nur 40 Menschen tragen sie.",
    )
    assert answer.text == "Glasbrücken tragen 40 Menschen. [1]"
    assert answer.claims[0].original == "Glass bridges carry 40 people."


def test_an_answer_in_the_language_of_the_question_is_left_as_it_is() -> None:
    assert (
        asked_in_german("Glasbrücken tragen 40 Menschen [1].", "1. Das hat niemand gefragt.").text
        == "Glasbrücken tragen 40 Menschen. [1]"
    )


@pytest.mark.parametrize("reply", ["[1]", "NOT IN THE SOURCES"])
def test_where_nothing_is_said_nothing_is_translated(model_server: Any, reply: str) -> None:
    model_server.says = reply
    generator = CitedGenerator(openai_chat(model="m", base_url=model_server.url))
    answer = asked_in_german(generate=BackedGenerator(generator))
    assert "Glass bridges carry 40 people. [1]" in answer.text
    assert len(model_server.asked) == 1 + (reply == "[1]")  # what it points at is its own words


class Untranslating(FakeListChatModel):
    """Writes an answer, and fails at all that is not streamed."""

    def _call(self, *_: Any, **__: Any) -> str:
        raise RuntimeError("503 busy")


def test_a_translation_that_fails_costs_no_answer() -> None:
    answer = asked_in_german(generate=CitedGenerator(Untranslating(responses=[SAID])))
    assert answer.text == "Glass bridges carry 40 people. [1] They are tested every year. [2]"


def test_what_a_reader_is_told_of_while_it_is_written_ends_with_the_translation() -> None:
    pipeline = AnswerPipeline(
        retrieve=[], generate=CitedGenerator(scripted_chat([SAID, SAID_IN_GERMAN])), verify=EvidenceVerifier()
    )
    told = {
        e.index: e for e in steps(pipeline.answer(Asked.of(GERMAN), passages())) if isinstance(e, ClaimReady)
    }
    assert [(e.claim.text, e.shown) for _, e in sorted(told.items()) if e.shown] == [
        ("Glasbrücken tragen 40 Menschen.", True),
        ("Sie werden jedes Jahr geprüft.", True),
    ]


def test_tags_that_a_model_repeats_are_no_part_of_its_answer() -> None:
    assert (
        written("Glass bridges carry 40 people [1].\n</sources-0123456789abcdef>").text
        == "Glass bridges carry 40 people. [1]"
    )


GOOD = "Glass bridges carry 40 people. [1]"


@pytest.mark.parametrize(
    "reply",
    [
        "Glass bridges carry 40 people (1).",
        "Glass bridges carry 40 people. (1)",
        "Glass bridges carry 40 people [Source 1].",
        "Glass bridges carry 40 people (source 1).",
        "Glass bridges carry 40 people [Sentence #1].",
        "Glass bridges carry 40 people.¹",
        "Glass bridges carry 40 people¹.",
        "Glass bridges carry 40 people［１］.",
        "Glass bridges carry 40 people [1: bridges.md].",
        "Glass bridges carry 40 people [1, bridges.md].",
        "Glass bridges carry 40 people [bridges.md, 1].",
        "Glass bridges carry 40 people 【1†source】.",
        "Glass bridges carry 40 people [^1].",
    ],
)
def test_marks_are_read_however_they_are_written(reply: str) -> None:
    answer = written(reply)
    assert answer.text == GOOD
    assert [claim.text for claim in answer.claims] == ["Glass bridges carry 40 people."]
    assert [citation.by_model for claim in answer.claims for citation in claim.cites] == [True]


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        ("Glass bridges carry 40 people (in 2019).", "(in 2019)"),
        ("Glass bridges carry 40 people (2019).", "(2019)"),
        ("Glass bridges carry 40 people (1) and sway [1].", "(1)"),
        ("Glass bridges carry 40 people on 10² m².", "10² m²"),
        ("Glass bridges carry 40 people [1](http://x.org).", "(http://x.org)"),
    ],
)
def test_what_only_looks_like_a_mark_stays(reply: str, kept: str) -> None:
    assert kept in written(reply).claims[0].text


@pytest.mark.parametrize(
    "reply",
    [
        f"<think>They carry 50 people [2].</think>{GOOD}",
        f"<reasoning>They carry 50 people [2].</reasoning>\n\n{GOOD}",
        f"<thought>They carry 50 [2].</thought>{GOOD}",
        f"[THINK]They carry 50 [2].[/THINK]{GOOD}",
        f"◁think▷They carry 50 [2].◁/think▷{GOOD}",
        f"<|begin_of_thought|>They carry 50 [2].<|end_of_thought|>{GOOD}",
        f"<my_notes>They carry 50 [2].</my_notes>\n{GOOD}",
        f"They carry 50 [2].</think>{GOOD}",
        f"<answer>{GOOD}</answer>",
        f"<think>They carry 50 [2].</think><answer>{GOOD}</answer>",
        f"```\n{GOOD}\n```",
        f"```markdown\n{GOOD}\n```",
        f"{GOOD}\n\nSources:\n[1] On Bridges",
        f"{GOOD}\n\n**References**\n\n1. On Bridges\n2. On Steel",
        f"{GOOD} " * 40,
        f"{GOOD}\n{GOOD}\nGlass bridges  carry 40 people [1].",
    ],
)
def test_what_is_no_part_of_an_answer_is_left_out(reply: str) -> None:
    answer = written(reply)
    assert answer.text == GOOD
    assert len(answer.claims) == 1


def test_after_a_rejected_answer_the_model_is_told_what_was_wrong(model_server: Any) -> None:
    generator = CitedGenerator(openai_chat(model="m", base_url=model_server.url))
    model_server.says = "Glass bridges carry 50 people [1]."
    first = run(
        EvidenceVerifier().flow(Asked.of(QUESTION), run(generator.flow(Asked.of(QUESTION), passages())))
    )
    model_server.says = "Glass bridges carry 40 people [1]."
    assert (
        run(generator.flow(Asked.of(QUESTION), passages(), first)).text
        == "Glass bridges carry 40 people. [1]"
    )
    instruction, data = (message["content"] for message in model_server.asked[-1]["messages"])
    assert "rejected" in instruction
    assert "50 people" not in instruction
    assert re.search(r"<rejected-(\w+)>\nGlass bridges carry 50 people\.\n</rejected-\1>", data)


# --- answers in JSON


def structured(*responses: str) -> ragkit.Answer:
    return run(StructuredGenerator(scripted_chat(list(responses))).flow(Asked.of(QUESTION), passages()))


@pytest.mark.parametrize(
    "reply",
    [
        '{"claims": [{"text": "Glass bridges carry 40 people.", "sources": [1]}]}',
        'Here it is:\n```json\n{"claims": [{"text": "Glass bridges carry 40 people.", "sources": ["[1]"]}]}\n```',
        '{"claims": ["Glass bridges carry 40 people [1]."]}',
        '{"claims": [{"text": "Glass bridges carry 40 people.", "sources": [1]}, {"text": "They are te',
        '<think>{"claims": []}</think>{"claims": [{"text": "Glass bridges carry 40 people. [1]", "sources": null}]}',
    ],
)
def test_claims_in_json_are_read_however_they_come(reply: str) -> None:
    answer = structured(reply)
    assert answer.text == "Glass bridges carry 40 people. [1]"
    assert [c.quote for c in answer.citations] == ["Glass bridges carry 40 people."]


def test_no_claims_are_an_abstention() -> None:
    assert structured('{"claims": []}').abstained is not None


def test_a_reply_that_is_no_json_is_asked_for_once_more_and_then_taken_as_text() -> None:
    good = '{"claims": [{"text": "They are tested every year.", "sources": [2]}]}'
    assert structured("Well, they are strong.", good).text == "They are tested every year. [1]"
    assert (
        structured("Glass bridges carry 40 people [1].", "Glass bridges carry 40 people [1].").text
        == "Glass bridges carry 40 people. [1]"
    )


@settings(max_examples=200)
@given(
    st.text(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["claims", "text", "sources", "x"]), x),
    ).map(json.dumps)
)
def test_no_reply_breaks_an_answer(reply: str) -> None:
    for make in (CitedGenerator, StructuredGenerator):
        try:
            answer = run(make(scripted_chat([reply])).flow(Asked.of(QUESTION), passages()))
        except ModelError as error:
            assert "replied nothing" in str(error)
            continue
        assert all(
            c.document_id is None or c.quote == PAPER.page_content[c.start : c.end] for c in answer.citations
        )


def test_the_server_is_given_the_schema_unless_it_refuses_one(model_server: Any) -> None:
    model_server.says = '{"claims": []}'
    llm = openai_chat(model="m", base_url=model_server.url)
    run(StructuredGenerator(llm).flow(Asked.of(QUESTION), passages()))
    run(StructuredGenerator(llm, constrain=False).flow(Asked.of(QUESTION), passages()))
    constrained, free = model_server.asked
    assert constrained["response_format"]["json_schema"]["schema"]["required"] == ["claims"]
    assert "response_format" not in free


# --- the papers' own sentences


def test_an_extractive_answer_is_the_best_sentence_under_its_papers_name() -> None:
    answer = run(ExtractiveGenerator(most=1).flow(Asked.of(QUESTION), passages()))
    assert answer.text == "“On Bridges”: Glass bridges carry 40 people. [1]"


def test_an_extractive_answer_says_nothing_twice() -> None:
    twice = [
        passages()[0],
        passages()[0].model_copy(
            update={"id": "other", "metadata": {**passages()[0].metadata, "document_id": "p2"}}
        ),
    ]
    assert len(run(ExtractiveGenerator().flow(Asked.of(QUESTION), twice)).claims) == 1


def paper(title: str, text: str) -> list[Document]:
    """The sentences of a paper of its own as passages."""
    whole = Document(id=title, page_content=text, metadata={"title": title})
    return [scored(passage(whole, start, end), 1.0) for start, end in sentences(text)]


def test_a_question_about_two_papers_is_answered_from_both() -> None:
    given = [
        *paper(
            "Auto-J",
            "Auto-J is a judge. Auto-J has 13B parameters and judges many things. Auto-J has been trained on the parameters of others.",
        ),
        *paper("SFR-RAG", "SFR-RAG is small. We show that the model needs 9B parameters."),
    ]
    answer = run(
        ExtractiveGenerator(most=2).flow(
            Asked.of("How many parameters do the judge Auto-J and the model SFR-RAG have?"), given
        )
    )
    assert [c.text for c in answer.claims] == [
        "Auto-J has 13B parameters and judges many things.",
        "We show that the model needs 9B parameters.",
    ]


def test_what_letters_stand_for_is_taken_from_where_they_are_spelled_out() -> None:
    given = paper(
        "Vectors",
        "ICV works well. ICV is what we call it. We use in-context vectors (ICV) for all. ICV does not cost much.",
    )
    assert (
        run(ExtractiveGenerator(most=1).flow(Asked.of("What does ICV stand for?"), given)).claims[0].text
        == "We use in-context vectors (ICV) for all."
    )


def test_what_no_passage_mentions_gets_no_sentence() -> None:
    given = [
        *paper("Auto-J", "Auto-J has 13B parameters in all."),
        *paper("SFR-RAG", "SFR-RAG has 9B parameters in all."),
    ]
    answer = run(ExtractiveGenerator().flow(Asked.of("How large are Auto-J and ZorgNet-9?"), given))
    assert [c.text for c in answer.claims] == ["Auto-J has 13B parameters in all."]


def test_of_two_that_are_compared_each_gets_its_number() -> None:
    given = [
        *paper("Auto-J", "Auto-J is better than most others. Auto-J has 13B parameters in all."),
        *paper("SFR-RAG", "SFR-RAG is better than some others. SFR-RAG has 9B parameters in all."),
    ]
    answer = run(ExtractiveGenerator(most=2).flow(Asked.of("Which is larger, Auto-J or SFR-RAG?"), given))
    assert [c.text for c in answer.claims] == [
        "Auto-J has 13B parameters in all.",
        "SFR-RAG has 9B parameters in all.",
    ]


def test_what_a_thing_is_is_taken_from_where_it_is_defined() -> None:
    text = "Code for KID is on the web. KID beats GPT-2, and KID is quick. We present a way to infuse facts, KID, which reads a memory."
    paper = Document(page_content=text, metadata={"title": "Infusing Facts"})
    [whole] = [passage(paper, 0, len(text))]
    answer = run(ExtractiveGenerator(most=1).flow(Asked.of("What is KID?"), [whole]))
    assert [c.text for c in answer.claims] == ["We present a way to infuse facts, KID, which reads a memory."]


def test_a_paper_that_mentions_what_is_named_comes_first() -> None:
    near = Document(page_content="Lists say what models are evaluated on.", metadata={"title": "Tasks"})
    named = Document(
        page_content="Lists say what all of it is evaluated on. Here it is PEG.",
        metadata={"title": "Ranking"},
    )
    found = [scored(passage(p, 0, len(p.page_content)), score) for p, score in ((near, 1.0), (named, 1.0))]
    answer = run(ExtractiveGenerator(most=1).flow(Asked.of("List what PEG is evaluated on"), found))
    assert [c.title for c in answer.citations] == ["Ranking"]


def test_no_more_sentences_are_taken_than_most_however_much_is_asked() -> None:
    given = [
        *paper("Auto-J", "Auto-J has 13B parameters in all."),
        *paper("SFR-RAG", "SFR-RAG has 9B parameters in all."),
    ]
    assert (
        len(
            run(
                ExtractiveGenerator(most=1).flow(
                    Asked.of("How large is Auto-J, and how large is SFR-RAG?"), given
                )
            ).claims
        )
        == 1
    )


# --- a model's answer with the papers' words behind it


def backed(*responses: str, **given: int) -> Answer:
    generator = BackedGenerator(CitedGenerator(scripted_chat(list(responses))), ExtractiveGenerator(**given))
    return run(generator.flow(Asked.of(QUESTION), passages()))


def test_the_papers_words_stand_behind_what_the_model_says() -> None:
    answer = backed("40 people can walk there [1]. They fly to Oslo [2].", most=1)
    assert (
        answer.text
        == "40 people can walk there. [1] They fly to Oslo. [2]\n\n“On Bridges”: Glass bridges carry 40 people. [1]"
    )
    assert [c.number for c in answer.citations] == [1, 2]


def test_what_the_model_says_word_for_word_is_not_said_twice() -> None:
    for said in ("Glass bridges carry 40 people", "However, glass bridges carry 40 people"):
        assert backed(f"{said} [1].", most=1).text == f"{said}. [1]"


def test_where_the_model_declines_the_papers_words_are_the_answer() -> None:
    answer = backed("NOT IN THE SOURCES.", most=1)
    assert (answer.text, answer.abstained) == ("“On Bridges”: Glass bridges carry 40 people. [1]", None)


def test_a_mark_that_names_no_sentence_does_not_stand_for_a_quoted_one() -> None:
    answer = backed("They fly [7].", most=1)
    assert [(c.number, c.document_id is None) for c in answer.citations] == [(1, True), (2, False)]
    assert [c.citations for c in answer.numbered] == [(1,), (2,)]


def test_what_is_streamed_is_the_whole_answer() -> None:
    generator = BackedGenerator(
        CitedGenerator(scripted_chat(["40 people walk there [1]."])), ExtractiveGenerator(most=1)
    )
    happened = list(steps(generator.flow(Asked.of(QUESTION), passages())))
    assert "".join(e.text for e in happened if isinstance(e, Token)) == (
        "40 people walk there [1].\n\n“On Bridges”: Glass bridges carry 40 people. [1]"
    )
