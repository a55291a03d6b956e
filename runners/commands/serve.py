"""`pipelines serve`: a pushed model answers over HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Optional

import typer

from pipeline.contract import find_model
from runners.commands.models import Destination, LineName
from runners.options import ModelName, Root, Set, pairs


def serve(
    model: ModelName,
    version: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="VERSION",
            help="Number of a pushed version, or the folder of one, local or gs://. The one that serves, and those "
            "that are pushed or promoted later, if left out.",
        ),
    ] = None,
    port: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=0, max=65535, help="0 for any that is free. 8080, AIP_HTTP_PORT or PORT if left out."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine's.")] = "127.0.0.1",
    root: Root = Path("runs"),
    line: LineName = None,
    destination: Destination = None,
    assignments: Set = None,
) -> None:
    """Serve a pushed model: Vertex AI's and TensorFlow Serving's REST APIs, and a page for people.

    Exit codes: 0 ended by Ctrl-C or SIGTERM; 2 mistake in the command, or nothing to serve.
    """
    from runners.pushed_models import base_of
    from runners.serving.serving import serve as run
    from runners.serving.settings import serve_settings
    from runners.serving.source import find_source

    settings, contract = serve_settings(pairs("--set", assignments)), find_model(model)
    wanted = version or os.environ.get("AIP_STORAGE_URI")
    source = find_source(contract, base_of(root, destination), line, wanted)
    run(contract, source, host, port, settings, os.environ)
