"""The command mcp: the calls of an agent as tools for an MCP client, over standard input and output."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Annotated

import typer

from datastore.cli.running import fail, in_one_line, open_store, resolve
from datastore.connecting import DEFAULT_URL, SERVED, URL_VARIABLE, connect
from datastore.errors import ConfigurationError
from datastore.store import DataStore
from datastore.urls import Url

_LONGEST_FILE = 4_096


def mcp(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL]",
            help="The store, or the address of its server; env:NAME names a variable.",
            show_default=f"${URL_VARIABLE}, else {DEFAULT_URL}",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="The token, in a file that only its owner can read."),
    ] = None,
    max_result: Annotated[
        int, typer.Option(metavar="N", help="How many characters a result may have: what a model reads costs it.")
    ] = 20_000,
) -> None:
    """Serve the calls of an agent as tools, for an MCP client that starts this command.

    What the tools may do is what the token says; it is checked with every call. It
    comes from a file and not from the command line or the environment, where
    every program of the same user can read it.
    """
    with in_one_line():
        if token_file is None:
            raise ConfigurationError("--token-file is missing; `datastore token mint --token-file FILE` writes one")
        token = read_token(token_file)
        try:
            from datastore.mcp import serving  # imported here, because few commands need the extra
            from datastore.mcp.remote import RemoteAccess
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
                raise
            fail("this command needs the extra 'mcp': pip install 'agent-datastore[mcp]'")
        text = resolve(url)
        if Url(text).scheme in SERVED:
            with connect(text, token=token) as data_store:
                asyncio.run(serving.serve_stdio(RemoteAccess(data_store), max_result=max_result))
            return
        with open_store(url, write=True, tracking="deferred") as store:
            asyncio.run(_serve(store, token, max_result))


def read_token(path: Path) -> str:
    """Return the token in a file.

    Raises:
        ConfigurationError: If it cannot be read, or others than its owner can read it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_ISREG(mode) and mode & 0o077:
                raise ConfigurationError(
                    f"{path} can be read by others than its owner: chmod 600 it, and revoke the token if they may "
                    "have read it"
                )
            text = file.read(_LONGEST_FILE)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    return text.decode("ascii", "replace").strip()


async def _serve(store: DataStore, token: str, max_result: int) -> None:
    from datastore.mcp.serving import TokenAccess, serve_stdio

    access = TokenAccess(store.asynchronous.tokens, token)
    await access.allowed(None)  # a token that is not valid ends the command, and does not fail each call
    await serve_stdio(access, max_result=max_result)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(mcp)
