"""`ragkit serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ChosenPipeline, ComparedPipelines, say

if TYPE_CHECKING:
    from ragkit.rag import Rag


def serve(
    pipeline: ComparedPipelines,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; another than loopback needs --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8321,
    base_url: Annotated[
        str,
        typer.Option(metavar="URL", help="What addresses in citations begin with, behind a proxy."),
    ] = "",
    open_webui: Annotated[
        bool,
        typer.Option(
            "--open-webui", help="Send Open WebUI's events below /v1, too; /open-webui/v1 always has them."
        ),
    ] = False,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Only clients with a key of this file.", show_default=False),
    ] = None,
    add_key: Annotated[
        str,
        typer.Option(metavar="NAME[:write]", help="Add a key to the file, print it, and serve nothing."),
    ] = "",
    allow_host: Annotated[
        list[str],
        typer.Option(
            metavar="NAME", help="A name that clients call the server by; repeatable.", show_default=False
        ),
    ] = [],
    frame_ancestor: Annotated[
        list[str],
        typer.Option(
            metavar="ORIGIN",
            help="An origin whose pages may show papers in a frame, such as Open WebUI's; repeatable.",
            show_default=False,
        ),
    ] = [],
    per_minute: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Without --keys: what one address may ask in a minute; 0 is no limit."
        ),
    ] = 6000,
    per_day: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="The same for a day."),
    ] = 1_000_000,
) -> None:
    """Serve answers, papers and a page over HTTP.

    Each --config or --preset is a model that clients can choose; the first is the default.
    """
    from ragkit.errors import UsageError, needs

    if add_key and keys is None:
        raise UsageError("--add-key needs --keys FILE, the file that it adds the key to")
    with needs("serve", "serving"):
        from ragkit.serve import keys as api_keys
        from ragkit.serve import listening
        from ragkit.serve.guard import Rules
        from ragkit.serve.service import Service

    if keys and add_key:
        typer.echo(api_keys.add(keys, add_key))
        return
    if keys is None and not listening.is_loopback(host):
        raise UsageError(
            f"--host {host} lets other machines in, which needs --keys FILE; `--keys FILE --add-key NAME` makes one"
        )
    known = api_keys.read(keys) if keys else None
    framed_by = [listening.origin(given) for given in frame_ancestor]
    names = {"localhost", host.lower(), *map(str.lower, allow_host), *listening.names_in(base_url)}
    anyone = api_keys.Most(a_minute=per_minute or None, a_day=per_day or None)
    rules = Rules(hosts=names, keys=known, anyone=anyone)
    service = Service(rags(pipeline), base=base_url.rstrip("/"), open_webui=open_webui, framed_by=framed_by)
    listening.serve(service, rules, host, port, say)


def rags(pipeline: ComparedPipelines) -> dict[str, Rag]:
    """The configurations by their names, in the order in which they were given."""
    from ragkit.errors import UsageError

    found: dict[str, Rag] = {}
    for chosen in pipeline.each():
        if (name := name_of(chosen)) in found:
            raise UsageError(f"two configurations are called '{name}'; rename one of the files")
        found[name] = chosen.load()
    places = {rag.corpus.directory.resolve() for rag in found.values()}
    if len(places) > 1:
        raise UsageError("the configurations have different corpora; serve one corpus, such as with --corpus")
    return found


def name_of(chosen: ChosenPipeline) -> str:
    """What clients call a configuration: its preset, or its file without the ending."""
    return chosen.preset or chosen.file().stem
