"""A terminal chatbot over the corpus in ./.ragkit, in a page of Python.

    ragkit ingest examples/papers
    python examples/chatbot.py [pipeline.yaml]

It shows the answer as it is written, then the sources whose characters support it; a follow-up ("and for training?")
leans on what was said before.  An empty line ends the conversation.
"""

from __future__ import annotations

import sys

import ragkit
from ragkit.flow import Finished, Token


def main() -> None:
    # One YAML file is the whole system.  Without a name, ./ragkit.yaml or the packaged default: no key, no server.
    rag = ragkit.load(sys.argv[1] if len(sys.argv) > 1 else None)
    history: list[dict[str, str]] = []

    while question := ask_user():
        answer = answer_aloud(rag, question, history)
        print_sources(answer)
        history += [{"role": "user", "content": question}, {"role": "assistant", "content": answer.text}]


def ask_user() -> str:
    try:
        return input("\nyou> ").strip()
    except (EOFError, KeyboardInterrupt):
        return ""


def answer_aloud(rag: ragkit.Rag, question: str, history: list[dict[str, str]]) -> ragkit.Answer:
    """Print tokens as they come.  The last event carries the answer as it stands after every citation was checked."""
    shown = ""
    for event in rag.stream(question, history):
        if isinstance(event, Token):
            print(event.text, end="", flush=True)
            shown += event.text
        elif isinstance(event, Finished):
            answer: ragkit.Answer = event.result
    if shown != answer.text:  # a sentence that its source does not support was dropped, or there is no answer at all
        print(("\n\nafter checking> " if shown else "") + answer.text, end="")
    print()
    return answer


def print_sources(answer: ragkit.Answer) -> None:
    """Each citation is exact: `quote` is `text[start:end]` of the paper."""
    for citation in answer.citations:
        print(f"  [{citation.number}] {citation.title}, characters {citation.start}-{citation.end}: {citation.verdict}")


if __name__ == "__main__":
    try:
        main()
    except ragkit.RagkitError as error:  # one sentence that says what to do, such as "run `ragkit ingest`"
        sys.exit(str(error))
