"""The commands ``runs``: list, show, cancel and retry the runs of a namespace."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from datastore.cli.running import (
    NOT_FOUND,
    JsonOption,
    NamespaceOption,
    UrlOption,
    UserOption,
    fail,
    in_one_line,
    open_store,
    print_json,
)
from datastore.cli.show import lines_of, printable
from datastore.errors import NoSuchRunError, RunOverError
from datastore.runs.entries import HistoryEntry, RunInfo
from datastore.times import text_of

commands = typer.Typer(no_args_is_help=True, help="List, show, cancel and retry runs: journals of steps that resume.")

_Id = Annotated[str, typer.Argument(metavar="ID", help="The run's id.")]
_Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many.", show_default="all")]
_Status = Literal["running", "waiting", "done", "failed", "cancelled"]


@commands.command("list")
def list_(
    url: UrlOption = None,
    *,
    user: UserOption,
    namespace: NamespaceOption = "default",
    status: Annotated[_Status | None, typer.Option(help="Only those.", show_default="all")] = None,
    limit: _Limit = None,
    json: JsonOption = False,
) -> None:
    """List the runs of a namespace with their status."""
    with in_one_line(), open_store(url) as store:
        infos = store.host(user, namespace).runs.list(status, limit=limit)
        if json:
            for info in infos:
                print_json(_as_json(info))
            return
        rows = [
            (info.id, info.status, info.waiting_for or info.error or "", text_of(info.created_at)) for info in infos
        ]
        for line in lines_of(("run", "status", "waits for", "started"), rows) if rows else ["there are no runs"]:
            typer.echo(line)


@commands.command()
def show(
    id: _Id,
    url: UrlOption = None,
    *,
    user: UserOption,
    namespace: NamespaceOption = "default",
    limit: _Limit = None,
    json: JsonOption = False,
) -> None:
    """Show what the journal of a run says, from its end: every step with who, when, how long and how many bytes."""
    with in_one_line(), open_store(url) as store:
        runs = store.host(user, namespace).runs
        try:
            found = runs.history(id, limit=limit, reverse=True)
        except NoSuchRunError as error:
            fail(error.message, NOT_FOUND)
        info = runs.get(id)
        if json:
            print_json({**({} if info is None else _as_json(info)), "history": [_entry_as_json(one) for one in found]})
            return
        if info is not None:
            waits = f", waits for {info.waiting_for!r}" if info.waiting_for else ""
            typer.echo(printable(f"{info.id} is {info.status}{waits}"))
        rows = [
            (
                f"{one.number:,}",
                one.kind + (f" ({one.error})" if one.error else ""),
                one.name,
                one.agent,
                text_of(one.at),
                "" if one.seconds is None else f"{one.seconds:.3f}",
                f"{one.bytes:,}",
            )
            for one in found
        ]
        for line in lines_of(("entry>", "kind", "name", "by", "at", "seconds>", "bytes>"), rows) if rows else []:
            typer.echo(line)


@commands.command()
def cancel(id: _Id, url: UrlOption = None, *, user: UserOption, namespace: NamespaceOption = "default") -> None:
    """End a run, whoever works on it. Its worker is told at its next step."""
    _change("cancel", id, url, user, namespace)


@commands.command()
def retry(id: _Id, url: UrlOption = None, *, user: UserOption, namespace: NamespaceOption = "default") -> None:
    """Let a run go on that has failed or was cancelled: a worker that asks what is due is given it."""
    _change("retry", id, url, user, namespace)


def _change(call: Literal["cancel", "retry"], id: str, url: str | None, user: str, namespace: str) -> None:
    with in_one_line(), open_store(url, write=True) as store:
        runs = store.host(user, namespace).runs
        try:
            runs.cancel(id) if call == "cancel" else runs.retry(id)
        except NoSuchRunError as error:
            fail(error.message, NOT_FOUND)
        except RunOverError as error:
            fail(error.message)
        typer.echo(printable(f"cancelled {id}" if call == "cancel" else f"{id} goes on when a worker takes it"))


def _as_json(info: RunInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "status": info.status,
        "waitingFor": info.waiting_for,
        "until": None if info.until is None else text_of(info.until),
        "parent": info.parent,
        "error": info.error,
        "createdAt": text_of(info.created_at),
        "entries": info.entries,
    }


def _entry_as_json(entry: HistoryEntry) -> dict[str, Any]:
    return {**entry._asdict(), "at": text_of(entry.at)}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="runs")
