"""Pictures of what is stored, drawn here: how much, by whom, when, for how long; and what nobody reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import NamedTuple

from datastore.agent import AgentDataStore
from datastore.record import Record
from datastore.showing import number
from datastore.values import size_of
from datastore.viewer.listing import Slice, slice_of
from datastore.viewer.text import bytes_of
from datastore.viewer.visits import Page, Visit, said

_BARS = 20
_LOOKED_AT = 2_000
"""Records of a namespace that its pictures are made of: what a page costs is not what is there."""
_NAMESPACES, _OF_EACH = 20, 100
"""The same of a user: so many records of each of so many namespaces."""
_BYTES = 20_000_000
"""Nor are more records looked at once their values have so many bytes together."""
_POINTS = 60
_WIDTH, _HEIGHT = 100, 20


class Bar(NamedTuple):
    """A bar, with its name and what it stands for."""

    name: str
    said: str
    share: float
    """Of the longest bar, from 0 to 100."""


class Growth(NamedTuple):
    """How the records of a namespace became more: those that are there now, by when they were created."""

    namespace: str
    records: str
    size: str
    unread: str
    first: datetime
    last: datetime
    points: str
    """Of a line, in a picture of 100 by 20."""


class Sample:
    """The records that pictures are made of.

    Args:
        named: How many that nobody reads are named, of each namespace.
    """

    def __init__(self, named: int) -> None:
        self._named = named
        self.created = dict[str, list[datetime]]()
        self.sizes = Counter[str]()
        self.unread = Counter[str]()
        self.by_day = Counter[str]()
        self.written = Counter[str]()
        self.stored = Counter[str]()
        self.read = Counter[str]()
        self.expires = Counter[str]()
        self.nobody_reads: list[Record] = []
        self.records = 0

    def add(self, records: Iterable[Record]) -> None:
        """Look at records, until their values have too many bytes."""
        for one in records:
            size, writer = size_of(one.value), said(one.updated_by_agent)
            self.records += 1
            self.created.setdefault(one.namespace, []).append(one.created_at)
            self.sizes[one.namespace] += size
            self.by_day[f"{one.created_at:%Y-%m-%d}"] += 1
            self.written[writer] += 1
            self.stored[writer] += size
            self.expires["never" if one.expires_at is None else f"{one.expires_at:%Y-%m-%d}"] += 1
            if one.access_count:
                self.read[said(one.last_accessed_by_agent)] += one.access_count
            else:
                self.unread[one.namespace] += 1
                if self.unread[one.namespace] <= self._named:
                    self.nobody_reads.append(one)
            if self.sizes.total() > _BYTES:
                return

    def growth(self) -> list[Growth]:
        """Return the growth of each namespace, all over the same time."""
        times = [time for some in self.created.values() for time in some]
        return [
            Growth(
                name,
                f"{len(some):,}",
                bytes_of(self.sizes[name]),
                f"{self.unread[name]:,}",
                min(some),
                max(some),
                _line(sorted(some), min(times), max(times)),
            )
            for name, some in self.created.items()
        ]

    def drawn(self) -> dict[str, list[Bar]]:
        """Return the bars, by their titles."""
        return {
            "Created, by day": _in_order(self.by_day),
            "Changed last, by whom": _bars(self.written, _count),
            "Bytes, by who changed them last": _bars(self.stored, bytes_of),
            "Accesses, by who read last": _bars(self.read, _count),
            "Expires, by day": _in_order(self.expires),
        }


def sizes(visit: Visit) -> Page:
    """Show the largest namespaces of a user.

    Requests: those of `AgentDataStore.namespace_stats`: it looks at every record of the user.
    """
    user = visit.needed("user")
    stats = visit.agent(user).namespace_stats(visit.maybe("prefix"))
    largest = {one.namespace: one.bytes for one in stats}
    total = f"{number(sum(one.records for one in stats), 'record')}, {bytes_of(sum(largest.values()))}"
    about = {"user": user, "namespaces": number(len(stats), "namespace"), "total": total}
    return Page("sizes.html", {**about, "largest": _bars(largest, bytes_of)})


def pictures(visit: Visit) -> Page:
    """Show by whom, when and for how long the first records of a namespace are kept and read, or of several.

    Requests: of a namespace those of `AgentDataStore.iter_records` with a limit of 2,000; of a user those of
    `list_namespaces` with a limit of 22, and of `iter_records` with one of 100 in each of 20.
    """
    user, namespace = visit.needed("user"), visit.maybe("namespace")
    data_store, sample = visit.agent(user, namespace or "default"), Sample(_BARS if namespace else 1)
    if namespace is None:
        names, most = _page_of(visit, data_store), _OF_EACH
    else:
        names, most = Slice([namespace], None, None), _LOOKED_AT
    for name in names.items:
        if sample.sizes.total() <= _BYTES:
            sample.add(data_store.use_namespace(name).iter_records(limit=most))
    about = {"user": user, "namespace": namespace, "prefix": visit.one("prefix"), "names": names}
    made = {"growth": sample.growth(), "drawn": sample.drawn(), "nobody_reads": sample.nobody_reads}
    counts = {"looked_at": number(sample.records, "record"), "unread": number(sample.unread.total(), "record")}
    return Page(
        "pictures.html",
        {**about, **made, **counts, "most": most, "more": sample.records >= most or sample.sizes.total() > _BYTES},
    )


def _page_of(visit: Visit, data_store: AgentDataStore) -> Slice[str]:
    listing = partial(data_store.list_namespaces, visit.maybe("prefix"))
    return slice_of(listing, str, _NAMESPACES, after=visit.maybe("after"), before=visit.maybe("before"))


def _line(times: list[datetime], first: datetime, last: datetime) -> str:
    """Return the points of a line that rises with each of some times, which are in order."""
    span, count = (last - first).total_seconds() or 1.0, len(times)
    shown = sorted({round(place * (count - 1) / _POINTS) for place in range(_POINTS + 1)})
    points = [(_WIDTH * (times[at] - first).total_seconds() / span, _HEIGHT * (1 - (at + 1) / count)) for at in shown]
    all_points = [(points[0][0], _HEIGHT), *points, (_WIDTH, points[-1][1])]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in all_points)


def _count(count: int) -> str:
    return f"{count:,}"


def _bars(counts: Mapping[str, int], say: Callable[[int], str]) -> list[Bar]:
    """Return the longest bars, the longest first."""
    return _drawn(dict(sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_BARS]), say)


def _in_order(counts: Mapping[str, int]) -> list[Bar]:
    """Return the last bars in the order of their names."""
    return _drawn(dict(sorted(counts.items())[-_BARS:]), _count)


def _drawn(counts: Mapping[str, int], say: Callable[[int], str]) -> list[Bar]:
    longest = max(counts.values(), default=0) or 1
    return [Bar(name, say(count), round(100 * count / longest, 2)) for name, count in counts.items()]
