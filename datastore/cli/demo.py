"""The demonstration: three agents that learn of each other's work only from the store.

The reader stores the files of a directory in one namespace. The summariser is given that namespace and nothing else,
and stores a summary of each file in a second one. The analyst draws its conclusions from the summaries. On the next
run each agent finds what is there already and works only on what is new.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from datastore.agent import AgentDataStore
from datastore.cli.files import Found, Unsuitable, load
from datastore.cli.meter import Meter, one
from datastore.cli.summaries import FORMAT, summarise
from datastore.store import DataStore
from datastore.values import encode

if TYPE_CHECKING:
    from datastore.record import Record

READER, SUMMARISER, ANALYST = "reader", "summariser", "analyst"
TOP = 5
"""How many of the largest files and of the most used definitions the analyst looks for."""

_BATCH = 500  # records in one call
_BATCH_BYTES = 4_000_000  # bytes of files that wait to be stored
_SUMMARY_BATCH = 100  # records whose texts are in memory at once; each may be a megabyte
_LONGEST_LOG = 1_000
_SAMPLES = 3

Progress: TypeAlias = Callable[[str, int, int], None]
"""A function that is called with an agent's name, how many records it has done, and how many it has to do."""


@dataclass(slots=True)
class Reading:
    """What the reader did."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    size: int = 0
    skipped_files: Counter[str] = field(default_factory=Counter)
    skipped_directories: Counter[str] = field(default_factory=Counter)

    @property
    def files(self) -> int:
        """How many files it read."""
        return self.new + self.changed + self.unchanged


@dataclass(slots=True)
class Summarising:
    """What the summariser did."""

    built: int = 0
    reused: int = 0
    deleted: int = 0

    @property
    def summaries(self) -> int:
        """How many summaries there are now."""
        return self.built + self.reused


class Largest(NamedTuple):
    """One of the largest files, and its first line with a word in it."""

    key: str
    lines: int
    size: int
    beginning: str


class MostUsed(NamedTuple):
    """A definition in one file that others use."""

    name: str
    key: str
    files: int
    definition: str


@dataclass(slots=True)
class Analysis:
    """What the analyst found."""

    lines: int = 0
    definitions: int = 0
    headings: int = 0
    largest: list[Largest] = field(default_factory=list)
    most_used: list[MostUsed] = field(default_factory=list)


@dataclass(slots=True)
class Holding:
    """How much a namespace holds."""

    namespace: str
    records: int = 0
    size: int = 0
    samples: list[Record] = field(default_factory=list)
    """The records that were read most often."""


@dataclass(slots=True)
class Report:
    """What a whole run did."""

    run: int
    earlier: dict[str, Any] | None
    """The entry of the previous run in the log."""
    reading: Reading
    summarising: Summarising
    analysis: Analysis
    holdings: list[Holding]


def run(
    store: DataStore, user: str, project: str, root: Path, found: Found, meter: Meter, progress: Progress
) -> Report:
    """Let the three agents work, one after the other, and look at what they have stored.

    Args:
        store: The store that they share.
        user: The user whose agents they are.
        project: Names their namespaces: ``files:<project>``, ``summary:<project>`` and ``analysis:<project>``.
        root: The directory.
        found: The files in it.
        meter: Measures the calls.
        progress: Called with the progress of each agent.
    """
    files, summaries, analyses = (f"{kind}:{project}" for kind in ("files", "summary", "analysis"))
    analyst = store.agent(user, ANALYST, analyses)
    earlier: list[dict[str, Any]] = meter.timed(bool, analyst.get, "log", [])
    number = int(meter.timed(one, analyst.increment, "runs"))
    reading = read(store.agent(user, READER, files), root, found, number, meter, progress)
    summarising = make_summaries(store.agent(user, SUMMARISER), files, summaries, meter, progress)
    analysis = analyse(analyst, files, summaries, meter, progress)
    log = meter.timed(
        one,
        analyst.append,
        "log",
        {
            "run": number,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "files": reading.files,
            "files unchanged": reading.unchanged,
            "summaries reused": summarising.reused,
        },
    )
    if len(log) > _LONGEST_LOG:
        meter.timed(one, analyst.modify, "log", lambda entries: entries[-_LONGEST_LOG:])
    meter.timed(lambda _: 0, store.flush)
    host = store.agent(user, "demo")
    holdings = [look(host.use_namespace(namespace), meter) for namespace in (files, summaries, analyses)]
    return Report(number, earlier[-1] if earlier else None, reading, summarising, analysis, holdings)


# ------------------------------------------------------------------------------------------------------- the reader


def read(files: AgentDataStore, root: Path, found: Found, run: int, meter: Meter, progress: Progress) -> Reading:
    """Bring a namespace up to date with the files of a directory, one record per file."""
    reading = Reading(skipped_files=found.skipped_files.copy(), skipped_directories=found.skipped_directories)
    known = {record.key: _digest(record.value) for record in meter.streamed(files.iter_records)}
    gone = set(known)
    waiting: dict[str, Any] = {}
    waiting_size = 0
    for number, key in enumerate(found.keys, 1):
        progress(READER, number, len(found.keys))
        try:
            file = load(root, key)
        except Unsuitable as unsuitable:
            reading.skipped_files[str(unsuitable)] += 1
            continue
        gone.discard(key)
        reading.size += file.size
        if known.get(key) == file.sha256:
            reading.unchanged += 1
            continue
        reading.changed += key in known
        reading.new += key not in known
        waiting[key] = file.value()
        waiting_size += file.size
        if len(waiting) == _BATCH or waiting_size > _BATCH_BYTES:
            meter.timed(int, files.set_many, waiting, {"run": run})
            waiting, waiting_size = {}, 0
    if waiting:
        meter.timed(int, files.set_many, waiting, {"run": run})
    reading.deleted = _delete(files, gone, meter)
    return reading


# --------------------------------------------------------------------------------------------------- the summariser


def make_summaries(me: AgentDataStore, source: str, target: str, meter: Meter, progress: Progress) -> Summarising:
    """Bring one namespace up to date with another: a summary for each file, under the same key."""
    files, summaries = me.use_namespace(source), me.use_namespace(target)
    result = Summarising()
    keys = meter.timed(len, files.list_keys)
    for done, batch in _batches(keys, _SUMMARY_BATCH):
        known = meter.timed(len, summaries.get_many, batch)
        new = {}
        for key, file in meter.timed(len, files.get_many, batch).items():
            if _is_current(known.get(key), file):
                result.reused += 1
            else:
                about = {name: file[name] for name in ("language", "size", "sha256")}
                new[key] = about | summarise(file["text"], file["language"])
        if new:
            result.built += meter.timed(int, summaries.set_many, new)
        progress(SUMMARISER, done, len(keys))
    summarised = meter.timed(len, summaries.list_keys)
    result.deleted = _delete(summaries, set(summarised).difference(keys), meter)
    return result


def _is_current(summary: Any, file: Any) -> bool:
    return isinstance(summary, dict) and summary.get("format") == FORMAT and _digest(summary) == _digest(file)


# ------------------------------------------------------------------------------------------------------ the analyst


def analyse(me: AgentDataStore, source: str, target: str, meter: Meter, progress: Progress) -> Analysis:
    """Find the largest files, and what most other files use, from the summaries; quote them from the files."""
    files, summaries = me.use_namespace(source), me.use_namespace(target)
    result = Analysis()
    sizes: list[tuple[int, int, str]] = []
    names = _Names()
    keys = meter.timed(len, summaries.list_keys)
    for done, batch in _batches(keys, _BATCH):
        for key, summary in meter.timed(len, summaries.get_many, batch).items():
            result.lines += summary["lines"]
            result.definitions += len(summary["definitions"])
            result.headings += len(summary["headings"])
            sizes.append((summary["size"], summary["lines"], key))
            names.add(key, summary)
        progress(ANALYST, done, len(keys))
    # There are only a few, so they are read one by one: the run then has single calls to measure as well.
    for size, lines, key in heapq.nlargest(TOP, sizes):
        text = meter.timed(one, files.get, key, {"text": ""})["text"]
        result.largest.append(Largest(key, lines, size, _quote(text, 1)))
    for used_in, name, key, line in names.most_used(TOP):
        text = meter.timed(one, files.get, key, {"text": ""})["text"]
        result.most_used.append(MostUsed(name, key, used_in, _quote(text, line)))
    meter.timed(one, me.set, "totals", {"files": len(keys), "lines": result.lines, "definitions": result.definitions})
    largest = [file._asdict() for file in result.largest]
    most_used = [used._asdict() for used in result.most_used]
    meter.timed(int, me.set_many, {"largest": largest, "most used": most_used})
    return result


class _Names:
    """Which file defines a name, and how many other files of the same language use it."""

    def __init__(self) -> None:
        self._defined: dict[tuple[str, str], tuple[str, int]] = {}
        self._ambiguous: set[tuple[str, str]] = set()
        self._used: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)  # with the module that it came from

    def add(self, key: str, summary: dict[str, Any]) -> None:
        language = summary["language"]
        own = {definition["name"]: definition["line"] for definition in summary["definitions"]}
        for name, line in own.items():
            if self._defined.setdefault((language, name), (key, line))[0] != key:
                self._ambiguous.add((language, name))
        for use in summary["uses"]:
            module, _, name = use.rpartition(".")
            if name not in own:
                self._used[language, name][module] += 1

    def most_used(self, number: int) -> list[tuple[int, str, str, int]]:
        """Return the most used of the names that only one file defines: number of users, name, key and line."""
        clear = self._defined.keys() & self._used.keys() - self._ambiguous
        best = heapq.nsmallest(number, ((-used_in, name) for name in clear if (used_in := self._users(name))))
        return [(-used_in, name[1], *self._defined[name]) for used_in, name in best]

    def _users(self, name: tuple[str, str]) -> int:
        key, _ = self._defined[name]
        places = PurePosixPath(key).with_suffix("").parts  # a module is known by its file, a package by its directory
        return sum(number for module, number in self._used[name].items() if not module or module in places)


def _quote(text: str, line: int) -> str:
    """Return a line of a text, or the next line that has a letter or a digit in it."""
    candidates = (candidate.strip() for candidate in text.split("\n")[line - 1 :])
    return next((candidate for candidate in candidates if any(map(str.isalnum, candidate))), "")[:100]


# -------------------------------------------------------------------------------------------------- what is there now


def look(store: AgentDataStore, meter: Meter) -> Holding:
    """Return how much a namespace holds, and the records read most often. Looking is not an access."""
    holding = Holding(store.namespace)
    for record in meter.streamed(store.iter_records):
        holding.records += 1
        holding.size += len(encode(record.value).encode())
        holding.samples.append(record)
        if len(holding.samples) > _SAMPLES:
            holding.samples.sort(key=lambda sample: (-sample.access_count, sample.key))
            del holding.samples[_SAMPLES:]
    return holding


def _batches(keys: Sequence[str], size: int) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the keys in batches, each with the number of keys that are done after it."""
    for start in range(0, len(keys), size):
        batch = keys[start : start + size]
        yield start + len(batch), batch


def _delete(store: AgentDataStore, keys: set[str], meter: Meter) -> int:
    return meter.timed(int, store.delete_many, sorted(keys)) if keys else 0


def _digest(value: Any) -> str | None:
    return value.get("sha256") if isinstance(value, dict) else None
