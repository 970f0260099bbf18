"""The bar of a long command: how much is done, how fast, and how long it will take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from datastore.moving import OnProgress


@contextmanager
def progress_bar(what: str) -> Iterator[OnProgress]:
    """Show a bar on standard error while records are moved; show nothing if there is no terminal.

    Args:
        what: What is being done, such as ``"copying"``.
    """
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), _Done(), _Rate(), TimeRemainingColumn(compact=True)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        first: int | None = None

        def update(done: int, total: int | None) -> None:
            nonlocal first
            if first is None:  # the records of an earlier run must not count for the speed of this one
                first = done
                progress.reset(task, total=total, completed=done)
            progress.update(task, completed=done, total=None if total is None else max(total, done))

        yield update


class _Done(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f" of {task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{total}")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")
