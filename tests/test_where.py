"""Metadata filters: what each comparison means, which texts are rejected, and writing filters as text."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.structured_query import Comparator, Comparison, FilterDirective, Operation, Operator
from pydantic import TypeAdapter, ValidationError

from ragkit.errors import UsageError
from ragkit.where import Where, both, parse

KEYWORDS = ("and", "or", "not", "in", "contains", "exists")

PAPER: dict[str, Any] = {
    "title": "Dense Retrieval at Scale",
    "year": 2021,
    "authors": ["Ann Lee", "Bo Größe"],
    "tags": ["c", "rust", 7],
    "open": True,
    "score": 0.1,
    "date": "2021-03-04",
    "doi": "10.1/ab",
    "section": "References",
    "nothing": None,
    "none": [],
    "file": {"size": 3},
}


def accepts(text: str, **metadata: Any) -> bool:
    return parse(text).matches(metadata)


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as error:
        parse(text)
    return str(error.value)


# --- what matches


@pytest.mark.parametrize(
    "text",
    [
        "year = 2021",
        "year == 2021.0",
        "year = '2021'",
        "year != 2020",
        "year < 2022 and year <= 2021 and year > 999 and year >= 2021",
        "score = 0.1",
        "score < 2e-1",
        "score = 1e-1",
        "title = 'dense retrieval AT scale'",
        "title contains RETRIEVAL",
        "title > abc and title < xyz",
        "date >= 2021-01-01 and date < 2021-03-05",
        "date contains 2021",
        "doi = 10.1/AB",
        "authors = 'ann lee'",
        "authors contains grösse",
        "tags = rust and tags = 7 and tags contains us",
        "tags > 6",
        "tags in (python, RUST)",
        "tags not in (python, java)",
        "tags != python",
        "open = true and open != false",
        "doi exists and file exists",
        "section not in (methods, results)",
        "missing != 1 and missing not in (1, 2) and not missing exists",
    ],
)
def test_a_filter_that_is_true_of_a_paper_matches_it(text: str) -> None:
    assert parse(text).matches(PAPER)


@pytest.mark.parametrize(
    "text",
    [
        "year = 2020",
        "year != 2021",
        "year < abc",
        "year > abc",
        "title < 5",
        "title > 5",
        "date >= 2021",
        "date < 9999",
        "title = dense",
        "tags = us",
        "tags != rust",
        "tags not in (c, python)",
        "open = 1",
        "open = false",
        "file = 3",
        "file contains 3",
        "missing = 1",
        "missing < 1",
        "missing contains ''",
        "missing in (1, 2)",
        "missing exists",
    ],
)
def test_a_filter_that_is_false_of_a_paper_does_not_match_it(text: str) -> None:
    assert not parse(text).matches(PAPER)


@pytest.mark.parametrize("field", ["missing", "nothing", "none"])
def test_null_and_the_empty_list_are_as_good_as_missing(field: str) -> None:
    told = {
        operator: parse(f"{field} {operator}").matches(PAPER)
        for operator in ("= 1", "!= 1", "in (1)", "not in (1)", "exists")
    }
    assert told == {"= 1": False, "!= 1": True, "in (1)": False, "not in (1)": True, "exists": False}


def test_a_null_in_a_list_is_no_element_of_it() -> None:
    assert not accepts("tags = null", tags=[None])
    assert not accepts("tags exists", tags=[None])


def test_a_year_may_be_a_number_or_a_text() -> None:
    assert [
        accepts("year >= 2023", year=year)
        for year in (2024, "2024", 2024.5, ["1999", "2024"], 999, "999", "soon")
    ] == [
        *(True, True, True, True),
        *(False, False, False),
    ]


def test_long_numbers_that_differ_are_not_the_same() -> None:
    assert accepts("id = 12345678901234567890", id="12345678901234567890")
    assert not accepts("id = 12345678901234567890", id="12345678901234567891")
    assert not accepts("id = 9007199254740993", id=9007199254740992)
    assert not accepts("id = 12e9999", id="34e9999")


def test_numbers_that_are_not_finite_are_texts() -> None:
    assert accepts("score = NaN", score=float("nan"))
    assert not accepts("score < 5", score=float("nan"))
    assert not accepts("score > 5", score=float("inf"))


def test_and_binds_tighter_than_or_and_not_tighter_than_both() -> None:
    assert parse("a = 1 or b = 1 and c = 1") == parse("a = 1 or (b = 1 and c = 1)")
    assert parse("a = 1 or b = 1 and c = 1") != parse("(a = 1 or b = 1) and c = 1")
    assert parse("not a = 1 and b = 1") == parse("(not a = 1) and b = 1")


def test_keywords_and_spacing_are_free() -> None:
    free = "NOT(year>=2023 AND venue NOT IN(acl,'emnlp'))Or\n\tdoi Exists"
    assert str(parse(free)) == "not (year >= 2023 and venue not in (acl, emnlp)) or doi exists"


def test_a_backslash_keeps_a_quotation_open() -> None:
    title = Comparison(Comparator.EQ, "title", 'it\'s "so" \\')
    assert parse(r"title = 'it\'s \"so\" \\'").tree == title
    assert parse(r'''title = "it's \"so\" \\"''').tree == title


def test_bare_words_hold_letters_of_any_script_digits_and_a_few_signs() -> None:
    assert parse("uri = file:///a_b/Größe-1.md").matches({"uri": "file:///a_b/größe-1.md"})


def test_a_keyword_in_quotes_is_a_value() -> None:
    assert parse("title in ('and', \"Exists\")").tree == Comparison(Comparator.IN, "title", ["and", "Exists"])
    assert str(parse("title in ('and', \"Exists\")")) == 'title in ("and", "Exists")'


def test_fields_are_the_keys_a_filter_looks_at() -> None:
    assert parse("year > 1 and not (front.end-date exists or _x in (a)) or year < 0").fields() == {
        "year",
        "front.end-date",
        "_x",
    }


def test_filters_are_frozen_values() -> None:
    one, other = parse("a = 1 and (b exists or c in (x, y))"), parse("a=1 and(b exists or c in(x,y))")
    one.matches({"a": 1})
    assert one == other
    assert {one: 1}[other] == 1
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.text = ""  # type: ignore[misc]


# --- what is no filter


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at column 1: expected a field such as year, found the end; a comparison reads year >= 2023"),
        ("  ", "at column 3: expected a field such as year, found the end; a comparison reads year >= 2023"),
        ("year 20", "at column 6: expected a comparison such as = or >= after 'year', found '20'"),
        ("year", "at column 5: expected a comparison such as = or >= after 'year', found the end"),
        ("year >=", "at column 8: expected a value after '>=', found the end"),
        ("year = and", "at column 8: expected a value after '=', found 'and'; a keyword goes in quotes"),
        (
            "2023 <= year",
            "at column 1: expected a field such as year, found '2023'; a comparison reads year >= 2023",
        ),
        (
            "not and",
            "at column 5: expected a field such as year after 'not', found 'and'; a comparison reads year >= 2023",
        ),
        (
            "'year' = 1",
            "at column 1: expected a field such as year, found \"'year'\"; a comparison reads year >= 2023",
        ),
        ("year not 3", "at column 10: expected 'in' after 'not', found '3'"),
        ("year in 3", "at column 9: expected values such as (a, b) after 'in', found '3'"),
        ("year in ()", "at column 10: expected a value after '(', found ')'"),
        ("year in (1 2)", "at column 12: expected ',' or ')' after '1', found '2'"),
        ("(year = 1", "at column 10: expected ')' after '1', found the end; it closes the '(' at column 1"),
        ("year = 1)", "at column 9: expected 'and', 'or' or the end after '1', found ')'"),
        (
            "title contains dense retrieval",
            "at column 22: expected 'and', 'or' or the end after 'dense', found 'retrieval'; a value of several words goes in quotes",
        ),
        ("title = c++", "at column 10: '+' has no meaning here; a value that holds it goes in quotes"),
        ("year ! 1", "at column 6: '!' has no meaning here; a value that holds it goes in quotes"),
        ("a = 1\x00", "at column 6: '\\x00' has no meaning here; a value that holds it goes in quotes"),
        (
            "title = 'x",
            "at column 9: the quotation that begins here has no end; close it with ', or put the whole value in other quotes",
        ),
        (
            f"year {'x' * 50}",
            f"at column 6: expected a comparison such as = or >= after 'year', found '{'x' * 40}…'",
        ),
        ("(" * 101, "at column 101: nested more than 100 deep; leave out needless parentheses and 'not'"),
        ("not " * 101, "at column 401: nested more than 100 deep; leave out needless parentheses and 'not'"),
        (
            f"a = {'x' * 9_997}",
            "at column 10001: a filter has at most 10,000 characters, this one 10,001; ask for less at once",
        ),
    ],
)
def test_what_is_no_filter_is_told_with_its_column_and_the_way_out(text: str, message: str) -> None:
    assert refusal(text) == message


def test_the_first_mistake_is_the_one_told() -> None:
    assert refusal("year 20 %").startswith("at column 6: expected a comparison")


def test_a_filter_may_be_as_deep_and_as_long_as_the_bounds() -> None:
    deep = "a = 1"
    for _ in range(100):
        deep = f"({deep} and b = 1 or c = 2)"
    assert parse(str(parse(deep))) == parse(deep)
    assert parse(deep).matches({"c": 2})
    assert len(str(parse(f"a = {'x' * 9_996}"))) == 10_000


def test_a_filter_that_is_too_long_once_written_out_is_too_long() -> None:
    assert refusal(" or ".join(["a=b"] * 1_400)).startswith(
        "at column 10001: a filter has at most 10,000 characters, this one 12,596;"
    )


ONE = Comparison(Comparator.EQ, "a", "1")


@pytest.mark.parametrize(
    "tree",
    [
        Comparison(Comparator.EQ, "a b", "1"),
        Comparison(Comparator.EQ, "Not", "1"),
        Comparison(Comparator.EQ, "", "1"),
        Comparison(Comparator.LIKE, "a", "1"),
        Comparison(Comparator.IN, "a", []),
        Comparison(Comparator.IN, "a", "1"),
        Operation(Operator.AND, [ONE]),
        Operation(Operator.OR, []),
        Operation(Operator.NOT, [ONE, ONE]),
    ],
)
def test_a_tree_that_cannot_be_written_is_no_filter(tree: FilterDirective) -> None:
    with pytest.raises(UsageError, match="is not a filter: a comparison reads `year >= 2023`"):
        Where(tree)


@pytest.mark.parametrize(
    "tree",
    [
        Comparison(Comparator.EQ, "a", ["1"]),
        Comparison(Comparator.IN, "a", [None]),
        Comparison(Comparator.LT, "a", None),
    ],
)
def test_a_value_is_a_text_a_number_true_or_false(tree: FilterDirective) -> None:
    with pytest.raises(UsageError, match="a filter compares with a text, a number, true or false, not with"):
        Where(tree)


def test_a_filter_may_come_from_langchain_with_numbers_for_values() -> None:
    where = Where(
        Operation(
            Operator.AND,
            [Comparison(Comparator.GTE, "year", 2021), Comparison(Comparator.NIN, "open", [False, 0.5])],
        )
    )
    assert str(where) == "year >= 2021 and open not in (false, 0.5)"
    assert where == parse(str(where))
    assert where.matches(PAPER)
    assert not where.matches(PAPER | {"open": False})


def test_both_pass_what_each_of_two_filters_passes() -> None:
    one, other = parse("a = 1 or b = 1"), parse("c exists")
    assert str(both(one, other)) == "(a = 1 or b = 1) and c exists"
    assert (both(one, None), both(None, other), both(None, None)) == (one, other, None)


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from(
                [*KEYWORDS, "a", "7", "(", ")", ",", "=", ">=", "'x'", '"', "'", "\\", "%", " ", "\n"]
            )
        ).map(" ".join),
    )
)
@example("\ud800 = \udfff")
@example("a = '\\")
def test_any_text_is_a_filter_or_a_usage_error(text: str) -> None:
    try:
        found = parse(text)
    except UsageError as error:
        assert str(error).startswith("at column ")
        assert "\n" not in str(error)
    else:
        assert parse(str(found)).tree == found.tree


# --- filters in general

fields = st.one_of(
    st.sampled_from(["a", "b", "front.end-date"]),
    st.from_regex(r"[A-Za-z_][\w.-]*", fullmatch=True).filter(lambda name: name.lower() not in KEYWORDS),
)
values = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["1", "1.0", "-2", "x", "X", "true", "and", "2021-03-04", "a 'b' \"c\" \\"]),
)
WITH_ONE = [
    comparator
    for comparator in Comparator
    if comparator not in (Comparator.LIKE, Comparator.IN, Comparator.NIN)
]
leaves = st.one_of(
    st.builds(Comparison, st.sampled_from(WITH_ONE), fields, values),
    st.builds(
        Comparison,
        st.sampled_from([Comparator.IN, Comparator.NIN]),
        fields,
        st.lists(values, min_size=1, max_size=3),
    ),
    st.builds(Comparison, st.just(Comparator.NE), fields, st.none()),
)


def joined(inner: st.SearchStrategy[FilterDirective]) -> st.SearchStrategy[FilterDirective]:
    parts = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        st.builds(Operation, st.just(Operator.NOT), inner.map(lambda part: [part])),
        st.builds(Operation, st.sampled_from([Operator.AND, Operator.OR]), parts),
    )


wheres: st.SearchStrategy[Where] = st.recursive(leaves, joined, max_leaves=8).map(Where)
plain = st.one_of(
    st.text(max_size=4),
    st.integers(-3, 3),
    st.floats(),
    st.booleans(),
    st.none(),
    st.sampled_from(["1", "1.0", "x"]),
)
metadatas = st.dictionaries(
    st.sampled_from(["a", "b", "front.end-date"]), st.one_of(plain, st.lists(plain, max_size=3))
)


@settings(max_examples=300)
@given(wheres)
def test_a_filter_written_out_is_read_as_the_same_filter(where: Where) -> None:
    assert parse(str(where)) == where
    assert parse(str(where)).tree == where.tree
    assert hash(parse(str(where))) == hash(where)


@given(wheres, metadatas)
def test_not_not_changes_nothing(where: Where, metadata: dict[str, Any]) -> None:
    assert parse(f"not (not ({where}))").matches(metadata) == where.matches(metadata)
    assert parse(f"not ({where})").matches(metadata) != where.matches(metadata)


@given(wheres, wheres, metadatas)
def test_not_turns_and_into_or(one: Where, other: Where, metadata: dict[str, Any]) -> None:
    assert parse(f"not (({one}) and ({other}))").matches(metadata) == parse(
        f"not ({one}) or not ({other})"
    ).matches(metadata)
    assert parse(f"not (({one}) or ({other}))").matches(metadata) == parse(
        f"not ({one}) and not ({other})"
    ).matches(metadata)


@given(values, metadatas)
def test_unequal_is_not_equal_and_not_in_is_not_in(value: str, metadata: dict[str, Any]) -> None:
    def passes(comparator: Comparator, value: Any) -> bool:
        return Where(Comparison(comparator, "a", value)).matches(metadata)

    assert passes(Comparator.NE, value) == (not passes(Comparator.EQ, value))
    within = passes(Comparator.IN, [value, "x"])
    assert passes(Comparator.NIN, [value, "x"]) == (not within)
    assert within == (passes(Comparator.EQ, value) or passes(Comparator.EQ, "x"))


@given(wheres, metadatas)
def test_only_the_fields_named_matter(where: Where, metadata: dict[str, Any]) -> None:
    assert where.matches({k: v for k, v in metadata.items() if k in where.fields()}) == where.matches(
        metadata
    )


# --- as an argument


def test_an_argument_takes_a_filter_or_its_text() -> None:
    adapter: TypeAdapter[Where | None] = TypeAdapter(Where | None)
    where = parse("year >= 2023")
    assert adapter.validate_python("year>=2023") == where
    assert adapter.validate_python(where) is where
    assert adapter.validate_python(None) is None
    assert adapter.validate_json('"year >= 2023"') == where
    assert adapter.dump_python(where) == "year >= 2023"
    assert adapter.dump_json(where) == b'"year >= 2023"'
    assert adapter.dump_python(None) is None


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_an_argument_is_a_text_to_an_editor(mode: Any) -> None:
    assert TypeAdapter(Where | None).json_schema(mode=mode) == {
        "anyOf": [{"type": "string"}, {"type": "null"}]
    }


def test_an_argument_that_is_no_filter_is_refused_with_the_reason() -> None:
    adapter: TypeAdapter[Where | None] = TypeAdapter(Where | None)
    with pytest.raises(ValidationError) as error:
        adapter.validate_python("year 20")
    [problem] = error.value.errors()
    assert problem["loc"] == ()
    assert (
        problem["msg"]
        == "Value error, at column 6: expected a comparison such as = or >= after 'year', found '20'"
    )
    with pytest.raises(ValidationError, match="a filter is a text such as 'year >= 2023'"):
        adapter.validate_python(2023)
