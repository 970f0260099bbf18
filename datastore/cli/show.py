"""Prints the results of the demonstration as lines and tables. Nothing is computed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from datastore.cli import demo
from datastore.cli.meter import Timing
from datastore.showing import number


@contextmanager
def progress_bars(console: Console) -> Iterator[demo.Progress]:
    """Show a bar for each agent while it works; show nothing if there is no terminal."""
    if not console.is_terminal:
        yield lambda agent, done, total: None
        return
    columns = TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def update(agent: str, done: int, total: int) -> None:
            if agent not in tasks:
                tasks[agent] = progress.add_task(agent, total=total)
            progress.update(tasks[agent], completed=done, total=total)

        yield update


def show(console: Console, report: demo.Report, timings: Mapping[str, Timing]) -> None:
    """Print what the agents did, what the store holds now, and how long the calls took."""
    _agents(console, report)
    quote = console.width // 3
    analysis = report.analysis
    tables = [_holdings(report), _provenance(report), _largest(analysis, quote), _most_used(analysis, quote)]
    for table in [*tables, _calls(timings)]:
        if table.row_count:
            console.print()
            console.print(table)


def say(console: Console, *lines: str) -> None:
    """Print lines without markup, and with control characters made visible."""
    for line in lines:
        console.print(Text(printable(line)), soft_wrap=True)


def printable(text: str) -> str:
    """Return text with control characters, lone surrogates and the like replaced by escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _agents(console: Console, report: demo.Report) -> None:
    reading, summarising, analysis = report.reading, report.summarising, report.analysis
    files, summaries = number(reading.files, "file"), number(summarising.summaries, "summary", "summaries")
    say(
        console,
        f"reader      {files}, {number(reading.size, 'byte')}: {reading.new:,} new, {reading.changed:,} changed, "
        f"{reading.unchanged:,} unchanged, {reading.deleted:,} deleted",
        *(f"            left out {what}" for what in _left_out(reading)),
        f"summariser  {summaries}: {summarising.built:,} built, {summarising.reused:,} reused, "
        f"{summarising.deleted:,} deleted",
        f"analyst     {number(analysis.lines, 'line')}, {number(analysis.definitions, 'definition')}, "
        f"{number(analysis.headings, 'heading')}",
    )


def _left_out(reading: demo.Reading) -> list[str]:
    files, directories = reading.skipped_files, reading.skipped_directories
    found = (
        (number(files.total(), "file"), files),
        (number(directories.total(), "directory", "directories"), directories),
    )
    return [f"{what}: {_list(reasons)}" for what, reasons in found if reasons]


def _list(reasons: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())


def _holdings(report: demo.Report) -> Table:
    table = make_table("What the store holds", "namespace", "records>", "bytes of JSON>")
    for holding in report.holdings:
        add_row(table, holding.namespace, f"{holding.records:,}", f"{holding.size:,}")
    return table


def _provenance(report: demo.Report) -> Table:
    table = make_table(
        "Some records with their provenance", "record", "created by", "last read by", "reads>", "revision"
    )
    for holding in report.holdings:
        if holding.samples:
            table.add_section()
            add_row(table, holding.namespace)
        for record in holding.samples:
            who = record.created_by_agent, record.last_accessed_by_agent or "nobody"
            add_row(table, f"  {record.key}", *who, f"{record.access_count:,}", record.revision[:8])
    return table


def _largest(analysis: demo.Analysis, quote: int) -> Table:
    table = make_table("The largest files", "file", "bytes>", "lines>", "begins")
    for file in analysis.largest:
        add_row(table, file.key, f"{file.size:,}", f"{file.lines:,}", _shorten(file.beginning, quote))
    return table


def _most_used(analysis: demo.Analysis, quote: int) -> Table:
    table = make_table("The most used definitions", "name", "defined in", "used in files>", "as")
    for used in analysis.most_used:
        add_row(table, used.name, used.key, f"{used.files:,}", _shorten(used.definition, quote))
    return table


def _calls(timings: Mapping[str, Timing]) -> Table:
    table = make_table("Calls of the store in this run", "call", "calls>", "records>", "calls/s>", "records/s>")
    for name, timing in timings.items():
        seconds = timing.seconds or 1e-9
        records = (f"{timing.records:,}", f"{timing.records / seconds:,.0f}") if timing.records else ("", "")
        add_row(table, name, f"{timing.calls:,}", records[0], f"{timing.calls / seconds:,.0f}", records[1])
    return table


def make_table(title: str, *columns: str) -> Table:
    """Return an empty table; a column whose name ends with ``>`` is aligned to the right."""
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for name in columns:
        right = name.endswith(">")
        table.add_column(name.rstrip(">"), justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table


def add_row(table: Table, *cells: str) -> None:
    """Add a row of plain text."""
    table.add_row(*(Text(printable(cell)) for cell in cells))


def lines_of(heads: Sequence[str], rows: Sequence[Sequence[str]], last: Sequence[str] | None = None) -> Iterator[str]:
    """Yield a table as lines of text. They are never cut or wrapped: programs can read them one by one.

    Args:
        heads: The names of the columns; one whose name ends with ``>`` is aligned to the right.
        rows: The cells of each row.
        last: A row under a line at the end, such as the sums.
    """
    right = [head.endswith(">") for head in heads]
    table = [[printable(cell) for cell in row] for row in (*rows, *([last] if last else []))]
    named = [head.rstrip(">") for head in heads]
    widths = [max(map(cell_len, column)) for column in zip(named, *table, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = []
        for cell, width, to_the_right in zip(cells, widths, right, strict=True):
            space = " " * (width - cell_len(cell))
            padded.append(space + cell if to_the_right else cell + space)
        return "   ".join(padded).rstrip()

    rule = "-" * (sum(widths) + 3 * (len(widths) - 1))
    yield line(named)
    yield rule
    yield from map(line, table[: len(rows)])
    if last:
        yield rule
        yield line(table[-1])


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: max(length - 3, 1)]}..."
