"""A terminal chatbot over the corpus in ./.ragkit, in a page of Python.

    ragkit ingest examples/papers
    python examples/chatbot.py [pipeline.yaml]

It shows each sentence once its sources are checked, while a chat model still writes the next; a follow-up
("and for training?") leans on what was said before.  An empty line ends the conversation.
"""

from __future__ import annotations

import sys

import ragkit
from ragkit.events import AnswerEvent, ClaimEvent, of


def main() -> None:
    # One YAML file is the whole system.  Without a name, ./ragkit.yaml or the packaged default: no key, no server.
    rag = ragkit.load(sys.argv[1] if len(sys.argv) > 1 else None)
    # ragkit.Conversation(rag, ragkit.FileChatHistory("talk.jsonl")) remembers it tomorrow too
    chat = ragkit.Conversation(rag)
    while question := ask_user():
        print_answer(chat, question)


def ask_user() -> str:
    try:
        return input("\nyou> ").strip()
    except (EOFError, KeyboardInterrupt):
        return ""


def print_answer(chat: ragkit.Conversation, question: str) -> None:
    """Print the answer as it is checked.  The last event holds the final answer after every check."""
    shown = ""
    for event in map(of, chat.stream(question)):
        if isinstance(event, ClaimEvent) and event.shown:
            sentence = event.before + event.text + "".join(f" [{number}]" for number in event.citations)
            print(sentence if shown else sentence.lstrip(), end="", flush=True)
            shown += sentence
        elif isinstance(event, AnswerEvent):
            # Nothing is in the papers, or checking the whole answer changed something.
            if shown.strip() != event.text:
                print(f"\n\nafter checking> {event.text}" if shown else event.text, end="")
            print()
            print_sources(event)


def print_sources(answer: ragkit.Answer) -> None:
    """Each citation is exact: `quote` is `text[start:end]` of the paper."""
    for citation in answer.citations:
        print(
            f"  [{citation.number}] {citation.title}, characters {citation.start}-{citation.end}: {citation.verdict}"
        )


if __name__ == "__main__":
    try:
        main()
    except ragkit.RagkitError as error:  # one sentence that says what to do, such as "run `ragkit ingest`"
        sys.exit(str(error))
