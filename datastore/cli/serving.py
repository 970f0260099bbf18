"""The command about the server: serve."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from datastore.cli.importing import imported
from datastore.cli.running import UrlOption, fail, in_one_line, resolve
from datastore.cli.show import printable
from datastore.connecting import connect
from datastore.events import audit as log_call

_INSTALL = "the server needs more packages: pip install 'agent-datastore[server]'"
_SOCKET = Path("datastore.sock")


def serve(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="The store; env:NAME names a variable.", show_default="as --url")
    ] = None,
    url_option: UrlOption = None,
    uds: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A Unix socket that only you can open.", show_default=str(_SOCKET)),
    ] = None,
    host: Annotated[str, typer.Option(metavar="HOST", help="Where to listen on --port.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(metavar="N", help="Listen on a port, and not on a Unix socket; 0 for any free one.")
    ] = None,
    certfile: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate, for TLS.")] = None,
    keyfile: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key.")] = None,
    expose: Annotated[bool, typer.Option("--expose", help="Allow a --host that others can reach. Needs TLS.")] = False,
    without_tls: Annotated[
        bool, typer.Option("--without-tls", help="With --expose: without TLS, where a proxy has it.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name that clients call it by, or '*' for any. May be repeated."),
    ] = None,
    token_seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long a token that another process revokes can still be used.")
    ] = 1.0,
    embedder: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME", help="The datastore.Embedder that makes vectors of texts for their memory."
        ),
    ] = None,
    mcp: Annotated[bool, typer.Option("--mcp", help="Serve the calls as tools for MCP clients, too, at /mcp.")] = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Log each call as a line of JSON on standard error; never a value.")
    ] = False,
) -> None:
    """Serve a store to agents in sandboxes. Each has a token (`datastore token mint`), and nothing else.

    It listens on a Unix socket that only you can open, or on loopback with
    --port. Other addresses have to be asked for. It ends with SIGTERM, after the
    calls that are under way.
    """
    try:
        from datastore import server
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "httptools"):
            raise
        fail(_INSTALL)
    with in_one_line():
        if audit:
            log_calls()
        if port is None and uds is None:
            uds = _SOCKET
        made = None if embedder is None else imported(embedder, "--embedder")
        with connect(resolve(url or url_option), on_call=log_call if audit else None, embedder=made) as store:
            server.serve(
                store,
                uds=uds,
                host=host,
                port=port,
                certfile=certfile,
                keyfile=keyfile,
                expose=expose,
                without_tls=without_tls,
                allowed_hosts=allow_host or (),
                limits=server.ServerLimits(token_seconds=token_seconds),
                mcp=mcp,
                ready=lambda address: typer.echo(printable(f"serving {store!r} on {address}")),
            )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def log_calls() -> None:
    """Write what `datastore.audit` logs to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("datastore.audit")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
