"""The commands that remove for good: purge, forget."""

from __future__ import annotations

from typing import Annotated

import typer

from datastore.cli.running import JsonOption, UrlOption, fail, in_one_line, open_store, print_json
from datastore.cli.show import printable
from datastore.showing import number


def purge(url: UrlOption = None, json: JsonOption = False) -> None:
    """Remove the expired records of all users. No agent can see them: this only reclaims space."""
    with in_one_line(), open_store(url, write=True) as store:
        purged = store.purge_expired()
        if json:
            print_json({"purged": purged})
        else:
            typer.echo(f"removed {number(purged, 'expired record')}")


def forget(
    user: Annotated[str, typer.Argument(metavar="USER", help="The user whose data to remove.")],
    url: UrlOption = None,
    confirm: Annotated[
        str | None, typer.Option(metavar="USER", help="The user id once more.", show_default="ask for it")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Remove everything that is stored for a user, in all namespaces. Only a backup can bring it back.

    This includes expired and damaged records and, with isolation=database, the
    user's database itself.
    """
    with in_one_line("interrupted; what is removed so far stays removed"), open_store(url, write=True) as store:
        if confirm is None:
            question = f"this removes everything of user {user!r}, in all namespaces; type the user id once more"
            confirm = typer.prompt(printable(question), default="", show_default=False, err=True)
        if confirm != user:
            fail(f"nothing was removed: {confirm!r} is not the user {user!r}")
        forgotten = store.forget(user)
        if json:
            print_json({"userId": user, "records": forgotten.records, "expired": forgotten.expired})
        else:
            typer.echo(f"removed {number(forgotten.records, 'record')}, and {forgotten.expired:,} expired")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (purge, forget):
        app.command()(command)
