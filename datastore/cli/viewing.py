"""The command view: pages on which a person sees what agents remember."""

from __future__ import annotations

import getpass
import os
import sys
import webbrowser
from typing import Annotated

import typer

from datastore.cli.importing import imported
from datastore.cli.running import UrlOption, fail, in_one_line, open_store, resolve
from datastore.cli.serving import log_calls
from datastore.cli.show import printable
from datastore.events import audit as log_call
from datastore.urls import Url

_INSTALL = "the viewer needs more packages: pip install 'agent-datastore[viewer]'"
_NEEDED = ("starlette", "uvicorn", "httptools", "jinja2", "markupsafe")


def view(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="The store; env:NAME names a variable.", show_default="as --url")
    ] = None,
    url_option: UrlOption = None,
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65_535, help="Where to listen on loopback; 0 for any free port.")
    ] = 0,
    read_only: Annotated[bool, typer.Option("--read-only", help="Only look; the pages change nothing.")] = False,
    person: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Who changes records: person:NAME.", show_default="your login"),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser; only print the address.")] = False,
    session_minutes: Annotated[
        float, typer.Option(metavar="N", min=1, help="After how long without a click a login ends.")
    ] = 60.0,
    embedder: Annotated[
        str | None,
        typer.Option(metavar="MODULE:NAME", help="The datastore.Embedder of the agents, to search by meaning."),
    ] = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="Log each call as a line of JSON on standard error; never a value.")
    ] = False,
) -> None:
    """Open pages on which you see, search and mend what agents remember.

    It listens on this machine's loopback only, and prints an address that logs in
    once. It shows the data of all users. Looking is not counted as an access.
    """
    try:
        from datastore import viewer
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        fail(_INSTALL)
    with in_one_line():
        if audit:
            log_calls()
        text = url or url_option
        parsed = Url(resolve(text))
        parsed.take_mode()
        writable = not (read_only or parsed.read_only)
        is_first = True

        def tell(address: str) -> None:
            nonlocal is_first
            typer.echo(printable(f"open {address}"))
            sys.stdout.flush()
            if is_first and not no_browser and _has_browser():
                webbrowser.open(address)
            is_first = False

        made = None if embedder is None else imported(embedder, "--embedder")
        with open_store(text, write=writable, on_call=log_call if audit else None, embedder=made) as store:
            typer.echo(printable(f"showing {store!r}; the address works once, Ctrl-C ends it"))
            viewer.serve(
                store,
                port=port,
                writable=writable,
                person=_login() if person is None else person,
                session_seconds=session_minutes * 60,
                ready=tell,
            )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(view)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return ""


def _has_browser() -> bool:
    """Return whether there is a screen: without one a browser in the terminal would take it over."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    return sys.stdout.isatty()
