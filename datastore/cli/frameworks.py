"""The commands that move in from the files of agent frameworks: import-langgraph, import-openai-sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datastore.agent import AgentDataStore
from datastore.cli.looking import LOOKER
from datastore.cli.progress import progress_bar
from datastore.cli.running import (
    INCOMPLETE,
    JsonOption,
    NamespaceOption,
    UserOption,
    fail,
    in_one_line,
    open_store,
    print_json,
    resolve,
    shown,
)
from datastore.cli.show import printable
from datastore.moving import OnProgress
from datastore.showing import number

if TYPE_CHECKING:
    from datastore.bridges.importing import Imported

_ON = "interrupted; what is there stays, and the next run goes on from there"
_SHOWN = 20

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The SQLite file of the framework. It is only read.")
]
UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="The store.")]
AgentOption = Annotated[str, typer.Option(metavar="NAME", help="The creator that new records name.")]


def import_langgraph_command(
    file: FileArgument,
    url: UrlArgument,
    *,
    user: UserOption,
    namespace: NamespaceOption = "default",
    agent: AgentOption = LOOKER,
    json: JsonOption = False,
) -> None:
    """Move in from a file of LangGraph: the threads of SqliteSaver, the items of SqliteStore.

    The namespace is that of the agent whose store the DataStoreSaver, or the
    DataStoreStore, is made from. All is read back and compared. The command can
    be interrupted and repeated.
    """
    with in_one_line(_ON):
        from datastore.bridges import importing, langgraph_checkpoints, langgraph_importing, langgraph_items

        with importing.opened(file) as source:
            there = {name for name in ("checkpoints", "store") if importing.columns(source, name)}
        if not there:
            fail("there is neither a table of SqliteSaver nor one of SqliteStore in the file")
        moves: dict[str, Callable[[AgentDataStore, OnProgress], Imported]] = {
            "checkpoints": lambda data_store, on_progress: langgraph_importing.import_checkpoints(
                file, langgraph_checkpoints.DataStoreSaver(data_store), on_progress=on_progress
            ),
            "store": lambda data_store, on_progress: langgraph_items.import_items(
                file, data_store, on_progress=on_progress
            ),
        }
        _run(file, url, user, namespace, agent, json, [moves[name] for name in sorted(there)])


def import_openai_sessions_command(
    file: FileArgument,
    url: UrlArgument,
    *,
    user: UserOption,
    namespace: NamespaceOption = "default",
    table: Annotated[
        str, typer.Option(metavar="NAME", help="What SQLiteSession was given as messages_table.")
    ] = "agent_messages",
    agent: AgentOption = LOOKER,
    json: JsonOption = False,
) -> None:
    """Move in all sessions from a file of the OpenAI Agents SDK's SQLiteSession.

    All is read back and compared. The command can be interrupted and repeated;
    run it before the sessions are used here.
    """
    with in_one_line(_ON):
        from datastore.bridges import openai_importing

        def move(data_store: AgentDataStore, on_progress: OnProgress) -> Imported:
            importing = openai_importing.import_sessions(
                file, data_store, messages_table=table, on_progress=on_progress
            )
            return asyncio.run(importing)

        _run(file, url, user, namespace, agent, json, [move])


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("import-langgraph")(import_langgraph_command)
    app.command("import-openai-sessions")(import_openai_sessions_command)


def _run(
    file: Path,
    url: str,
    user: str,
    namespace: str,
    agent: str,
    json: bool,
    moves: list[Callable[[AgentDataStore, OnProgress], Imported]],
) -> None:
    """Move in, say what was done, and exit with 3 if not everything is there."""
    text, began = resolve(url), time.monotonic()
    with open_store(text, create=True) as store:
        data_store = store.agent(user, agent, namespace)
        done = []
        for move in moves:
            with progress_bar("importing") as on_progress:
                done.append(move(data_store, on_progress))
    seconds = time.monotonic() - began
    if json:
        parts = [one.as_json() for one in done]
        print_json({"source": str(file), "sink": shown(text), "imported": parts, "seconds": round(seconds, 3)})
    else:
        for line in [f"{file} -> {shown(text)}", *(line for one in done for line in _lines(one))]:
            typer.echo(printable(line))
    if problems := sum(sum(one.counts.values()) for one in done):
        fail(f"not everything is there as in the file: {number(problems, 'problem')}", INCOMPLETE)


def _lines(done: Imported) -> list[str]:
    lines = [f"{done.what}:"]
    for name, count, remark in (
        ("read", done.read, ""),
        ("written", done.written, f"{done.replaced:,} replaced older ones" if done.replaced else ""),
        ("unchanged", done.unchanged, "there already"),
        ("kept", done.kept, "newer in the store"),
        ("expired", done.expired, "left out"),
        ("verified", done.verified, "read back and found equal"),
        *((kind, count, "") for kind, count in done.counts.items()),
    ):
        if count or name in ("read", "written"):
            lines.append(f"{name:<10}{count:>12,}{'  ' + remark if remark else ''}")
    lines += [f"{problem.kind:<10}  {problem.where}: {problem.text}" for problem in done.problems[:_SHOWN]]
    more = sum(done.counts.values()) - _SHOWN
    if more > 0:
        lines.append(f"... and {more:,} more; --json shows 200 of each kind")
    return lines
