"""Pictures of what is stored, drawn here: how much, by whom, when, for how long; and what nobody reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from datastore.showing import number
from datastore.viewer.text import bytes_of
from datastore.viewer.visits import Page, Visit, said

_BARS = 20
_LOOKED_AT = 2_000
"""Records of a namespace that its pictures are made of: what a page costs is not what is there."""


class Bar(NamedTuple):
    """A bar, with its name and what it stands for."""

    name: str
    said: str
    share: float
    """Of the longest bar, from 0 to 100."""


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
    """Show by whom, when and for how long the first records of a namespace are kept and read.

    Requests: those of `AgentDataStore.iter_records` with a limit of 2,000.
    """
    user, namespace = visit.needed("user"), visit.needed("namespace")
    created, written, read = Counter[str](), Counter[str](), Counter[str]()
    expires, unread, looked_at = Counter[str](), 0, 0
    for one in visit.agent(user, namespace).iter_records(limit=_LOOKED_AT):
        looked_at += 1
        created[f"{one.created_at:%Y-%m-%d}"] += 1
        written[said(one.updated_by_agent)] += 1
        if one.access_count:
            read[said(one.last_accessed_by_agent)] += one.access_count
        else:
            unread += 1
        expires["never" if one.expires_at is None else f"{one.expires_at:%Y-%m-%d}"] += 1
    drawn = {
        "Created, by day": _in_order(created),
        "Changed last, by whom": _bars(written, _count),
        "Accesses, by who read last": _bars(read, _count),
        "Expires, by day": _in_order(expires),
    }
    about = {"user": user, "namespace": namespace, "drawn": drawn, "looked_at": number(looked_at, "record")}
    return Page("pictures.html", {**about, "more": looked_at == _LOOKED_AT, "unread": number(unread, "record")})


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
