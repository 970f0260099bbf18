"""Whether the database is well: what `datastore doctor` says of it, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from datastore.administration import Diagnostic
from datastore.examining import examine, milliseconds
from datastore.store import DataStore
from datastore.viewer.visits import Page, Visit

_FINDINGS = 200


def doctor(visit: Visit) -> Page:
    """Show what the database says of itself; and of every record, if that is asked for.

    Requests: those of `DataStore.health` and of `examine`.
    """
    return _page(visit, records=bool(visit.one("records")))


def tried(visit: Visit) -> Page:
    """Try what agents do, with records of a user of its own, and show what the database says of itself.

    Requests: those of `DataStore.health`, and of `examine` with trials.
    """
    return _page(visit, trials=True)


def _page(visit: Visit, *, trials: bool = False, records: bool = False) -> Page:
    found = list(islice(_findings(visit.store, trials, records), _FINDINGS + 1))
    about = {"findings": found[:_FINDINGS], "more": len(found) > _FINDINGS, "tried": trials, "records": records}
    return Page("doctor.html", about)


def _findings(store: DataStore, trials: bool, records: bool) -> Iterator[Diagnostic]:
    health = store.health()
    if health.latency is None:
        yield Diagnostic(False, f"the database does not answer: {health.error}", "see the page about troubleshooting")
        return
    yield Diagnostic(True, f"{health.backend} answers in {milliseconds(health.latency)}")
    yield from examine(store, trials=trials, records=records)
