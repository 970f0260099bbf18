"""A hunt: runs over several backends for hours, on all cores, with a record from which it goes on after an end.

Each line of the record is a piece: so many seeds in a row on one backend. A run that goes wrong ends nothing. It is
made smaller, and its story is left in the folder, with a test of it.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import TypedDict

from tests.simulation.playing import BACKENDS, collect_seldom, draw, play, shrunk
from tests.simulation.written import write_test

PIECE = 100
"""How many runs a piece has."""
RECORD = "played.jsonl"
_PIECES_OF_A_WORKER = 50  # then another one takes its place, so that nothing grows for hours


class Piece(TypedDict):
    """Runs that were played."""

    backend: str
    seed: int
    """The first one's."""
    runs: int
    wrong: list[int]
    """The seeds of those that went wrong."""
    undecided: list[int]
    """The seeds of those whose history takes too long to judge."""
    seconds: float
    """The processor time that all of them took, without making smaller what went wrong."""


def played(folder: Path) -> list[Piece]:
    """Return what the record of a hunt has. The end of a line that was not written whole counts as not played."""
    record = folder / RECORD
    lines = record.read_text().splitlines(keepends=True) if record.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def hunt(folder: Path, backends: Sequence[str], seed: int, runs: int | None, processes: int) -> None:
    """Play what the record does not have yet. After an interrupt or SIGTERM, the pieces that were begun are the last.

    Args:
        folder: Where the record is, and what is found.
        backends: Which backends; their pieces take turns.
        seed: The first seed.
        runs: How many runs on each of them, in whole pieces; ``None`` for no end.
        processes: How many processes play.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = played(folder)
    record = folder / RECORD
    record.write_text("".join(json.dumps(piece) + "\n" for piece in before))
    has = {(piece["backend"], piece["seed"]) for piece in before}
    firsts = itertools.count(seed, PIECE) if runs is None else range(seed, seed + runs, PIECE)
    pieces = ((backend, first) for first in firsts for backend in backends if (backend, first) not in has)
    with (
        ProcessPoolExecutor(
            processes,
            multiprocessing.get_context("spawn"),
            signal.signal,
            (signal.SIGINT, signal.SIG_IGN),  # Ctrl-C goes to all of them, and only the first one decides
            max_tasks_per_child=_PIECES_OF_A_WORKER,
        ) as workers,
        record.open("a") as file,
    ):
        ends = threading.Event()
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, lambda *_: ends.set())
        open: set[Future[Piece]] = set()
        while True:
            more = 0 if ends.is_set() else processes - len(open)
            open |= {workers.submit(_play, folder, *piece) for piece in itertools.islice(pieces, more)}
            if not open:
                return
            ended, open = wait(open, return_when=FIRST_COMPLETED)
            for one in ended:
                file.write(json.dumps(one.result()) + "\n")
                file.flush()


def _play(folder: Path, backend: str, first: int) -> Piece:
    database = BACKENDS[backend]
    collect_seldom()
    piece = Piece(backend=backend, seed=first, runs=PIECE, wrong=[], undecided=[], seconds=0.0)
    for number in range(first, first + PIECE):
        began = time.process_time()
        found = ""
        try:
            one = play(draw(str(number), database), database)
            if one.undecided:
                piece["undecided"].append(number)
            piece["seconds"] += time.process_time() - began
            if one.wrong:
                small = shrunk(one, database)
                found = small.story()
                write_test(small, backend, folder)
        except Exception:  # noqa: BLE001 - it is written down, as any other thing that goes wrong
            found = traceback.format_exc()
        if found:
            piece["wrong"].append(number)
            (folder / f"{backend}_{number}.txt").write_text(f"{found}\n")
    return piece


def counts(folder: Path) -> Iterator[str]:
    """Yield what was played: a line for each backend, and one for all."""
    pieces = played(folder)
    for backend in (*sorted({piece["backend"] for piece in pieces}), ""):
        its = [piece for piece in pieces if backend in ("", piece["backend"])]
        runs = sum(piece["runs"] for piece in its)
        wrong = sorted(number for piece in its for number in piece["wrong"])
        undecided = sum(len(piece["undecided"]) for piece in its)
        speed = runs / max(sum(piece["seconds"] for piece in its), 1e-9)
        said = f"{len(wrong)} went wrong{': ' if backend and wrong else ''}"
        seeds = ", ".join(map(str, wrong)) if backend else ""
        yield f"{backend or 'all':<10} {runs:>9} runs, {speed:4.0f} per second, {undecided} undecided, {said}{seeds}"
