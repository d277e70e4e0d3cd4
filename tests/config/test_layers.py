"""Files that extend others, and values set on top: what is merged, and where each problem is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import ROOT

import ragkit
from ragkit.chunk import SentenceChunker, WholeChunker
from ragkit.config import layers, presets
from ragkit.errors import ConfigError, UsageError
from ragkit.fuse import MinMaxFusion
from ragkit.index.chroma import ChromaIndex
from ragkit.index.flat import FlatIndex

BASE = """\
define: {words: &words {type: bm25, language: german}}
ingest: {chunk: {type: sentence, overlap: 2, max_tokens: 90}, index: [*words]}
answer:
  deadline: 30
  retrieve: [{type: lexical, index: *words, k: 7}]
  fuse: {type: minmax, weights: {lexical: 0.4}}
  gate: calibrated
  generate: extractive
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("RAGKIT_MODEL", "RAGKIT_BASE_URL", "RAGKIT_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "base.yaml").write_text(BASE)
    return tmp_path


def extended(text: str, **options: Any) -> Any:
    Path("mine.yaml").write_text(f"extends: base.yaml\n{text}")
    return ragkit.load("mine.yaml", **options)


def problems(text: str, **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        extended(text, **options)
    return [line for line in str(error.value).splitlines() if not line.startswith(" ")]


# --- merging


def test_mappings_merge_key_by_key(folder: Path) -> None:
    chunk = extended("ingest: {chunk: {overlap: 3}}\n").ingest_pipeline.chunk
    assert (chunk.overlap, chunk.max_tokens) == (3, 90)


def test_a_mapping_of_another_type_replaces_and_so_do_words_and_lists(folder: Path) -> None:
    assert isinstance(extended("ingest: {chunk: {type: whole}}\n").ingest_pipeline.chunk, WholeChunker)
    assert extended("ingest: {chunk: sentence}\n").ingest_pipeline.chunk == SentenceChunker()
    rag = extended("answer: {retrieve: [{type: lexical, index: *words}]}\n")
    assert rag.answer_pipeline.retrieve[0].k != 7


def test_arguments_are_added_to_a_component_that_is_written_as_a_word(folder: Path) -> None:
    rag = extended("answer: {gate: {retriever: other}}\n")
    assert rag.answer_pipeline.gate.retriever == "other"


def test_null_gives_the_default_or_nothing_where_that_is_allowed(folder: Path) -> None:
    rag = extended("ingest: {chunk: {max_tokens: null}}\nanswer: {gate: null, deadline: null, fuse: null}\n")
    assert rag.ingest_pipeline.chunk == SentenceChunker(overlap=2)
    assert (rag.answer_pipeline.gate, rag.answer_pipeline.deadline) == (None, None)
    assert rag.answer_pipeline.fuse == MinMaxFusion()
    assert extended("answer: {fuse: {weights: {lexical: null}}}\n").answer_pipeline.fuse.weights == {}
    assert problems("answer: {generate: null}\n") == [
        "mine.yaml:2:20: answer.generate: 'generate' has no default, so null cannot remove it"
    ]


def test_what_is_defined_is_replaced_wherever_it_is_used(folder: Path) -> None:
    rag = extended("define: {words: {language: english}}\n")
    [index] = rag.ingest_pipeline.index
    assert index.language == "english"
    assert rag.answer_pipeline.retrieve[0].index is index


def test_an_anchor_of_the_extended_file_can_be_used_by_name() -> None:
    rag = ragkit.load({"extends": "chroma"})
    dense = rag.ingest_pipeline.index[0]
    assert isinstance(dense, ChromaIndex)
    assert rag.answer_pipeline.retrieve[0].store is dense  # type: ignore[attr-defined]
    assert dense.embed == ragkit.load(presets.path_of("default")).ingest_pipeline.index[0].embed  # type: ignore[union-attr]


def test_definitions_that_are_exchanged_or_contain_each_other_end(folder: Path) -> None:
    Path("base.yaml").write_text(BASE.replace("define: {", "define: {other: &other {type: bm25}, "))
    extended("define: {words: *other, other: *words}\n")
    assert "contain itself" in problems("define: {words: {type: bm25, language: [*words]}}\n")[0]


def test_merge_keys_of_both_files_are_resolved(folder: Path) -> None:
    Path("base.yaml").write_text(
        BASE.replace("{type: sentence, overlap: 2,", "{<<: {type: sentence, overlap: 2},")
    )
    chunk = extended(
        "define: {more: &more {max_tokens: 50}}\ningest: {chunk: {<<: *more}}\n"
    ).ingest_pipeline.chunk
    assert (chunk.overlap, chunk.max_tokens) == (2, 50)


def test_files_extend_files_that_extend_presets(folder: Path) -> None:
    (folder / "below").mkdir()
    Path("below/one.yaml").write_text("extends: ./two.yaml\nanswer: {refine: {k: 3}}\n")
    Path("below/two.yaml").write_text("extends: default\nanswer: {refine: {k: 4}, policy: flag}\n")
    Path("mine.yaml").write_text("extends: below/one.yaml\n")
    rag = ragkit.load("mine.yaml")
    assert (rag.answer_pipeline.refine[0].k, rag.answer_pipeline.policy) == (3, "flag")  # type: ignore[attr-defined]


# --- problems stay in their own file


def test_each_problem_names_its_own_file_line_and_column(folder: Path) -> None:
    Path("base.yaml").write_text(BASE.replace("k: 7", "k: -7"))
    found = problems("ingest: {chunk: {overlpa: 3}}\n", overrides={"answer.policy": "drpo"})
    assert found == [
        "mine.yaml:2:18: ingest.chunk.overlpa: sentence has no argument 'overlpa'; did you mean 'overlap'?",
        "base.yaml:5:48: answer.retrieve[0].k: input should be greater than 0, got -7",
        "overrides['answer.policy']: answer.policy: input should be 'flag', 'drop' or 'abstain', got 'drpo'; did you mean 'drop'?",
    ]  # fmt: skip


def test_the_line_that_is_quoted_is_the_extended_files(folder: Path) -> None:
    Path("base.yaml").write_text(BASE.replace("k: 7", "k: -7"))
    with pytest.raises(ConfigError) as error:
        extended("")
    assert "    " + BASE.splitlines()[4].replace("k: 7", "k: -7") in str(error.value)
    assert [(p.file, p.line) for p in error.value.problems] == [("base.yaml", 5)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: [a]\n", "mine.yaml:1:10: extends: extends is the name of a preset, or a file such as base.yaml"),
        ("extends: defualt\n", "mine.yaml:1:10: extends: no preset is called 'defualt'; did you mean 'default'?"),
        ("extends: nowhere.yaml\n", "mine.yaml:1:10: extends: there is no file 'nowhere.yaml'"),
        ("extends: mine.yaml\n", "mine.yaml:1:10: extends: extends goes in a circle: mine.yaml -> mine.yaml"),
        ("extends: ../x.yaml\n", "mine.yaml:1:10: extends: '../x.yaml' is not below the folder of this file; copy it there, or extend a preset"),
        ("extends: /etc/passwd\n", "mine.yaml:1:10: extends: '/etc/passwd' is not below the folder of this file; copy it there, or extend a preset"),
        ("extends: link.yaml\n", "mine.yaml:1:10: extends: 'link.yaml' is not below the folder of this file; copy it there, or extend a preset"),
        ("extends: base.yaml\ndefine: {x: *wrods}\n", "mine.yaml:2:13: (file): no anchor '&wrods' is defined before this; did you mean '*words'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_extended_is_one_sentence(folder: Path, text: str, message: str) -> None:
    (folder / "link.yaml").symlink_to("/etc/hostname")
    Path("mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        ragkit.load("mine.yaml")
    assert str(error.value).splitlines()[0] == message


def test_a_circle_of_files_and_a_long_chain_end(folder: Path) -> None:
    Path("a.yaml").write_text("extends: b.yaml\n")
    Path("b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(
        ConfigError, match="b.yaml:1:10: extends: extends goes in a circle: a.yaml -> b.yaml -> a.yaml"
    ):
        ragkit.load("a.yaml")
    for number in range(40):
        Path(f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n")
    with pytest.raises(ConfigError, match="more than 10 files extend each other"):
        ragkit.load("0.yaml")


def test_aliases_that_multiply_across_files_are_refused_at_once(folder: Path) -> None:
    bomb = "".join(f"  a{n + 1}: &a{n + 1} {{x: *a{n}, y: *a{n}}}\n" for n in range(40))
    Path("base.yaml").write_text("define:\n  a0: &a0 {z: 1}\n" + bomb)
    assert "describes more than can be read" in problems("define: {a0: {z: 2}}\n")[0]
    Path("base.yaml").write_text(BASE)
    assert "describes more than can be read" in problems("define:\n  a0: &a0 {z: 1}\n" + bomb)[0]


def test_a_file_that_was_not_named_is_checked_with_what_it_extends(folder: Path) -> None:
    Path("ragkit.yaml").write_text("extends: default\n")
    ragkit.load()
    Path("ragkit.yaml").write_text(
        "extends: chat\ndefine: {llm: {model: m, api_key: k, base_url: 'http://127.0.0.1:9'}}\n"
    )
    with pytest.raises(UsageError, match=r"./ragkit.yaml of this folder was not named and asks for a server"):
        ragkit.load()
    with pytest.raises(UsageError, match=r"was not named and asks for"):
        ragkit.load(overrides={"answer.generate": "extractive"})


# --- a relative corpus


def test_a_relative_corpus_is_relative_to_its_file_and_a_presets_to_the_working_directory(
    folder: Path,
) -> None:
    (folder / "below").mkdir()
    Path("below/mine.yaml").write_text("extends: default\ncorpus: papers\n")
    assert ragkit.load("below/mine.yaml").corpus.directory == Path("below/papers")
    Path("above.yaml").write_text("extends: below/mine.yaml\n")
    assert ragkit.load("above.yaml").corpus.directory == Path("below/papers")
    assert ragkit.load("above.yaml", overrides={"corpus": "here"}).corpus.directory == Path("here")
    Path("below/mine.yaml").write_text("extends: default\n")
    assert ragkit.load("below/mine.yaml").corpus.directory == Path(".ragkit")


# --- values set on top


@pytest.mark.parametrize("path", ["answer.refine.k", "answer.refine.0.k"])
def test_a_value_is_set_in_one_spec_or_the_only_one_of_a_list(folder: Path, path: str) -> None:
    for refine in ("{type: top, k: 9}", "[{type: top, k: 9}]", "top", "[top]"):
        rag = extended(f"answer: {{refine: {refine}}}\n", overrides={path: 3})
        assert rag.answer_pipeline.refine[0].k == 3


def test_a_value_set_in_a_definition_holds_wherever_it_is_used(folder: Path) -> None:
    rag = extended("", overrides={"define.words.language": "english"})
    assert rag.ingest_pipeline.index[0].language == "english"
    assert rag.answer_pipeline.retrieve[0].index is rag.ingest_pipeline.index[0]


def test_later_values_win_and_null_removes(folder: Path) -> None:
    rag = extended("", overrides={"ingest.chunk": {"overlap": 5}, "ingest.chunk.max_tokens": None})
    assert rag.ingest_pipeline.chunk == SentenceChunker(overlap=5)
    texts = [layers.Override.parse(f"answer.policy={each}") for each in ("flag", "abstain")]
    assert extended("", overrides=texts).answer_pipeline.policy == "abstain"


def test_wrong_places_and_values_name_the_option(folder: Path) -> None:
    def said(option: str) -> str:
        return problems("answer: {refine: []}\n", overrides=[layers.Override.parse(option)])[0]

    Path("base.yaml").write_text(
        BASE.replace("[{type: lexical", "[{type: lexical, index: *words}, {type: lexical")
    )
    assert said("answer.retrieve.k=3") == (
        "--set answer.retrieve.k=3: answer.retrieve.k: 'answer.retrieve' is a list;"
        " name one of its 2 items, answer.retrieve.0 to answer.retrieve.1"
    )
    assert said("answer.refine.k=3").endswith("'answer.refine' is an empty list; set the whole list")
    assert said("answer.deadline.x=3").endswith("'answer.deadline' is '30', which has no 'x'")
    assert said("anwser.policy=flag") == (
        "--set anwser.policy=flag: anwser: there is no key 'anwser' here; did you mean 'answer'?"
    )
    assert said("answer.policy=[").startswith("--set answer.policy=[: (file): not YAML: ")
    for wrong in ("answer.policy", "=3", "answer..k=3"):
        with pytest.raises(UsageError, match="write KEY=VALUE, such as --set answer.refine.k=3"):
            layers.Override.parse(wrong)


# --- a dictionary


def test_a_dictionary_is_a_pipeline_file(folder: Path) -> None:
    rag = ragkit.load({"extends": "default", "corpus": folder / "c", "answer": {"refine": {"k": 3}}})
    assert (rag.answer_pipeline.refine[0].k, rag.corpus.directory) == (3, folder / "c")  # type: ignore[attr-defined]
    assert isinstance(rag.ingest_pipeline.index[0], FlatIndex)
    assert ragkit.load({"extends": str(folder / "base.yaml")}).answer_pipeline.deadline == 30
    with pytest.raises(ConfigError) as error:
        ragkit.load({"extends": "default", "answer": {"refine": {"k": -3}}})
    assert str(error.value) == "the dictionary: answer.refine.k: input should be greater than 0, got -3"
    with pytest.raises(
        UsageError, match="an object of type object cannot be written as YAML; give plain data"
    ):
        ragkit.load({"extends": "default", "answer": object()})


# --- presets, and a chat model in a word


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_loads(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGKIT_MODEL", "http://127.0.0.1:9/v1#m")
    assert isinstance(ragkit.load(preset=name), ragkit.Rag)
    assert presets.summary(name).endswith((".", "server"))


def test_the_presets_are_more_than_the_configurations_of_the_repository() -> None:
    assert set(presets.names()) == {"default", "chat", "chroma", "small_model"}
    for path in (ROOT / "configs").glob("*.yaml"):
        assert 1 <= path.read_text().count("\n") <= 4


def model_of(rag: Any) -> tuple[str, str | None]:
    llm = rag.answer_pipeline.generate[-2].llm
    return llm.model_name, llm.openai_api_base


def test_a_model_in_a_word_is_the_chat_model_of_the_preset_chat(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert model_of(ragkit.load(model="gpt-4o-mini")) == ("gpt-4o-mini", None)
    assert model_of(ragkit.load(model="ollama/qwen3")) == ("qwen3", "http://localhost:11434/v1")
    assert model_of(ragkit.load(model="http://127.0.0.1:9/v1#a/b")) == ("a/b", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("RAGKIT_MODEL", "ollama/qwen3")
    assert model_of(ragkit.load()) == ("qwen3", "http://localhost:11434/v1")
    assert model_of(ragkit.load(ROOT / "configs" / "llm.yaml"))[0] == "qwen3"
    assert model_of(ragkit.load(model="gpt-4o-mini"))[0] == "gpt-4o-mini"
    monkeypatch.setenv("RAGKIT_MODEL", "m")
    monkeypatch.setenv("RAGKIT_BASE_URL", "http://127.0.0.1:9/v1")
    assert model_of(ragkit.load()) == ("m", "http://127.0.0.1:9/v1")


def test_a_key_for_one_server_is_not_sent_to_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGKIT_API_KEY", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    llm: Any = ragkit.load(model="ollama/qwen3").answer_pipeline.generate[-2]
    assert llm.llm.openai_api_key.get_secret_value() == "none"


def test_a_file_that_names_its_model_keeps_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGKIT_MODEL", "ollama/qwen3")
    Path("mine.yaml").write_text(
        "extends: chat\ndefine: {llm: {model: mine, base_url: 'http://127.0.0.1:9/v1'}}\n"
    )
    assert model_of(ragkit.load("mine.yaml")) == ("mine", "http://127.0.0.1:9/v1")
    assert model_of(ragkit.load("mine.yaml", model="other")) == ("other", "http://127.0.0.1:9/v1")


def test_a_missing_model_or_key_or_place_for_it_is_one_sentence(folder: Path) -> None:
    with pytest.raises(
        UsageError, match="no chat model is named; pass --model or set RAGKIT_MODEL, such as gpt-4o-mini"
    ):
        ragkit.load(preset="chat")
    with pytest.raises(ConfigError, match="there is no key for 'gpt-4o-mini'; set OPENAI_API_KEY") as error:
        ragkit.load(model="gpt-4o-mini")
    assert "\n" not in str(error.value)
    with pytest.raises(
        UsageError, match="'base.yaml' has no chat model at `define.llm`; extend the preset chat"
    ):
        ragkit.load("base.yaml", model="m")
    for wrong in ("", "ollama/", "http://127.0.0.1:9/v1", "ftp://x#m", "a#b"):
        with pytest.raises(UsageError, match="is no chat model; write"):
            ragkit.load(model=wrong)
    with pytest.raises(UsageError, match="exclude each other"):
        ragkit.load("base.yaml", preset="chat")
    with pytest.raises(
        UsageError, match="no preset is called 'chta'; did you mean 'chat'\\?; `ragkit presets` lists them"
    ):
        ragkit.load(preset="chta")
