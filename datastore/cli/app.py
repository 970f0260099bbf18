"""The command ``datastore``: the demonstration, and the commands that the other modules of this package define."""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from datastore.cli import (
    conforming,
    doctor,
    frameworks,
    looking,
    mending,
    moving,
    querying,
    removing,
    runs,
    serving,
    tokens,
    tools,
    viewing,
)
from datastore.cli import demo as demonstration
from datastore.cli.files import find, project_name
from datastore.cli.meter import Meter
from datastore.cli.running import Group, fail, in_one_line, resolve
from datastore.cli.show import progress_bars, say, show
from datastore.connecting import DEFAULT_URL, URL_VARIABLE, connect
from datastore.showing import number
from datastore.urls import Url

app = typer.Typer(
    help="One persistent store for AI agents, on whichever database the host already runs.",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agent-datastore {version('agent-datastore')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    for stream in (sys.stdout, sys.stderr):  # a file name that cannot be printed must not end the command
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@app.command()
def demo(
    directory: Annotated[
        Path, typer.Argument(help="The agents read its text files.", show_default="the working directory")
    ] = Path(),
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="The store.", show_default=f"${URL_VARIABLE}, else {DEFAULT_URL}")
    ] = None,
    user: Annotated[str, typer.Option(metavar="ID", help="The user whose agents they are.")] = "demo",
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Names the namespaces files:NAME, summary:NAME and analysis:NAME.",
            show_default="the project in pyproject.toml, else the directory's name",
        ),
    ] = None,
) -> None:
    """Let three agents work on a directory and share what they learn through the store.

    The reader stores each text file. The summariser is told only the reader's
    namespace, and stores a summary of each file. The analyst finds the largest
    files and the most used definitions. All of it is kept: run the command again,
    and the agents remember.
    """
    with in_one_line("interrupted; what was stored so far is kept, and the next run continues from there"):
        _demo(Console(highlight=False), directory, resolve(url), user, name)


def _demo(console: Console, directory: Path, url: str, user: str, name: str | None) -> None:
    parsed = Url(url)
    path = Path(parsed.path.removeprefix("/"))
    file = path.resolve() if parsed.scheme == "sqlite" and not parsed.host and path.name else None
    try:
        found = find(directory, file)
    except OSError as error:
        fail(f"cannot read the directory {directory}: {error.strerror or error}")
    project = name or project_name(directory)
    meter = Meter()
    with connect(url) as store:
        with progress_bars(console) as progress:
            report = demonstration.run(store, user, project, directory, found, meter, progress)
        say(console, f"run {report.run:,} on {project}, as user {user}", "")
        show(console, report, meter.timings)
        persistent = store.capabilities.persistent
    say(console, "", *_conclusion(report, persistent, f"{parsed!r}", f", the file {file}" if file else ""))


def _conclusion(report: demonstration.Report, persistent: bool, url: str, file: str) -> list[str]:
    reading, summarising = report.reading, report.summarising
    lines = []
    if report.earlier is not None:
        lines.append(
            f"It remembered: {reading.unchanged:,} of {number(reading.files, 'file')} and {summarising.reused:,} of "
            f"{number(summarising.summaries, 'summary', 'summaries')} were cache hits. "
            f"Run {report.earlier['run']} was at {report.earlier['at']}."
        )
    if not reading.files:
        lines.append("There are no text files here; name a directory that has some: datastore demo DIRECTORY")
    if persistent:
        return [
            *lines,
            f"Everything is kept in {url}{file}.",
            "Run the same command again to see that it remembers.",
            f"See it on pages: datastore view {shlex.quote(url)}",
        ]
    return [*lines, f"{url} keeps nothing beyond this run; leave out --url to use a file."]


for group in (
    looking,
    querying,
    mending,
    removing,
    runs,
    serving,
    viewing,
    tokens,
    tools,
    moving,
    frameworks,
    doctor,
    conforming,
):
    group.register(app)
