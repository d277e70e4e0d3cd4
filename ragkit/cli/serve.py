"""`ragkit serve`."""

from __future__ import annotations

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
) -> None:
    """Serve answers, papers and a page over HTTP.

    Each --config or --preset is a model that clients can choose; the first is the default.
    """
    from ragkit.errors import needs

    with needs("serve", "serving"):
        from ragkit.serve import listening
        from ragkit.serve.service import Service

    service = Service(rags(pipeline), base=base_url.rstrip("/"), open_webui=open_webui)
    listening.serve(service, host, port, say)


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
