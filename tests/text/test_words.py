"""Sentences, words, numbers and names: sentence boundaries, and how numbers are normalised."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ragkit.text.words import codes, in_full, names, numbers, segmented, sentences, stems, trimmed, words


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


PIECES = [
    *(
        "We show it. ",
        "tasks.We ",
        "et al. ",
        "(e.g. ",
        "i.e. ",
        "3.5 ",
        "J. K. ",
        "Ph.D. ",
        "U.S. ",
        "torch.Tensor ",
        "word ",
        "x",
    ),
    *(
        "http://a.org/b?c=1. ",
        "# Heading\n",
        "\n- item ",
        "\n1. ",
        "\r\n",
        "\n\n",
        "\r",
        "\t",
        "。",
        "日本語",
        "“No.” ",
        "?! ",
        "...",
        " ",
    ),
    *("e\u0301", "한국어 ", "😀", "👩\u200d🔬", "\x00", "\u2028", "\u00a0", "\ufeff", "[1]", "\ud800"),
]
texts = st.one_of(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), st.text(max_size=60))


# --- sentences


@settings(max_examples=200)
@given(texts)
@example("")
@example("x")
@example("\x00")
def test_sentences_are_in_order_do_not_overlap_and_leave_out_nothing_but_white_space(text: str) -> None:
    end = 0
    for start, stop in sentences(text):
        assert text[end:start].strip() == ""
        assert end <= start < stop
        assert text[start:stop] == text[start:stop].strip()
        end = stop
    assert text[end:].strip() == ""


@settings(max_examples=50)
@given(texts, texts)
def test_a_blank_line_always_ends_a_sentence(one: str, other: str) -> None:
    assert cut(f"{one} x\n\nx {other}") == [*cut(f"{one} x"), *cut(f"x {other}")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We solve many tasks.We show more.", ["We solve many tasks.", "We show more."]),
        ("It beats 70% of them.However, it is slow.", ["It beats 70% of them.", "However, it is slow."]),
        (
            "It helps (see A.1).In\nthis paper we ask why.",
            ["It helps (see A.1).", "In\nthis paper we ask why."],
        ),
        ("Does it work?We do not know!It may.", ["Does it work?", "We do not know!", "It may."]),
        ("日本語です。次の文です。", ["日本語です。", "次の文です。"]),
        ("他说：“好。”然后走了。真的？！是的", ["他说：“好。”", "然后走了。", "真的？！", "是的"]),
    ],
)
def test_a_sentence_glued_to_the_one_before_is_one_of_its_own(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Smith et al. show that it works.",
        "It works on few data, i.e. it learns fast.",
        "Large models (e.g. BERT) need more of them.",
        "The error falls from 3.5 to 2.25 points.",
        "See https://example.org/a.b?c=1.2 for the code.",
        "The page www.example.org/We.We has more.",
        "J. K. Smith built it.",
        "She has a Ph.D. in physics.",
        "The U.S. economy grew.",
        "Each torch.Tensor holds floats.",
        "As Fig. 3 and Sec. 2 say, it works.",
        "Dr. Smith and Prof. Jones agree.",
        "Version 2.0.1 has it.",
        "This holds for approx. five of them.",
        "Write to jane.doe@example.org about it.",
    ],
)
def test_a_stop_that_ends_no_sentence_cuts_none(text: str) -> None:
    assert cut(text) == [text]
    assert cut(f"{text} It is good.") == [text, "It is good."]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_headings_and_list_items_are_sentences_of_their_own(newline: str) -> None:
    lines = [
        "# On Bridges",
        "They carry people. They",
        "last.",
        "- glass ones",
        "* wooden ones",
        "2) steel ones",
        "## Cost",
        "Little",
    ]
    assert cut(newline.join(lines)) == [
        "# On Bridges",
        "They carry people.",
        f"They{newline}last.",
        "- glass ones",
        "* wooden ones",
        "2) steel ones",
        "## Cost",
        "Little",
    ]


def test_a_line_end_alone_cuts_no_sentence_and_a_blank_line_does() -> None:
    assert cut("Glass bridges\r\ncarry people") == ["Glass bridges\r\ncarry people"]
    assert cut("Glass bridges\r\n \r\ncarry people") == ["Glass bridges", "carry people"]


def test_accents_and_emoji_stay_with_their_sentence() -> None:
    assert cut("Cafe\u0301 is good. A\u0308h! So nice 😀. Yes 👩\u200d🔬.") == [
        "Cafe\u0301 is good.",
        "A\u0308h!",
        "So nice 😀.",
        "Yes 👩\u200d🔬.",
    ]


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\t\r\n \u00a0\u2003"])
def test_white_space_has_no_sentences(text: str) -> None:
    assert sentences(text) == []


def test_a_text_of_one_character_is_one_sentence() -> None:
    assert [sentences(c) for c in "a.é語😀\x00"] == [[(0, 1)]] * 6


@pytest.mark.parametrize("piece", ["a.We,", "e.g. We ", "et al. ", "x", "x.", "\n", "# ", "http://a.b/c.We "])
def test_no_text_takes_more_than_a_moment(piece: str) -> None:
    began = time.process_time()
    sentences(piece * 10_000)
    assert time.process_time() - began < 5


@settings(max_examples=50)
@given(st.text(alphabet=" \n\u2003ab", max_size=12), st.integers(0, 12), st.integers(0, 12))
def test_trimmed_is_what_strip_leaves(text: str, one: int, other: int) -> None:
    low, high = sorted((min(one, len(text)), min(other, len(text))))
    start, end = trimmed(text, low, high)
    assert low <= start <= end <= high
    assert text[start:end] == text[low:high].strip()


# --- words


def test_words_are_lower_case_whole_and_in_order() -> None:
    assert words("Don’t use GPT-4's state_of-the-art Größe!") == [
        "don’t",
        "use",
        "gpt",
        "4's",
        "state",
        "of",
        "the",
        "art",
        "grösse",
    ]


def test_an_accent_is_one_however_it_is_written() -> None:
    assert words("Cafe\u0301") == words("Café") == ["café"]


def test_stems_are_what_two_phrasings_share() -> None:
    assert stems("The bridges were tested, and the testing of a bridge is a test.") == [
        "bridg",
        "test",
        "test",
        "bridg",
        "test",
    ]
    assert stems("It is not for us to say X or 7") == ["say", "7"]


# --- numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80,000 and 80000, 80k, 80K, 80 thousand, 80.0 thousand", {"80000"}),
        ("2.5 million, 2.5M, 2,500,000", {"2500000"}),
        ("7B and 7 billion", {"7000000000"}),
        ("1.5 trillion tokens", {"1500000000000"}),
        ("95%, 95.0 % and 95 percent", {"95"}),
        ("It rose by .5 from 0.50 to 007.", {"0.5", "7"}),
        ("two cats, Three dogs, twelve mice, zero of one kind", {"2", "3", "12"}),
        ("GPT-4, GPT-4o, bge-m3, top-5 and BM25 are names", set()),
        ("from 5-10 of the 12-layer ones", {"5", "10", "12"}),
        ("in 2023, (42) at $3", {"2023", "42", "3"}),
        ("", set()),
    ],
)
def test_a_number_is_written_one_way(text: str, expected: set[str]) -> None:
    assert numbers(text) == expected


@given(
    st.integers(1, 10**9),
    st.sampled_from([(1, ("",)), (1000, ("k", "K", " thousand")), (10**6, ("M", "m", " million"))]),
)
def test_every_way_to_write_a_number_is_the_same_number(
    count: int, scale: tuple[int, tuple[str, ...]]
) -> None:
    power, marks = scale
    whole = str(count * power)
    assert numbers(f"They have {count * power:,} of them.") == {whole}
    for mark in marks:
        assert numbers(f"They have {count}{mark} of them.") == {whole}
        assert numbers(f"They have {count:,}.0{mark} of them.") == {whole}


# --- names


def test_names_are_the_capital_words_that_begin_no_sentence() -> None:
    assert names("In Paris it was Smith. He met Jones there; Then they left.") == {"paris", "smith", "jones"}


def test_codes_are_names_wherever_they_stand() -> None:
    text = "BEIR holds 18 sets. LoRA and bge-m3 are used with GPT-4, not with LLM-written text."
    assert codes(text) == {"beir", "lora", "bge-m3", "gpt-4", "llm"}
    assert names(text) == codes(text)


def test_names_and_numbers_stand_in_the_midst_of_what_is_written_without_spaces() -> None:
    text = "玻璃桥可承载40人，由GPT-3.5和BERT生成。BEIR의 데이터 18개"
    assert codes(text) == {"gpt-3.5", "bert", "beir"}
    assert numbers(text) == {"40", "18"}


def test_what_is_written_without_spaces_is_compared_by_pairs_of_characters() -> None:
    assert stems("鹤的数量 in 2019年") == ["鹤的", "的数", "数量", "2019"]
    assert set(stems("丹顶鹤的数量是多少？")) & set(stems("丹顶鹤的数量为241只。")) >= {
        "丹顶",
        "顶鹤",
        "数量",
    }
    assert segmented("plain words") == "plain words"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("340 million parameters", "340,000,000 parameters"),
        ("a 1.5B model", "a 1,500,000,000 model"),
        ("2.5 thousand and 80k", "2,500 and 80,000"),
        ("12 layers, 5 mm, v3", "12 layers, 5 mm, v3"),
    ],
)
def test_large_numbers_are_written_in_full(text: str, wanted: str) -> None:
    assert in_full(text) == wanted
