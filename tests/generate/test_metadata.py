"""Questions about papers themselves are answered from their metadata; all others are left to others."""

from __future__ import annotations

import pytest

import ragkit
from ragkit.answer import Answer
from ragkit.cli import terminal

PAPERS = {
    "oxarin": (
        "Oxarin in mild asthma",
        ["R. Adeyemi"],
        2020,
        "Lung Letters",
        "Oxarin lowered the attack rate.",
    ),
    "budoxal": (
        "Budoxal in severe asthma",
        ["S. Lindh", "Eva B. Roos"],
        2021,
        "Lung Letters",
        "Budoxal was safe.",
    ),
    "moss": (
        "Moss growth on roofs: A field study",
        ["Eva Roos"],
        2019,
        "Roof Ecology",
        "Moss covered 31 roofs.",
    ),
    "bare": ("Notes on ponds", [], None, "", "Ponds were cold, as 3 surveys found."),
}

STATED = {
    "oxarin": "affiliations: [Lund University, 'Lung Institute, Ulm']\nfunding: [Lung Fund, Air Council]\nupdated: 2021-09-25\n",
    "budoxal": "funding_statement: Air Council paid.\n",
    "moss": "affiliations: [Roof Lab]\n",
}

CONFIG = """
corpus: {corpus}
define:
  words: &words {{type: bm25}}
ingest:
  read: files
  chunk: {{type: sentence, max_tokens: 200}}
  index: [*words]
answer:
  retrieve: {{type: lexical, index: *words, k: 20}}
  refine: {{type: top, k: 6}}
  gate: calibrated
  generate: [{{type: metadata}}, {{type: extractive}}]
  verify: evidence
  policy: drop
"""


@pytest.fixture(scope="module")
def rag(tmp_path_factory: pytest.TempPathFactory) -> ragkit.Rag:
    folder = tmp_path_factory.mktemp("metadata")
    (folder / "papers").mkdir()
    for name, (title, authors, year, venue, text) in PAPERS.items():
        stated = STATED.get(name, "")
        known = f"title: '{title}'\nauthors: {authors}\n" if authors else f"title: '{title}'\n"
        known += f"year: {year}\nvenue: {venue}\n" if year else ""
        (folder / "papers" / f"{name}.md").write_text(f"---\n{known}{stated}---\n{text}\n")
    (folder / "ragkit.yaml").write_text(CONFIG.format(corpus=folder / "corpus"))
    rag = ragkit.load(folder / "ragkit.yaml")
    rag.ingest(folder / "papers")
    return rag


def plain(answer: Answer) -> str:
    """The text without its marks."""
    return " ".join(" ".join((claim.before + claim.text) for claim in answer.claims).split())


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "Who wrote the paper on budoxal?",
            "“Budoxal in severe asthma” was written by S. Lindh and Eva B. Roos.",
        ),
        (
            "Who is the first author of the budoxal paper?",
            "“Budoxal in severe asthma” has S. Lindh as its first author.",
        ),
        ("When was the oxarin paper published?", "“Oxarin in mild asthma” was published in 2020."),
        (
            "In which journal did “Oxarin in mild asthma” appear?",
            "“Oxarin in mild asthma” was published in Lung Letters.",
        ),
        (
            "Where and in which year was the study of moss published?",
            "“Moss growth on roofs: A field study” was published in Roof Ecology in 2019.",
        ),
        (
            "What are the authors of Moss growth on roofs?",
            "“Moss growth on roofs: A field study” was written by Eva Roos.",
        ),
        (
            "Which institutions are the authors of the oxarin paper from?",
            "“Oxarin in mild asthma” gives the affiliations Lund University; Lung Institute, Ulm.",
        ),
        (
            "Where do the authors of “Moss growth on roofs” work?",
            "“Moss growth on roofs: A field study” gives the affiliation Roof Lab.",
        ),
        (
            "Who wrote the paper on oxarin, and at which institute?",
            "“Oxarin in mild asthma” was written by R. Adeyemi and gives the affiliations Lund University; Lung Institute, Ulm.",
        ),
        (
            "Which companies do the authors of Moss growth on roofs work for?",
            "“Moss growth on roofs: A field study” gives the affiliation Roof Lab.",
        ),
        (
            "What are the affiliations of the authors of the paper on moss?",
            "“Moss growth on roofs: A field study” gives the affiliation Roof Lab.",
        ),
        (
            "Who funded the meta-analysis of oxarin?",
            "“Oxarin in mild asthma” was funded by Lung Fund and Air Council.",
        ),
        ("Who funded the oxarin paper?", "“Oxarin in mild asthma” was funded by Lung Fund and Air Council."),
        (
            "Which organisations financed the study of oxarin?",
            "“Oxarin in mild asthma” was funded by Lung Fund and Air Council.",
        ),
        (
            "What is the funding source of the paper on budoxal?",
            "“Budoxal in severe asthma” says of its funding: “Air Council paid”.",
        ),
        (
            "In which year was the oxarin paper published and who funded it?",
            "“Oxarin in mild asthma” was published in 2020 and was funded by Lung Fund and Air Council.",
        ),
        (
            "When was the oxarin paper last updated, and by whom was it written?",
            "“Oxarin in mild asthma” was written by R. Adeyemi and was last updated on 2021-09-25.",
        ),
        (
            "Who wrote the paper on budoxal, and at which university?",
            "“Budoxal in severe asthma” was written by S. Lindh and Eva B. Roos; its metadata do not give its affiliations.",
        ),
        (
            "Which papers are by Lindh and Roos?",
            "There is 1 paper by Lindh and Roos: - “Budoxal in severe asthma” (2021)",
        ),
        (
            "Which papers did E. Roos write?",
            "There are 2 papers by E. Roos: - “Moss growth on roofs: A field study” (2019) - “Budoxal in severe asthma” (2021)",
        ),
        ("Which papers are from 2020?", "There is 1 paper from 2020: - “Oxarin in mild asthma” (2020)"),
        ("How many papers are there in the collection?", "There are 4 papers in the collection."),
    ],
)
def test_a_question_about_papers_is_answered_from_their_metadata(
    rag: ragkit.Rag, question: str, expected: str
) -> None:
    answer = rag.ask(question)
    assert plain(answer) == expected
    assert {claim.verdict for claim in answer.claims} == {"supported"}


def test_a_count_names_the_papers_that_are_counted(rag: ragkit.Rag) -> None:
    answer = rag.ask("How many papers in Lung Letters are there?")
    assert answer.claims[0].text == "There are 2 papers in Lung Letters."
    assert [c.title for c in answer.citations] == [PAPERS["oxarin"][0], PAPERS["budoxal"][0]]


def test_what_is_cited_is_the_metadata_and_says_so(rag: ragkit.Rag) -> None:
    answer = rag.ask("Who wrote the paper on budoxal?")
    [citation] = answer.as_json()["citations"]
    assert citation["field"] == "authors"
    assert citation["quote"] == "authors: S. Lindh; Eva B. Roos"
    assert (citation["start"], citation["end"]) == (0, 0)
    assert (citation["verdict"], citation["reason"]) == ("supported", "from the paper's metadata")
    assert Answer(**answer.as_json()).as_json() == answer.as_json()


def test_only_papers_that_pass_the_filter_are_told_of(rag: ragkit.Rag) -> None:
    answer = rag.ask("Which papers did Roos write?", where="year < 2020")
    assert plain(answer) == "There is 1 paper by Roos: - “Moss growth on roofs: A field study” (2019)"
    assert "Lindh" not in rag.ask("Who wrote the paper on budoxal?", where="year < 2021").text


def test_papers_that_may_be_meant_alike_are_all_named(rag: ragkit.Rag) -> None:
    answer = rag.ask("When was the paper on asthma published?")
    assert {citation.title for citation in answer.citations} == {PAPERS["oxarin"][0], PAPERS["budoxal"][0]}
    assert answer.confidence <= 0.5


def test_what_the_metadata_do_not_tell_is_left_to_the_next_attempt(rag: ragkit.Rag) -> None:
    answer = rag.ask("When was “Notes on ponds” published?")
    assert not any(citation.field for citation in answer.citations)


@pytest.mark.parametrize(
    "question",
    [
        "Who introduced the quantum communication model of Yao?",
        "How many papers were screened?",
        "How many studies were published in 2013?",
        "How many papers were included in the review?",
        "How many papers on malaria are there?",
        "How many authors answered the survey?",
        "When was the drug approved?",
        "When was the vaccine published by the ministry first used?",
        "When did the symptoms appear?",
        "Where did the lesions appear?",
        "Where was the study done?",
        "In which year was the study conducted?",
        "When did the first paper on asthma report a cure?",
        "Who wrote the questionnaire?",
        "Who wrote the essays that were graded?",
        "Who reviewed the papers?",
        "Which papers use BERT?",
        "Which papers by Roos mention moss?",
        "Which studies found an effect?",
        "Which journal articles were coded by hand?",
        "From which journals were the papers collected?",
        "From which conferences were papers collected to build the data set?",
        "What did the authors of the paper conclude?",
        "What do the authors of the oxarin paper say about children?",
        "What does the paper on budoxal report?",
        "What is the main finding of the paper published in 2020?",
        "What year was the hospital built?",
        "What date was the survey sent out?",
        "What is the name of the data set that the authors published?",
        "Which model did the authors of the paper publish?",
        "Why did the authors write the paper?",
        "How was the paper written?",
        "Was the paper published in 2020?",
        "Who wrote to the authors?",
        "When are papers published after review?",
        "Who are the authors funded by?",
        "Which author had the most papers?",
        "Which institutes are the authors of the budoxal paper from?",
        "Which institutions took part in the trial of oxarin?",
        "At which university was the trial run?",
        "Who funded the hospital?",
        "Who supports the patients of the study?",
        "What funding do hospitals receive?",
        "Which grants does the paper on oxarin analyse?",
        "When was the register last updated?",
        "Where do the nurses of the study work?",
        "Who publishes guidelines on asthma?",
        "When was the questionnaire published?",
        "What is a paper?",
        "How many articles did each reviewer read?",
        "How many pages does the paper have?",
        "How many papers did the review of Chen cite?",
        "How often do papers appear in the top ten?",
        "List the papers that were excluded.",
        "List the limitations of the study.",
        "What publication bias was found?",
        "Where is the code of the paper published?",
        "When did the authors publish their code?",
        "What journal ranking was used?",
    ],
)
def test_a_question_about_what_stands_in_papers_is_left_alone(rag: ragkit.Rag, question: str) -> None:
    answer = rag.ask(question)
    assert not any(citation.field for citation in answer.citations), answer.text


def test_the_terminal_shows_the_field_in_place_of_characters(
    rag: ragkit.Rag, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.show_answer(rag.ask("Who wrote the paper on budoxal?"))
    assert "metadata: authors" in " ".join(capsys.readouterr().out.split())
