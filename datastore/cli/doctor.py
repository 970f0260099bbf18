"""The command ``doctor``: connects, tries what agents do, asks the database for its state, and says what to do."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Annotated

import typer

from agent_datastore import conflict, remedy
from datastore.administration import Diagnostic
from datastore.cli.running import (
    INCOMPLETE,
    JsonOption,
    fail,
    in_commands,
    in_one_line,
    open_store,
    print_json,
    resolve,
    shown,
)
from datastore.cli.show import printable
from datastore.errors import DataStoreError
from datastore.examining import SEE, examine, milliseconds
from datastore.showing import number
from datastore.urls import Url


def doctor(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="The store.", show_default="$AGENT_DATASTORE_URL")
    ] = None,
    url_option: Annotated[str | None, typer.Option("--url", metavar="URL", help="The URL, as an option.")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Write nothing, not even a trial record.")] = False,
    records: Annotated[
        bool, typer.Option("--records", help="Read every record, and name those that are damaged.")
    ] = False,
    remove_damaged: Annotated[
        bool, typer.Option("--remove-damaged", help="As --records, and remove them. This cannot be undone.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Examine a store: connection, permissions, schema, indexes, clock, limits. Say what to do.

    It writes a few trial records for a user of its own, and removes them.
    """
    if url is not None and url_option is not None:
        raise typer.BadParameter("give the URL once: as an argument, or with --url")
    if read_only and remove_damaged:
        raise typer.BadParameter("--read-only and --remove-damaged exclude each other")
    with in_one_line("interrupted; records of the user agent-datastore-doctor may still be there"):
        text = resolve(url or url_option)
        parsed = Url(text)
        parsed.take_mode()
        read_only = read_only or parsed.read_only
        found: list[Diagnostic] = []
        if not json:
            typer.echo(printable(shown(text)))
        for finding in _examine(text, read_only, records or remove_damaged, remove_damaged):
            found.append(finding)
            if not json:
                _print(finding)
        problems = sum(not finding.healthy for finding in found)
        if json:
            print_json({"url": shown(text), "healthy": not problems, "findings": [one._asdict() for one in found]})
        if problems:
            fail(f"{number(problems, 'problem')} found", INCOMPLETE)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def _examine(url: str, read_only: bool, records: bool, remove: bool) -> Iterator[Diagnostic]:
    yield Diagnostic(True, f"agent-datastore {version('agent-datastore')}, Python {platform.python_version()}")
    if (found := conflict()) is not None:
        yield Diagnostic(False, found, remedy())
    began = time.monotonic()
    try:
        store = open_store(url, write=not read_only)
    except DataStoreError as error:
        yield Diagnostic(False, f"it cannot be opened: {error}", SEE)
        return
    with store:
        yield Diagnostic(True, f"connected in {milliseconds(time.monotonic() - began)}")
        for one in examine(store, trials=not read_only, records=records, remove=remove):
            yield one if one.healthy else one._replace(text=in_commands(one.text))


def _print(finding: Diagnostic) -> None:
    mark = "ok" if finding.healthy else "problem"
    typer.echo(printable(f"{mark:<9}{finding.text}"))
    if finding.remedy:
        typer.echo(printable(f"{'':<9}-> {finding.remedy}"))
