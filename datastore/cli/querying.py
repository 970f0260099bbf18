"""The command ``query``: finds records by their content."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from datastore.agent import AgentDataStore
from datastore.cli.looking import LOOKER
from datastore.cli.running import (
    JsonOption,
    NamespaceOption,
    UrlOption,
    UserOption,
    filtered,
    in_one_line,
    open_store,
    print_json,
    warn,
)
from datastore.cli.show import printable
from datastore.typed import parse_object, record_json
from datastore.values import encode

_PAGE = 500


def query(
    filter: Annotated[str, typer.Argument(metavar="FILTER", help='JSON, such as \'{"price": {"$lt": 10}}\'.')] = "{}",
    url: UrlOption = None,
    *,
    user: UserOption,
    namespace: NamespaceOption = "default",
    meta: Annotated[
        str | None, typer.Option(metavar="FILTER", help="A filter on metadata and provenance, in JSON.")
    ] = None,
    sort: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Sort by this field; -PATH puts the greatest first.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Show at most N records.", show_default="all")
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Print only how many there are.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Print how the database would answer, as JSON.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the records of a namespace that match a filter, one per line. No access is counted."""
    if count and explain:
        raise typer.BadParameter("--count and --explain exclude each other")
    with in_one_line():
        wanted = parse_object("FILTER", filter)
        about = None if meta is None else parse_object("--meta", meta)
        order = [(path.removeprefix("-"), -1 if path.startswith("-") else 1) for path in sort or ()] or None
        with open_store(url) as store:
            data_store = store.agent(user, LOOKER, namespace)
            if count:
                number = data_store.count(wanted, meta=about)
                if json:
                    print_json({"count": number})
                else:
                    typer.echo(number)
                if not number:
                    _say_if_empty(data_store)
            elif explain:
                print_json(data_store.explain(wanted, meta=about, sort=order, limit=limit))
            else:
                _print(data_store, wanted, about, order, limit, json)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(query)


def _print(
    data_store: AgentDataStore,
    wanted: Any,
    about: Any,
    order: list[tuple[str, int]] | None,
    limit: int | None,
    json: bool,
) -> None:
    """Print page by page: a large answer then begins at once, and is never all in memory."""
    cursor, left = None, limit
    while True:
        at_once = _PAGE if left is None else min(_PAGE, left)
        page = data_store.find_records(wanted, meta=about, sort=order, limit=at_once, cursor=cursor)
        for record in page.records:
            if json:
                typer.echo(record_json(record))
            else:
                typer.echo(f"{printable(record.key)}  {printable(encode(record.value).strip())}")
        if cursor is None and page.cursor is None and not page.records:
            _say_if_empty(data_store)
        cursor = page.cursor
        left = None if left is None else left - len(page.records)
        if cursor is None or left == 0:
            return


def _say_if_empty(data_store: AgentDataStore) -> None:
    """Warn if the namespace is empty: there may be a typing error in its name."""
    if not data_store.count():
        warn(f"there are no records for {filtered(data_store.user_id, data_store.namespace)}")
