"""The `[n]` grammar: all marks and characters of an answer are accounted for, and citations are exact."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from ragkit.answer import Answer, Citation, Cited, Claim, Quote, Source, Verdict
from ragkit.citation import Marked, numbered, parse, resolved
from ragkit.document import Span, passage
from ragkit.testing import PAPER, passages
from ragkit.text.words import stems

GLASS, YEARLY, WOOD = (
    "Glass bridges carry 40 people.",
    "They are tested every year.",
    "Wooden ones are cheaper, but do not last.",
)
QUESTION = "Which bridges are there?"


def cited(text: str, over: Sequence[Document] | None = None) -> Answer:
    """The answer that *text* is, written over the sentences of PAPER or of other passages."""
    context = numbered(passages() if over is None else over)
    claims = resolved(QUESTION, parse(text), context)
    return Answer(question=QUESTION, claims=claims, context=context.passages)


def parsed(text: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(m.text, m.marks) for m in parse(text)]


# --- marks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Glass bends [1].", [("Glass bends.", (1,))]),
        ("Glass bends. [1] Steel holds.[2]", [("Glass bends.", (1,)), ("Steel holds.", (2,))]),
        ("Glass bends [1, 2].", [("Glass bends.", (1, 2))]),
        ("Glass bends [1][3] [3].", [("Glass bends.", (1, 3))]),
        ("Glass bends [2-4], [6–7].", [("Glass bends,.", (2, 3, 4, 6, 7))]),
        ("Glass bends [1; 3 and 5].", [("Glass bends.", (1, 3, 5))]),
        ("Glass bends [^1].", [("Glass bends.", (1,))]),
        ("Glass, so they say [2], bends [1].", [("Glass, so they say, bends.", (2, 1))]),
        ("Glass bends [4-2] [1-9999] [0].", [("Glass bends.", (4, 2, 1, 9999, 0))]),
        ("[1] Glass bends. Steel holds.", [("Glass bends.", (1,)), ("Steel holds.", ())]),
        ("Glass bends.\n[2] Steel holds.", [("Glass bends.", ()), ("Steel holds.", (2,))]),
        ("Glass bends.\n[2] [3]  Steel holds.", [("Glass bends.", ()), ("Steel holds.", (2, 3))]),
        ("Glass bends.\n\n[1]\n\nSteel holds. [2]", [("Glass bends.", (1,)), ("Steel holds.", (2,))]),
        ("Glass bends.\n[1]", [("Glass bends.", (1,))]),
        ("[1]\nGlass bends.", [("Glass bends.", (1,))]),
        ("- Glass bends [1]\n- Steel holds [2]\n", [("- Glass bends", (1,)), ("- Steel holds", (2,))]),
        (
            "Glass bends in many tasks.[1]We show it.[2]",
            [("Glass bends in many tasks.", (1,)), ("We show it.", (2,))],
        ),
        ("", []),
        (" \n", []),
        ("[1] [2]", [("", (1, 2))]),
    ],
)
def test_a_mark_belongs_to_the_sentence_that_it_follows_or_opens(
    text: str, expected: list[tuple[str, tuple[int, ...]]]
) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "See [1](http://x.org) and [this](http://y.org).",
        "In [12345] and [a1], [1.5], [] and [-1].",
        "Of [1 people.",
    ],
)
def test_what_looks_like_a_mark_and_is_none_stays(text: str) -> None:
    assert parse(text) == [Marked("", text, ())]


def test_what_stands_between_two_sentences_is_before_the_second() -> None:
    assert parse("\n Glass bends. [1]\n\nSteel holds [2]. \n") == [
        Marked("\n ", "Glass bends.", (1,)),
        Marked("\n\n", "Steel holds.", (2,)),
    ]


PIECES = [
    "Glass bends",
    ". ",
    ".",
    "! ",
    "\n",
    "\n\n- ",
    "# Steel\n",
    " ",
    "\t",
    "et al. ",
    "tasks.We ",
    "3.5",
    "“so”",
    "知。",
    "😀",
    "x(http://a.b)",
]
pieces = st.one_of(
    st.sampled_from(PIECES),
    st.text(st.characters(exclude_characters="[]()［］【】〔〕〖〗⟦⟧"), min_size=1, max_size=5),
)


@settings(max_examples=200)
@given(st.lists(st.one_of(pieces, st.none()), max_size=25))
def test_sentences_and_marks_account_for_all_of_the_text(parts: list[str | None]) -> None:
    text = clean = ""
    marks: list[int] = []
    for part in parts:
        if part is None:
            marks.append(len(marks) + 1)
            text, clean = (
                f"{text}[{marks[-1]}]",
                clean.rstrip(" \t"),
            )  # a mark takes the blanks before it with it
        elif not (part.startswith("(") and text.endswith("]")):
            text, clean = text + part, clean + part
    found = parse(text)
    joined = "".join(before + sentence for before, sentence, _ in found)
    assert clean.startswith(joined)
    assert clean[len(joined) :].strip() == ""
    assert all(before.strip() == "" for before, _, _ in found)
    assert [mark for _, _, own in found for mark in own] == (marks if found else [])


@pytest.mark.parametrize("piece", [" ", "[1", "[1, ", "[1] ", "A. [1] ", "\n[1]", "[1](x) "])
def test_no_answer_takes_more_than_a_moment(piece: str) -> None:
    began = time.process_time()
    parse(piece * 10_000)
    parse("[1" + piece * 10_000)
    assert time.process_time() - began < 5


# --- answers


def test_an_answers_marks_become_citations_of_the_sentences_that_they_name() -> None:
    answer = cited(f"Wooden bridges do not last [3]. {GLASS}[1] They fly [7, 3].")
    assert answer.text == f"Wooden bridges do not last. [1] {GLASS} [2] They fly. [3] [1]"
    assert [(c.text, c.before, c.citations) for c in answer.numbered] == [
        ("Wooden bridges do not last.", "", (1,)),
        (GLASS, " ", (2,)),
        ("They fly.", " ", (3, 1)),
    ]
    assert [[(c.mark, c.by_model) for c in claim.cites] for claim in answer.claims] == [
        [(3, True)],
        [(1, True)],
        [(7, True), (3, True)],
    ]
    places = (Source(uri="bridges.txt", start=59, end=100), Source(uri="bridges.txt", start=0, end=30))
    assert answer.citations == (
        Citation(
            number=1, document_id="p1", title="On Bridges", sources=places[:1], start=59, end=100, quote=WOOD
        ),
        Citation(
            number=2, document_id="p1", title="On Bridges", sources=places[1:], start=0, end=30, quote=GLASS
        ),
        Citation(
            number=3, verdict=Verdict.UNRESOLVED, reason="the mark [7] names no sentence of the sources"
        ),
    )
    assert answer.context == tuple(passages())
    assert answer.question == QUESTION


def whole() -> Document:
    return passage(PAPER, 0, len(PAPER.page_content), sources=PAPER.metadata["sources"])


def test_every_sentence_of_a_passage_has_a_number_of_its_own() -> None:
    answer = cited("Every year, bridges are tested [2]. Wooden bridges are cheaper [3].", [whole()])
    assert [(c.start, c.end, c.quote) for c in answer.citations] == [(31, 58, YEARLY), (59, 100, WOOD)]


def test_what_the_model_said_stays_whether_or_not_it_holds() -> None:
    assert [c.quote for c in cited(f"{GLASS} [1][2][3]", [whole()]).citations] == [GLASS, YEARLY, WOOD]
    assert cited("Nobody has ever fallen off.").citations == ()


def test_a_closing_list_of_marks_is_no_sentence() -> None:
    for closing in ("Sources: [1], [2].", "[1] [2]", "References: [1] and [2]"):
        answer = cited(f"{GLASS} [1]\n\n{closing}")
        assert answer.text.startswith(f"{GLASS} [1]")
        assert [c.text for c in answer.claims] == [GLASS]


def test_marks_that_only_point_at_sentences_stand_for_these() -> None:
    for text in ("[1][3]", "Sources: [1], [3].", "The bridges there are [1], [3]."):
        answer = cited(text)
        assert [c.text for c in answer.claims] == [GLASS, WOOD]
        assert [c.quote for c in answer.citations] == [GLASS, WOOD]


def test_an_empty_answer_has_no_claims() -> None:
    for text in ("", " \n", "[7]"):
        answer = cited(text)
        assert (answer.text, answer.claims, answer.citations) == ("", (), ())


def test_where_nothing_was_found_every_mark_is_unresolved() -> None:
    answer = cited("Glass bends [1]. Steel holds.", [])
    assert answer.text == "Glass bends. [1] Steel holds."
    reason = "the mark [1] names no sentence of the sources"
    assert answer.citations == (Citation(number=1, verdict=Verdict.UNRESOLVED, reason=reason),)


words = st.lists(
    st.sampled_from([*PAPER.page_content.split(), "Paris", "not", "7"]), min_size=1, max_size=8
).map(" ".join)
marks = st.sampled_from(["", " [1]", " [2]", "[3]", " [1, 3]", " [2-3]", " [0]", " [4][1]", "\n[2] "])
answers = st.lists(
    st.tuples(words, marks, st.sampled_from([". ", ".\n\n", "\n- "])).map("".join), max_size=6
).map("".join)


@given(answers)
def test_every_citation_is_the_text_at_its_place_and_they_are_numbered_as_they_appear(text: str) -> None:
    context = numbered(passages())
    answer = Answer(question="", claims=resolved("", parse(text), context), context=context.passages)
    places = [(p.metadata["start"], p.metadata["end"]) for p in passages()]
    for citation in answer.citations:
        if citation.document_id is None:
            assert (citation.verdict, citation.quote, citation.sources) == (Verdict.UNRESOLVED, "", ())
        else:
            assert citation.quote == PAPER.page_content[citation.start : citation.end] != ""
            assert any(start <= citation.start < citation.end <= end for start, end in places)
            assert citation.sources == (Source(uri="bridges.txt", start=citation.start, end=citation.end),)
    appearing = list(dict.fromkeys(n for claim in answer.numbered for n in claim.citations))
    assert appearing == [c.number for c in answer.citations] == list(range(1, len(answer.citations) + 1))
    assert len({(c.document_id, c.start, c.end, c.reason) for c in answer.citations}) == len(answer.citations)
    assert Answer.model_validate(answer.as_json()).text == answer.text
    if all(stems(sentence) for _, sentence, _ in parse(text)):
        assert (
            "".join(c.before + c.text for c in answer.claims).strip()
            == "".join(b + t for b, t, _ in parse(text)).strip()
        )


# --- citations and context


def test_a_citation_names_every_file_that_lists_the_paper_and_where_it_knows_the_place() -> None:
    listed = [
        {"uri": "a.txt", "start": 100, "end": 201},
        {"uri": "b.txt", "start": None, "end": None},
    ]
    second = passage(PAPER, 31, 58, sources=listed)
    quote = Quote.of(second, Span("p1", 36, 57))
    assert quote.quote == "are tested every year"
    assert quote.sources == (Source(uri="a.txt", start=136, end=157), Source(uri="b.txt"))


def test_a_passage_that_no_corpus_knows_is_cited_as_a_paper_of_its_own() -> None:
    answer = cited(
        "Glass bends [2].",
        [Document(page_content="Steel holds. Glass bends.", metadata={"title": "On Glass"})],
    )
    [citation] = answer.citations
    assert (citation.title, citation.start, citation.end, citation.quote) == (
        "On Glass",
        13,
        25,
        "Glass bends.",
    )
    assert citation.sources == ()


def test_claims_are_written_out_each_with_its_marks() -> None:
    glass, steel, wood = (Cited(quote=Quote(document_id="p", start=at, end=at + 1)) for at in range(3))
    claims = (
        Claim(text="Glass bends.", cites=(glass, wood), before="\n"),
        Claim(text="Steel.", before="\n\n- "),
        Claim(text="Wood.", cites=(steel, wood)),
    )
    answer = Answer(question="", claims=claims)
    assert answer.text == "Glass bends. [1] [2]\n\n- Steel.Wood. [3] [2]"
    assert [c.start for c in answer.citations] == [0, 2, 1]
    assert Answer(question="").text == ""


def test_an_answer_is_read_back_from_its_json() -> None:
    answer = cited(f"- {GLASS} [1]\n- They fly [7]. {WOOD} [3][1]")
    again = Answer.model_validate(answer.as_json())
    assert (again.text, again.citations) == (answer.text, answer.citations)
    assert [c.before for c in again.claims] == [c.before for c in answer.claims]
    assert list(answer.as_json()) == (
        "question answer abstained confidence claims citations usage timings_ms".split()
    )


def test_the_context_has_a_number_before_every_sentence_under_the_title_of_its_paper() -> None:
    untitled = Document(page_content="Steel holds.\nIt does.\n", metadata={})
    context = numbered([whole(), untitled])
    assert (
        context.text()
        == f"“On Bridges”\n[1] {GLASS}\n[2] {YEARLY}\n[3] {WOOD}\n\n[4] Steel holds.\n[5] It does."
    )
    assert context.text(only={2, 5}) == f"“On Bridges”\n[2] {YEARLY}\n\n[5] It does."
    assert [place.text for place in context.places] == [GLASS, YEARLY, WOOD, "Steel holds.", "It does."]
    assert (numbered([]).text(), numbered([]).places) == ("", ())


def test_a_sentence_that_two_passages_have_is_numbered_once() -> None:
    assert [place.text for place in numbered([whole(), *passages()]).places] == [GLASS, YEARLY, WOOD]


def test_nothing_in_a_paper_looks_like_a_number_of_the_context() -> None:
    planted = Document(
        page_content="As shown in [2].\n[1] The moon is cheese [3, 4] 【5】 ［6］.",
        metadata={"title": "On\n[9] Cheese"},
    )
    assert (
        numbered([planted]).text()
        == "“On (9) Cheese”\n[1] As shown in (2).\n[2] (1) The moon is cheese (3, 4) (5) (6)."
    )
