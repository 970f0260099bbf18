"""The commands that only look: namespaces, ls, get, stats. No access is counted."""

from __future__ import annotations

import json as json_text
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datastore.backend import Document, Fields
from datastore.cli.progress import progress_bar
from datastore.cli.running import (
    NOT_FOUND,
    AnyNamespaceOption,
    AnyUserOption,
    JsonOption,
    NamespaceOption,
    UrlOption,
    UserOption,
    fail,
    filtered,
    in_one_line,
    open_store,
    print_json,
    warn,
)
from datastore.cli.show import lines_of, printable
from datastore.documents import skip
from datastore.ids import decode_id, encode_id, is_id, is_system
from datastore.moving.pages import LivePage, pages, total
from datastore.store import DataStore
from datastore.typed import record_json
from datastore.values import encode

if TYPE_CHECKING:
    from datastore.record import Record

LOOKER = "administrator"
"""The name of the agent that these commands use; commands that only look do not store it."""


@dataclass(slots=True)
class Holding:
    """How much one namespace of one user holds."""

    records: int = 0
    bytes: int = 0
    agents: set[str] = field(default_factory=set)
    updated_at: str = ""


def namespaces(url: UrlOption = None, user: AnyUserOption = None, json: JsonOption = False) -> None:
    """List the namespaces of one user or of all, with the number of records in each."""
    with in_one_line(), open_store(url) as store:
        counts = _counts(store, user)
        if json:
            for (user_id, namespace), records in sorted(counts.items()):
                print_json({"userId": user_id, "namespace": namespace, "records": records})
        else:
            rows = [(user_id, name, f"{records:,}") for (user_id, name), records in sorted(counts.items())]
            _print(("user", "namespace", "records>"), rows)
        _warn_if_none(counts, user, None)


def id_command(
    names: Annotated[
        list[str], typer.Argument(metavar="USER NAMESPACE KEY", help="A record's names; or its id, for the way back.")
    ],
    json: JsonOption = False,
) -> None:
    """Show under which id a record is stored, to find it in the database's own console.

    With one argument, an id, show the user, the namespace and the key that it
    stands for. No store is opened.
    """
    with in_one_line():
        if len(names) == 1 and is_id(names[0]):
            name = decode_id(names[0])
            if json:
                print_json({"userId": name.user_id, "namespace": name.namespace, "key": name.key})
            else:
                _print(("user", "namespace", "key"), [tuple(name)])
        elif len(names) == 3:
            id = encode_id(*names)
            print_json({"id": id}) if json else typer.echo(printable(id))
        else:
            raise typer.BadParameter("give a user, a namespace and a key, or one id as the database holds it")


def ls(
    prefix: Annotated[str | None, typer.Argument(metavar="PREFIX", help="What the keys begin with.")] = None,
    url: UrlOption = None,
    *,
    user: UserOption,
    namespace: NamespaceOption = "default",
    start: Annotated[str | None, typer.Option(metavar="KEY", help="Only keys from this one on.")] = None,
    end: Annotated[str | None, typer.Option(metavar="KEY", help="Only keys before this one.")] = None,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="From the last key to the first.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many.", show_default="all")] = None,
    long: Annotated[bool, typer.Option("--long", "-l", help="With the last change, size and creator.")] = False,
    json: JsonOption = False,
) -> None:
    """List the keys of a namespace, in order.

    With --long or --json, more of each record is shown than its key.
    """
    asked: dict[str, Any] = {"start": start, "end": end, "reverse": reverse, "limit": limit}
    with in_one_line(), open_store(url) as store:
        agent = store.agent(user, LOOKER, namespace)
        if not (long or json):
            keys = agent.list_keys(prefix, **asked)
            for key in keys:
                typer.echo(printable(key))
            _warn_if_none(keys, user, namespace, prefix)
            return
        found = False
        for record in agent.iter_records(prefix, **asked):
            found = True
            size = len(encode(record.value).strip().encode())
            if json:
                print_json({**record.model_dump(mode="json", exclude={"value"}), "bytes": size})
            else:
                when = f"{record.updated_at:%Y-%m-%d %H:%M:%S}"
                typer.echo(f"{when}  {size:>9,}  {printable(record.created_by_agent):<16}  {printable(record.key)}")
        _warn_if_none(found, user, namespace, prefix)


def get(
    key: Annotated[str, typer.Argument(metavar="KEY")],
    url: UrlOption = None,
    *,
    user: UserOption,
    namespace: NamespaceOption = "default",
    value: Annotated[bool, typer.Option("--value", help="Print the value alone, as JSON on one line.")] = False,
    json: JsonOption = False,
) -> None:
    """Show one record: its value, who created it and who read it last, and when."""
    with in_one_line(), open_store(url) as store:
        record = store.agent(user, LOOKER, namespace).get_record(key)
        if record is None:
            fail(f"there is no record {key!r} in namespace {namespace!r} of user {user!r}", NOT_FOUND)
        if value:
            typer.echo(encode(record.value).strip())
        elif json:
            typer.echo(record_json(record))
        else:
            _show(record)


def stats(
    url: UrlOption = None, user: AnyUserOption = None, namespace: AnyNamespaceOption = None, json: JsonOption = False
) -> None:
    """Count records, bytes and agents by user and namespace. Reads everything."""
    with in_one_line(), open_store(url) as store:
        holdings = _holdings(store, user, namespace)
        records, size = (sum(getattr(one, name) for one in holdings.values()) for name in ("records", "bytes"))
        if json:
            listed = [
                {"userId": user_id, "namespace": name, "records": one.records, "bytes": one.bytes}
                | {"agents": sorted(one.agents), "updatedAt": one.updated_at}
                for (user_id, name), one in sorted(holdings.items())
            ]
            users = len({user_id for user_id, _ in holdings})
            print_json({"records": records, "bytes": size, "users": users, "namespaces": listed})
        else:
            rows = []
            for (user_id, name), one in sorted(holdings.items()):
                agents = ", ".join(sorted(one.agents)[:4]) + (", ..." if len(one.agents) > 4 else "")
                rows.append((user_id, name, f"{one.records:,}", f"{one.bytes:,}", one.updated_at[:19], agents))
            heads = ("user", "namespace", "records>", "bytes of JSON>", "last change", "agents")
            _print(heads, rows, ("all", "", f"{records:,}", f"{size:,}", "", ""))
        _warn_if_none(holdings, user, namespace)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (namespaces, ls, get, stats):
        app.command()(command)
    app.command("id")(id_command)


def _counts(store: DataStore, user: str | None) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    if user is not None:
        agent = store.agent(user, LOOKER)
        return {(user, name): agent.use_namespace(name).count() for name in agent.list_namespaces()}
    done, expected = 0, total(store, None, None)
    with progress_bar("reading") as on_progress:
        for page in pages(store, fields=Fields.KEY):
            for _, user_id, name in _records(page):
                counts[user_id, name] += 1
            for error in page.damaged:
                skip(error)
            done += page.scanned
            on_progress(done, expected)
    return counts


def _holdings(store: DataStore, user: str | None, namespace: str | None) -> dict[tuple[str, str], Holding]:
    holdings: dict[tuple[str, str], Holding] = defaultdict(Holding)
    done, expected = 0, total(store, user, namespace)
    with progress_bar("reading") as on_progress:
        for page in pages(store, user, namespace):
            for document, user_id, name in _records(page):
                one = holdings[user_id, name]
                one.records += 1
                one.bytes += len(encode(document.value).strip().encode())
                one.agents.add(document.created_by_agent)
                one.updated_at = max(one.updated_at, document.updated_at)
            for error in page.damaged:
                skip(error)
            done += page.scanned
            on_progress(done, expected)
    return holdings


def _records(page: LivePage) -> Iterator[tuple[Document, str, str]]:
    """Yield each record with its user and namespace: not what lies beside them, as blobs, logs, runs and vectors do."""
    for document, (user_id, namespace, _) in zip(page.documents, page.names, strict=True):
        if not is_system(document.id):
            yield document, user_id, namespace


def _show(record: Record) -> None:
    try:
        value = json_text.dumps(record.value, ensure_ascii=False, indent=2)
    except ValueError:  # an integer with more digits than the interpreter is set to convert
        value = encode(record.value).strip()
    typer.echo("\n".join(map(printable, value.splitlines())))
    typer.echo()
    read = f"{record.access_count:,} times"
    if record.last_accessed_at is not None:
        read += f", last by {record.last_accessed_by_agent} at {record.last_accessed_at:%Y-%m-%d %H:%M:%S}"
    facts = {
        "id": record.id,
        "metadata": json_text.dumps(record.metadata, ensure_ascii=False),
        "created": f"by {record.created_by_agent} at {record.created_at:%Y-%m-%d %H:%M:%S}",
        "updated": f"at {record.updated_at:%Y-%m-%d %H:%M:%S}",
        "read": read,
        "revision": record.revision,
        "expires": f"at {record.expires_at:%Y-%m-%d %H:%M:%S}" if record.expires_at else "never",
    }
    for name, fact in facts.items():
        typer.echo(f"{name:<10}{printable(fact)}")


def _print(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], last: tuple[str, ...] | None = None) -> None:
    """Print a table, or say that it is empty. A row is never wrapped or cut, however narrow the terminal is."""
    if not rows:
        typer.echo("there are no records")
        return
    for line in lines_of(heads, rows, last):
        typer.echo(line)


def _warn_if_none(found: object, user: str | None, namespace: str | None, prefix: str | None = None) -> None:
    """Warn that the filters matched nothing: there may be a typing error in them."""
    chosen = filtered(user, namespace) + (f" and keys that begin with {prefix!r}" if prefix else "")
    if not found and chosen:
        warn(f"there are no records for {chosen}")
