"""Tokens are counted as the model does, without the network."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import logging
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.models import hub
from ragkit.models.tokens import counter


@pytest.fixture(autouse=True)
def _counters_made_anew() -> Iterator[None]:
    counter.cache_clear()
    yield
    counter.cache_clear()


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiktoken's cache, as it is after a download."""
    folder = tmp_path_factory.mktemp("tables")
    found = importlib.util.find_spec("bpe_openai")
    assert found is not None
    assert found.origin is not None
    for name in ("cl100k_base", "o200k_base"):
        url = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
        packed = Path(found.origin).parent / "data" / f"{name}.tiktoken.gz"
        (folder / hashlib.sha1(url.encode()).hexdigest()).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


# The first three are those of OpenAI's cookbook, "How to count tokens with tiktoken".
@pytest.mark.parametrize(
    ("text", "cl100k", "o200k"),
    [
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("お誕生日おめでとう", 9, 8),
        ("tiktoken is great!", 6, 6),
        ("hello world", 2, 2),
        ("", 0, 0),
    ],
)
def test_openais_models_are_counted_as_published(text: str, cl100k: int, o200k: int) -> None:
    assert [
        counter(m)(text) for m in ("gpt-4", "gpt-3.5-turbo-0125", "text-embedding-3-small", "cl100k_base")
    ] == [cl100k] * 4
    assert [
        counter(m)(text)
        for m in ("gpt-4o", "gpt-4o-mini", "openai/gpt-4.1", "gpt-5-nano", "gpt-oss-20b", "o200k_base")
    ] == [o200k] * 6


@settings(max_examples=300)
@given(
    st.text()
    | st.lists(
        st.sampled_from(
            "the cat's 1234567 , \n\n \r\n \t <|endoftext|> ÉCOLE don't 橋 🌉 a\u0301 ( ))) \\frac{x}".split(
                " "
            )
        )
    ).map(" ".join)
)
def test_every_text_is_counted_as_tiktoken_does(tables: Path, text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(tables))
        for name in ("cl100k_base", "o200k_base"):
            assert counter(name)(text) == len(tiktoken.get_encoding(name).encode_ordinary(text))


def test_a_text_of_any_length_and_with_half_a_character_is_counted() -> None:
    assert counter("gpt-4o")("The quick brown fox. " * 60_000) == pytest.approx(5 * 60_000, abs=60)
    assert counter("gpt-4o")("a\ud800b") == 3


def test_without_the_tables_nothing_is_downloaded_and_a_warning_says_that_tokens_are_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setitem(sys.modules, "bpe_openai", None)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    with caplog.at_level(logging.WARNING, "ragkit"):
        assert [counter("gpt-4o")(text) for text in ("", "a", "abcd", "abcde", "橋橋橋橋", "\ud800")] == [
            0,
            1,
            1,
            2,
            3,
            1,
        ]
        assert counter("gpt-4o")("abcdefgh") == 2
    assert [r.getMessage() for r in caplog.records] == [
        "no tokenizer of 'gpt-4o' is on this machine: its tokens are estimated, four bytes of text each"
    ]


def test_a_model_in_a_directory_is_counted_with_its_own_tokenizer() -> None:
    directory = hub.files("all-MiniLM-L6-v2")
    assert counter(str(directory))("Glass bridges sway.") == 4
