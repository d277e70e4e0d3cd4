"""What the generator sees of the ranked passages: every one is still the characters at its span."""

from __future__ import annotations

import asyncio
import copy
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import BaseDocumentCompressor, Document
from support import ROOT

import ragkit
from ragkit.citation import numbered
from ragkit.corpus import Corpus, CorpusReader
from ragkit.document import paper_id, passage, score_of, scored, scores_of, sources_of, span_of
from ragkit.models.tokens import counter
from ragkit.read.files import Files
from ragkit.refine.context import (
    Distinct,
    MatchingSentences,
    Neighbours,
    Reordered,
    TokenBudget,
    Top,
    WholeSection,
)
from ragkit.testing import HashedEmbeddings, check_component

GLASS = "Glass bridges carry 40 people. They were tested in 1999. Steel ones carry trains. All of them sway in the wind."
SENTENCES = ((0, 30), (31, 56), (57, 81), (82, 111))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with closing(Corpus(tmp_path_factory.mktemp("corpus"))) as made:
        with made.writing():
            pass
        yield made


def entered(corpus: Corpus, text: str, title: str = "Bridges", **metadata: Any) -> Document:
    """A paper as the corpus knows it."""
    listed = {**metadata, "title": title, "title_guessed": True, "sources": [{"start": 0, "end": len(text)}]}
    paper = Document(page_content=text, metadata=listed)
    corpus.put_file(f"{paper_id(paper)}.txt", "digest", "loader", [paper])
    known = corpus.document(paper_id(paper))
    assert known is not None
    return known


def paper(text: str, identity: str = "p", title: str = "Bridges") -> Document:
    return Document(
        id=identity,
        page_content=text,
        metadata={"title": title, "sources": [{"uri": "a.txt", "start": 0, "end": len(text)}]},
    )


def cut(whole: Document, *spans: tuple[int, int], **metadata: Any) -> list[Document]:
    """Passages of a paper, best first."""
    return [
        scored(
            passage(whole, start, end, sources=sources_of(whole), **metadata),
            1.0 - n / 10,
            {"dense": 0.5 - n / 10},
        )
        for n, (start, end) in enumerate(spans)
    ]


def refined(
    refiner: BaseDocumentCompressor, passages: Sequence[Document], question: str = ""
) -> list[Document]:
    return list(refiner.compress_documents(passages, question))


def texts(passages: Sequence[Document]) -> list[str]:
    return [p.page_content for p in passages]


def offsets(passages: Sequence[Document]) -> list[tuple[int, int]]:
    return [span_of(p)[1:] for p in passages]


# --- token_budget


def test_a_passage_that_does_not_fit_the_budget_is_cut_behind_its_last_sentence_that_does() -> None:
    given = cut(paper(GLASS), (0, 56), (57, 111))
    assert counter("gpt-4o")(numbered(given).text()) == 44
    assert texts(refined(TokenBudget(max_tokens=50), given)) == [
        "Glass bridges carry 40 people. They were tested in 1999.",
        "Steel ones carry trains. All of them sway in the wind.",
    ]
    kept = refined(TokenBudget(max_tokens=42), given)
    assert texts(kept) == [
        "Glass bridges carry 40 people. They were tested in 1999.",
        "Steel ones carry trains.",
    ]
    assert offsets(kept) == [(0, 56), (57, 81)]
    assert kept[1].metadata == {**given[1].metadata, "end": 81}
    assert kept[1].id != given[1].id


def test_a_passage_of_which_no_sentence_fits_is_left_out_and_a_shorter_one_after_it_kept() -> None:
    long = "Glass bridges that span wide valleys carry many more people than anyone thought they would when the first was built."
    given = [*cut(paper(long), (0, len(long))), *cut(paper("Steel sways.", "q"), (0, 12))]
    assert texts(refined(TokenBudget(max_tokens=12), given)) == ["Steel sways."]


def test_titles_and_numbers_count_in_the_budget() -> None:
    titled = cut(
        paper("Steel sways.", title="A Very Long Title of Many Words about Bridges of Glass"), (0, 12)
    )
    assert counter("gpt-4o")("Steel sways.") == 4
    assert refined(TokenBudget(max_tokens=12), titled) == []
    assert texts(refined(TokenBudget(max_tokens=30), titled)) == ["Steel sways."]


def test_a_budget_for_a_model_without_a_tokenizer_estimates_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counter.cache_clear()
    with caplog.at_level(logging.WARNING, "ragkit"):
        for _ in range(2):
            assert texts(
                refined(TokenBudget(max_tokens=20, model="some-llama:8b"), cut(paper(GLASS), (0, 111)))
            ) == ["Glass bridges carry 40 people. They were tested in 1999."]
    assert [r.getMessage() for r in caplog.records] == [
        "no tokenizer of 'some-llama:8b' is on this machine: its tokens are estimated, four bytes of text each"
    ]


# --- reorder


def test_the_best_stand_first_and_last_and_the_weakest_in_the_middle() -> None:
    given = cut(paper(GLASS), *SENTENCES, (0, 111))
    found = refined(Reordered(), given)
    assert [score_of(p) for p in found] == [1.0, 0.8, 0.6, 0.7, 0.9]
    assert sorted(found, key=score_of, reverse=True) == given
    assert refined(Reordered(), given[:2]) == given[:2]


# --- sentences


def test_of_each_passage_the_sentences_that_match_the_question_are_kept_as_passages_in_reading_order() -> (
    None
):
    [given] = cut(paper(GLASS), (0, 111), section=["Results"], kind="body")
    found = refined(MatchingSentences(), [given], "What do steel and glass bridges carry?")
    assert [(p.page_content, span_of(p)[1:]) for p in found] == [
        ("Glass bridges carry 40 people.", (0, 30)),
        ("Steel ones carry trains.", (57, 81)),
    ]
    assert [p.metadata for p in found] == [
        {**given.metadata, "end": 30},
        {**given.metadata, "start": 57, "end": 81},
    ]
    assert len({p.id for p in found}) == 2


def test_sentences_that_stand_together_stay_one_passage() -> None:
    found = refined(MatchingSentences(), cut(paper(GLASS), (0, 111)), "When were glass bridges tested?")
    assert texts(found) == ["Glass bridges carry 40 people. They were tested in 1999."]


def test_most_and_share_limit_the_sentences_and_the_best_is_always_kept() -> None:
    [given] = cut(paper(GLASS), (0, 111))
    question = "What do steel and glass bridges carry?"
    assert texts(refined(MatchingSentences(most=1), [given], question)) == ["Glass bridges carry 40 people."]
    assert texts(refined(MatchingSentences(share=1.0), [given], question)) == [
        "Glass bridges carry 40 people."
    ]


def test_a_passage_in_which_nothing_matches_stays_whole() -> None:
    given = cut(paper(GLASS), (0, 111))
    assert refined(MatchingSentences(), given, "Which cake is best?") == given
    assert refined(MatchingSentences(), given, "What is it?") == given


def test_a_sentence_that_a_better_passage_has_is_not_repeated() -> None:
    found = refined(
        MatchingSentences(), cut(paper(GLASS), (0, 56), (31, 111)), "When were they tested, those of steel?"
    )
    assert offsets(found) == [(31, 56), (57, 81)]


def test_an_embedder_finds_sentences_that_share_no_word_with_the_question() -> None:
    class Topics(HashedEmbeddings):
        """One axis for testing, one for the rest."""

        def embed_query(self, text: str) -> list[float]:
            return [1.0, 0.0] if "tested" in text or "examined" in text else [0.0, 1.0]

    given = cut(paper(GLASS), (0, 111))
    assert refined(MatchingSentences(), given, "When examined?") == given
    assert texts(refined(MatchingSentences(embed=Topics()), given, "When examined?")) == [
        "They were tested in 1999."
    ]


# --- distinct


def test_a_passage_that_says_what_a_better_one_says_is_dropped() -> None:
    words = "glass bridges carry forty people over the river every day of the long year in all weather"
    one, two = paper(f"{words}.", "p"), paper(f"{words.upper()}, too!", "q")
    other = paper("Steel bridges carry trains over the river every day of the year.", "r")
    given = [cut(p, (0, len(p.page_content)))[0] for p in (one, two, other)]
    assert [span_of(p).document_id for p in refined(Distinct(), given)] == ["p", "r"]
    assert [span_of(p).document_id for p in refined(Distinct(), given[::-1])] == ["r", "q"]
    assert len(refined(Distinct(threshold=15 / 16), given)) == 2
    assert len(refined(Distinct(threshold=0.94), given)) == 3


def test_a_passage_that_lies_in_a_better_one_is_dropped_and_one_that_holds_it_is_not() -> None:
    given = cut(paper(GLASS), (0, 56), (0, 30), (0, 56), (0, 111))
    assert offsets(refined(Distinct(), given)) == [(0, 56), (0, 111)]


def test_passages_of_fewer_than_three_words_are_compared_whole() -> None:
    given = [
        cut(paper(text, str(n)), (0, len(text)))[0]
        for n, text in enumerate(["Steel.", "steel", "Steel sways.", "...", "!!!"])
    ]
    assert texts(refined(Distinct(), given)) == ["Steel.", "Steel sways.", "...", "!!!"]


# --- neighbours


def test_a_passage_is_read_with_the_sentences_around_it(corpus: Corpus) -> None:
    whole = entered(corpus, GLASS)
    [given] = cut(whole, (57, 81), year=1999)
    refiner = Neighbours(before=1, after=0)
    refiner = refiner.over(corpus)
    [found] = refined(refiner, [given])
    assert (found.page_content, span_of(found)[1:]) == (
        "They were tested in 1999. Steel ones carry trains.",
        (31, 81),
    )
    assert found.metadata == {**given.metadata, "start": 31}
    refiner = Neighbours(before=9, after=9)
    refiner = refiner.over(corpus)
    assert texts(refined(refiner, [given])) == [GLASS]


def test_a_sentence_that_a_passage_cuts_is_made_whole(corpus: Corpus) -> None:
    refiner = Neighbours(before=0, after=0)
    refiner = refiner.over(corpus)
    assert texts(refined(refiner, cut(entered(corpus, GLASS + " "), (36, 60)))) == [
        "They were tested in 1999. Steel ones carry trains."
    ]


def test_passages_that_overlap_or_touch_become_one_with_the_best_score_of_each(corpus: Corpus) -> None:
    whole = entered(corpus, GLASS + "\n")
    other = entered(corpus, "Wooden ones rot.")
    refiner = Neighbours(before=0, after=0)
    refiner = refiner.over(corpus)
    last, wood, first, second = (
        cut(whole, (82, 111))
        + cut(other, (0, 16))
        + cut(whole, (0, 30))
        + [scored(*cut(whole, (31, 56)), 2.0, {"dense": 0.1, "bm25": 7})]
    )
    found = refined(refiner, [last, wood, first, second])
    assert texts(found) == [
        "All of them sway in the wind.",
        "Wooden ones rot.",
        "Glass bridges carry 40 people. They were tested in 1999.",
    ]
    assert [(score_of(p), scores_of(p)) for p in found[2:]] == [(2.0, {"dense": 0.5, "bm25": 7})]
    assert found[:2] == [last, wood]


def test_neighbours_stay_in_their_section(tmp_path: Path, corpus: Corpus) -> None:
    (tmp_path / "a.md").write_text(
        "# On Bridges\n\n## Glass\n\nGlass sways. It is tested.\n\n## Steel\n\nSteel carries trains. It rusts.\n"
    )
    [read] = Files(paths=[str(tmp_path)]).load()
    whole = entered(corpus, read.page_content, sections=read.metadata["sections"])
    starts = [whole.page_content.index(sentence) for sentence in ("Steel carries trains.", "It is tested.")]
    refiner = Neighbours(before=3, after=3)
    refiner = refiner.over(corpus)
    found = refined(refiner, cut(whole, (starts[0], starts[0] + 21), (starts[1], starts[1] + 13)))
    assert texts(found) == ["Steel carries trains. It rusts.", "Glass sways. It is tested."]


@pytest.mark.parametrize("sought", ["Glass sways.", "In wind."])
def test_the_neighbours_of_a_footnote_are_those_of_its_paragraph(
    tmp_path: Path, corpus: Corpus, sought: str
) -> None:
    (tmp_path / "a.tex").write_text(
        "\\section{A}\nGlass sways\\footnote{In wind.}.\n\nIt is tested.\\section{B}\nOld."
    )
    [read] = Files(paths=[str(tmp_path)]).load()
    whole = entered(corpus, read.page_content, sections=read.metadata["sections"])
    start = whole.page_content.index(sought)
    refiner = Neighbours(before=3, after=3).over(corpus)
    [found] = refined(refiner, cut(whole, (start, start + len(sought))))
    assert found.page_content == "Glass sways.\n\nIn wind.\n\nIt is tested."


def test_passages_of_a_paper_that_the_corpus_does_not_know_stay_as_they_are(corpus: Corpus) -> None:
    refiner = Neighbours()
    refiner = refiner.over(corpus)
    given = [*cut(paper(GLASS, "unknown"), (31, 56), (31, 56)), Document(page_content="Of another source.")]
    assert refined(refiner, given) == given


def test_a_passage_that_another_source_brought_whole_is_cut_to_spans_of_itself() -> None:
    brought = Document(page_content=GLASS, metadata={"title": "Bridges", "url": "https://example.org"})
    whole = span_of(brought).document_id
    [cut_short] = refined(TokenBudget(max_tokens=26), [brought])
    assert (cut_short.page_content, span_of(cut_short)) == (
        "Glass bridges carry 40 people. They were tested in 1999.",
        (whole, 0, 56),
    )
    [tested] = refined(MatchingSentences(), [brought], "What was tested?")
    assert (tested.page_content, span_of(tested)) == ("They were tested in 1999.", (whole, 31, 56))
    assert tested.metadata == {**brought.metadata, "document_id": whole, "start": 31, "end": 56}


# --- the best ones


def test_the_best_make_room_for_what_the_question_names_and_none_of_them_mentions() -> None:
    bridges = cut(paper(GLASS), *SENTENCES)
    other = cut(paper("Wooden ones sway. BEIR has data of glass.", "q", "Wood"), (0, 17), (18, 41))
    found = [*bridges, *other]
    assert refined(Top(k=2), found, "What sways?") == bridges[:2]
    assert refined(Top(k=2), found, "Does BEIR sway?") == [bridges[0], other[1]]
    assert refined(Top(k=2), found, "Does MTEB sway?") == bridges[:2]
    assert refined(Top(k=1), found, "Does BEIR sway?") == bridges[:1]
    assert refined(Top(k=9), found, "Does BEIR sway?") == found


def test_the_best_make_room_for_what_defines_what_the_question_wants_defined() -> None:
    found = cut(
        paper("Retrieval is hard. DPR is late. All is vain. We use Dense Passage Retrieval (DPR)."),
        (0, 18),
        (19, 31),
        (32, 44),
        (45, 82),
    )
    assert refined(Top(k=2), found, "What does DPR stand for?") == [found[0], found[3]]
    assert refined(Top(k=2), found, "Is DPR late?") == found[:2]


def test_a_passage_that_is_needed_for_a_name_makes_no_room_for_another() -> None:
    text = "Retrieval is hard. Search is slow. ColBERT is late. All is vain. BEIR has data. DPR has two encoders. BEIR and DPR are names."
    spans = [m.span() for m in re.finditer(r"\S[^.]*\.", text)]
    found = cut(paper(text), *spans)
    assert refined(Top(k=3), found, "How does DPR differ from ColBERT?") == [found[0], found[2], found[5]]
    assert refined(Top(k=2), found, "Do BEIR and DPR differ?") == [found[0], found[6]]
    assert refined(Top(k=2), found, "Do BEIR, DPR and ColBERT differ?") == [found[0], found[6]]


# --- all of them

REFINERS: list[BaseDocumentCompressor] = [
    Top(k=2),
    TokenBudget(max_tokens=40),
    TokenBudget(max_tokens=25, model="unknown"),
    Reordered(),
    MatchingSentences(most=1),
    MatchingSentences(embed=HashedEmbeddings(), share=0.2),
    Distinct(threshold=0.3),
    Neighbours(before=0, after=2),
    Neighbours(before=0, after=0),
    WholeSection(max_characters=60),
]
words_of_papers = st.sampled_from(
    "Glass bridges carry 40 people. They were tested, e.g. in 1999. sway 橋。 Steel \n\n # ! Ünï 🌉 [1] \t".split(
        " "
    )
)
papers = st.lists(words_of_papers, min_size=1, max_size=40).map(" ".join) | st.text(
    min_size=1, max_size=80
).filter(str.strip)


@st.composite
def ranked(draw: st.DrawFn) -> list[tuple[str, list[tuple[int, int]]]]:
    """Papers and the spans of their passages."""
    drawn = draw(
        st.lists(papers.filter(lambda t: t.isprintable() or "\n" in t), min_size=1, max_size=3, unique=True)
    )
    spans = []
    for text in drawn:
        place = st.integers(0, len(text))
        pairs = draw(st.lists(st.tuples(place, place).filter(lambda pair: pair[0] != pair[1]), max_size=5))
        spans.append([(min(pair), max(pair)) for pair in pairs])
    return list(zip(drawn, spans, strict=True))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(ranked(), st.sampled_from(["What do glass bridges carry?", "", "橋 Ünï sway"]))
def test_whatever_a_refiner_gives_is_the_text_at_its_span(
    corpus: Corpus, drawn: list[Any], question: str
) -> None:
    known: dict[str, Document] = {}
    given: list[Document] = []
    for text, spans in drawn:
        whole = entered(corpus, text, title=f"Paper {len(known)}")
        known[str(whole.id)] = whole
        given += cut(whole, *spans, section=["A"], kind="body")
    given.sort(key=score_of, reverse=True)
    before = copy.deepcopy(given)
    for refiner in REFINERS:
        if isinstance(refiner, CorpusReader):
            refiner = refiner.over(corpus)
        found = refined(refiner, given, question)
        assert given == before
        assert bool(found) == bool(given) or isinstance(refiner, TokenBudget)
        for each in found:
            span = span_of(each)
            assert known[span.document_id].page_content[span.start : span.end] == each.page_content
            assert each.metadata.keys() == before[0].metadata.keys()
        if isinstance(refiner, TokenBudget):
            assert counter(refiner.model)(numbered(found).text()) <= refiner.max_tokens
        if not isinstance(refiner, Reordered | Neighbours):
            assert [score_of(p) for p in found] == sorted((score_of(p) for p in found), reverse=True)
        if isinstance(refiner, Neighbours):
            taken = sorted(span_of(p) for p in found)
            assert all(a.end <= b.start or a.document_id != b.document_id for a, b in pairwise(taken))
            assert all(any(span_of(p).holds(span_of(g)) for p in found) for g in given)
        if isinstance(refiner, Distinct):
            assert refined(refiner, found, question) == found
    assert all(
        asyncio.run(r.acompress_documents(given, question)) == refined(r, given, question)
        for r in REFINERS[:1] + REFINERS[4:6]
    )


def test_the_refiners_keep_the_contract_with_arguments_too() -> None:
    check_component(MatchingSentences, embed=HashedEmbeddings(), share=0.4, most=2)
    check_component(TokenBudget, max_tokens=20, model="gpt-4")
    check_component(Neighbours, before=0, after=2)
    check_component(Distinct, threshold=0.5)


def test_the_refiners_work_together_in_a_pipeline_file(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        f"# On Bridges\n\n## Glass\n\n{GLASS}\n\n## Wood\n\nWooden bridges rot. They are cheap.\n"
    )
    (tmp_path / "ragkit.yaml").write_text(
        "ingest: {chunk: {type: sentence, max_tokens: 14, overlap: 0}, index: bm25}\n"
        "answer:\n"
        "  retrieve: {type: lexical, index: bm25}\n"
        "  refine:\n"
        "    - {type: neighbours, before: 1, after: 1}\n"
        "    - distinct\n"
        "    - {type: sentences, most: 2}\n"
        "    - {type: token_budget, max_tokens: 60, model: gpt-4o}\n"
        "    - reorder\n"
        "  generate: extractive\n"
    )
    rag = ragkit.load(tmp_path / "ragkit.yaml", corpus=tmp_path / "corpus")
    rag.ingest(tmp_path / "a.md")
    answer = rag.ask("When were glass bridges tested?")
    assert texts(answer.context) == [
        "Glass bridges carry 40 people. They were tested in 1999.",
        "Wooden bridges rot.",
    ]
    [known] = rag.corpus.documents(rag.corpus.document_ids()).values()
    assert all(
        known.page_content[span_of(p).start : span_of(p).end] == p.page_content for p in answer.context
    )
    (tmp_path / "again.yaml").write_text(ragkit.dump(rag))
    assert ragkit.dump(ragkit.load(tmp_path / "again.yaml")) == ragkit.dump(rag)


@pytest.mark.parametrize(
    "block", re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "context.md").read_text(), re.DOTALL)
)
def test_the_pipelines_in_the_documentation_load(block: str, tmp_path: Path) -> None:
    around = (
        "ingest: {chunk: sentence, index: bm25}\n"
        + block
        + "  retrieve: {type: lexical, index: bm25}\n"
        + ("" if "generate:" in block else "  generate: extractive\n")
    )
    (tmp_path / "shown.yaml").write_text(around)
    (tmp_path / "again.yaml").write_text(text := ragkit.dump(ragkit.load(tmp_path / "shown.yaml")))
    assert ragkit.dump(ragkit.load(tmp_path / "again.yaml")) == text
