"""`ragkit corpus`: where corpora are kept."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from ragkit.cli.options import AsJson, print_json

app = typer.Typer(no_args_is_help=True, help="Move a corpus from one place to another.")


@app.command("copy")
def copied(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="A directory, or postgresql://user@host/database.")
    ],
    target: Annotated[str, typer.Argument(metavar="TO", help="The same; there must be no papers yet.")],
    as_json: AsJson = False,
) -> None:
    """Copy a corpus, between a directory and Postgres too, and compare digests of what was written.

    Indexes are built by the next `ragkit ingest`, from the vectors, which are copied.
    """
    from ragkit.cli import terminal
    from ragkit.corpus import Corpus, places
    from ragkit.corpus.copying import copy

    with closing(Corpus(places.place_of(source))) as old, closing(Corpus(places.place_of(target))) as new:
        rows = copy(old, new)
        if as_json:
            print_json({"from": old.name, "to": new.name, "rows": rows})
            return
        terminal.out.print(
            f"copied {rows['documents']} texts of papers, {rows['chunks']} passages and {rows['vectors']} vectors to"
            f" {new.name}, where all digests agree; `ragkit ingest --corpus TO` builds its indexes",
            soft_wrap=True,
            markup=False,
        )
