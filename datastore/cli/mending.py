"""The commands that change records: set, rm."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from datastore.cli.looking import LOOKER
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
from datastore.cli.show import printable
from datastore.showing import number
from datastore.typed import parse_json, parse_object


def set(
    key: Annotated[str, typer.Argument(metavar="KEY")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="JSON; - reads it from standard input.")],
    url: UrlOption = None,
    *,
    user: UserOption,
    namespace: NamespaceOption = "default",
    text: Annotated[bool, typer.Option("--text", help="VALUE is plain text, not JSON.")] = False,
    metadata: Annotated[str | None, typer.Option(metavar="JSON", help="Merged with the record's metadata.")] = None,
    ttl: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Seconds until it expires.", show_default="never")
    ] = None,
    if_revision: Annotated[
        str | None, typer.Option(metavar="REVISION", help="Only if the record is at this revision.")
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Only if there is no such record.")] = False,
    agent: Annotated[str, typer.Option(metavar="NAME", help="The creator that a new record names.")] = LOOKER,
    json: JsonOption = False,
) -> None:
    """Store a value, and print the new revision."""
    with in_one_line():
        if add and if_revision is not None:
            raise typer.BadParameter("--add and --if-revision exclude each other")
        given = sys.stdin.read() if value == "-" else value
        parsed = given if text else parse_json("VALUE", given, "; for plain text, give --text")
        more = None if metadata is None else parse_object("--metadata", metadata)
        with open_store(url, create=True) as store:
            data_store = store.agent(user, agent, namespace)
            if add:
                revision = data_store.add(key, parsed, more, ttl=ttl)
            else:
                revision = data_store.set(key, parsed, more, ttl=ttl, if_revision=if_revision)
        if json:
            print_json({"userId": user, "namespace": namespace, "key": key, "revision": revision})
        else:
            typer.echo(revision)


def rm(
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY")] = None,
    url: UrlOption = None,
    *,
    user: UserOption,
    namespace: NamespaceOption = "default",
    prefix: Annotated[str | None, typer.Option(metavar="TEXT", help="All keys that begin with this.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All keys of the namespace.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Remove records. With --prefix or --all it asks first."""
    if bool(keys) + (prefix is not None) + everything != 1:
        raise typer.BadParameter("give KEYs, or --prefix, or --all")
    with in_one_line(), open_store(url, write=True) as store:
        data_store = store.agent(user, LOOKER, namespace)
        if keys:
            removed = data_store.delete_many(keys)
        else:
            what = f"the keys that begin with {prefix!r}" if prefix else "everything"
            if not yes:
                many = len(data_store.list_keys(prefix))
                question = f"remove {what} in namespace {namespace!r} of user {user!r}: {number(many, 'record')}?"
                typer.confirm(printable(question), abort=True)
            removed = data_store.clear(prefix)
        if json:
            print_json({"userId": user, "namespace": namespace, "removed": removed})
        else:
            typer.echo(f"removed {number(removed, 'record')}")
        missing = len(dict.fromkeys(keys or ())) - removed
        if keys and missing:
            fail(f"{missing:,} of the given keys had no record", NOT_FOUND)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (set, rm):
        app.command()(command)
