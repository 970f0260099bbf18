"""Leases whose holder is another process: one that a server serves, and that has no way to the database of its own.

Taking such a lease returns its number and a **handle**: 128 random bits, of which the record keeps the SHA-256. Whoever
has the handle holds the lease. So a holder can renew it, end it, and write under it through any process that serves the
store, also after a restart. Nobody else can, not even an agent of the same name; and the number that a write carries
is that of the record, whatever a client says.

A process remembers what it has recorded (`Core.lent`), so that a write under a lease makes no request more. What it
remembers decides nothing: the database checks the number of each write, and the revision of each renewal.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Any, NamedTuple, TypeVar

from datastore.arguments import as_int, check_text, is_a
from datastore.backend import Document, Fields
from datastore.calls.leases import asked, fence_of, last_of, put_for, record_of, take_here
from datastore.errors import DataStoreError, InvalidValueError, LeaseHeldError, LeaseLostError
from datastore.fences import lease_over
from datastore.fencing import FencedCore
from datastore.holding import Holding
from datastore.scope import Bound, Moment, Scope, scope_of
from datastore.times import format_time

S = TypeVar("S", bound=Bound)

MOST_AT_ONCE = 1_000
"""The most leases that are renewed or ended in one call."""
RUNS = "runs"
"""The area of the leases of runs."""
MOST_UNDER = 8
"""The most leases that one write can be made under."""
_REMEMBERED = 10_000
_FIELDS = frozenset({"namespace", "name", "number", "handle"})


class Taken(NamedTuple):
    """What a holder is told of its lease."""

    number: int
    handle: str


class Claim(NamedTuple):
    """What a holder says of its lease."""

    namespace: str
    name: str
    number: int
    handle: str
    area: str | None = None
    """In which area of the namespace it lies (`datastore.ids.AREAS`); ``None`` for one of `AgentDataStore.lease`."""

    def place(self, scope: Scope) -> Scope:
        """Return where it is recorded."""
        home = scope if self.namespace == scope.namespace else scope.within(self.namespace)
        return home if self.area is None else home.area(self.area)


def claims_of(leases: Any, most: int) -> list[Claim]:
    """Return what a holder says of its leases.

    Raises:
        InvalidValueError: If it is not an array of such objects, or there are too many.
    """
    if not is_a(leases, list) or len(leases) > most:
        raise InvalidValueError(f"leases must be an array of up to {most:,} leases")
    return [_claim(one, place) for place, one in enumerate(leases)]


def _claim(told: Any, place: int) -> Claim:
    if not is_a(told, dict) or told.keys() - {"area"} != _FIELDS:
        raise InvalidValueError(f"leases[{place}] must be an object with namespace, name, number and handle")
    if (area := told.get("area")) not in (None, RUNS):
        raise InvalidValueError(f"leases[{place}].area must be {RUNS!r} for the lease of a run, or left out")
    texts = [
        check_text(told[name], f"leases[{place}].{name}", "give what the lease was taken with")
        for name in ("namespace", "name", "handle")
    ]
    if (number := as_int(told["number"])) is None:
        raise InvalidValueError(f"leases[{place}].number must be an integer")
    return Claim(texts[0], texts[1], number, texts[2], area)


def lend(scope: Scope, name: str, ttl: float) -> Taken:
    """Take a lease if nobody holds it.

    Raises:
        LeaseHeldError: If another holder has it.

    Requests: 2; 1 if another holder has it.
    """
    scope.core.check_writes(scope.prefix)
    wanted, handle = asked(name, ttl, 0.0, renew=False), secrets.token_hex(16)
    taken = take_here(scope, wanted, {"handle": _digest(handle)})
    if isinstance(taken, LeaseHeldError):
        raise taken
    number = taken.fence.number
    _remember(scope, record_of(scope, wanted.name).id, handle, taken)
    return Taken(number, handle)


def prolong(scope: Scope, leases: list[dict[str, Any]]) -> list[bool | None]:
    """Renew leases, each for as long as it was taken for.

    Returns:
        For each whether it is held; null if the database did not take its renewal, which may be sent again.

    Raises:
        DataStoreError: If it took none of them.

    Requests: 1 for each batch. 2 more if another process has renewed some of them, or this one was started since.
    """
    claims = claims_of(leases, MOST_AT_ONCE)
    held: dict[Claim, bool | None] = dict.fromkeys(claims, False)
    errors, left = list[DataStoreError](), list(held)
    for anew in (False, True):  # what is remembered may be older than the record
        found = _holdings(scope, left, anew=anew)
        puts = {claim: holding.renewal() for claim, holding in found.items()}
        for (claim, put), outcome in zip(puts.items(), scope.core.write(list(puts.values())), strict=True):
            found[claim].settle(outcome, put)
            if outcome.error is not None:
                errors.append(outcome.error)
            held[claim] = None if outcome.error is not None else not found[claim].is_over
        left = [claim for claim in left if held[claim] is False]
        if not left:
            break
    if errors and len(errors) == len(held):
        raise errors[0]
    return [held[claim] for claim in claims]


def end(scope: Scope, leases: list[dict[str, Any]]) -> list[bool]:
    """End leases, so that others can take them at once.

    Returns:
        For each whether it was held until now.

    Raises:
        DataStoreError: If the database did not take all of them; what is not ended now ends by itself.

    Requests: 1 for each batch. 2 more if another process has renewed some of them, or this one was started since.
    """
    claims = claims_of(leases, MOST_AT_ONCE)
    ended = dict.fromkeys(claims, False)
    for anew in (False, True):
        found = _holdings(scope, [claim for claim, is_over in ended.items() if not is_over], anew=anew)
        puts = {claim: holding.ending() for claim, holding in found.items()}
        for claim, outcome in zip(puts, scope.core.write(list(puts.values())), strict=True):
            if outcome.error is not None:
                raise outcome.error
            if outcome.done:
                ended[claim] = True
                found[claim].lose("it was released")
    return [ended[claim] for claim in claims]


def under(data_store: S, leases: Sequence[Claim]) -> S:
    """Return an agent's store whose every write carries the numbers of some leases; the last one is that of records.

    Raises:
        LeaseLostError: If one of them is over.

    Requests: 0; 1 if another process has taken or renewed them.
    """
    scope = scope_of(data_store)
    core, found = scope.core, _holdings(scope, leases)
    for claim in leases:
        if (holding := found.get(claim)) is None:
            raise lease_over(claim.name, "it was released, not renewed in time, or another holder has taken it")
        core = FencedCore(core, holding)
    return type(data_store)(scope.through(core))  # type: ignore[call-arg]  # it is made of a scope


def remembered(scope: Scope, claim: Claim) -> Holding | None:
    """Return a lease that this process knows to be held by whoever claims it.

    Requests: 0.
    """
    id = record_of(claim.place(scope), claim.name).id
    holding: Holding | None = scope.core.root.lent.get((id, _digest(claim.handle)))
    return None if holding is None or holding.fence.number != claim.number or holding.is_over else holding


def not_taken(scope: Scope, claim: Claim) -> Holding | None:
    """Check that nobody has taken a lease from whoever claims it, and that it was not released.

    Returns:
        The lease; ``None`` if its time is over.

    Raises:
        LeaseLostError: If somebody has, or it was.

    Requests: 1.
    """
    place = claim.place(scope)
    id = record_of(place, claim.name).id
    document = scope.core.read_one(id, Fields.VALUE)
    if document is None or not _is_of(document, claim) or last_of(document).until == 0:
        raise LeaseLostError(f"the lease of {claim.name!r} is not that of whoever claims it: it was released, or taken")
    holding = _recorded(place, claim, document)
    if holding is not None:
        _remember(scope, id, claim.handle, holding)
    return holding


# ------------------------------------------------------------------------------------------------- what is remembered


def _holdings(scope: Scope, claims: Iterable[Claim], *, anew: bool = False) -> dict[Claim, Holding]:
    """Return those leases that are held by whoever claims them: as they are remembered, or as they are recorded."""
    held, asked_for = dict[Claim, Holding](), list[tuple[str, Scope, Claim]]()
    for claim in claims:
        place = claim.place(scope)
        place.core.check_writes(place.prefix)
        id = record_of(place, claim.name).id
        holding: Holding | None = scope.core.root.lent.get((id, _digest(claim.handle)))
        if holding is not None and holding.fence.number == claim.number and not (anew or holding.is_over):
            held[claim] = holding
        else:
            asked_for.append((id, place, claim))
    if asked_for:
        documents = scope.core.read(list({id: None for id, _, _ in asked_for}), Fields.VALUE)
        for id, place, claim in asked_for:
            if id in documents and (holding := _recorded(place, claim, documents[id])) is not None:
                held[claim] = holding
                _remember(scope, id, claim.handle, holding)
    return held


def _recorded(scope: Scope, claim: Claim, document: Document) -> Holding | None:
    """Return a lease as it is recorded, if it is that of whoever claims it, and not over."""
    last, now = last_of(document), scope.core.clock()
    value: Any = document.value
    if not _is_of(document, claim) or last.until <= now:
        return None
    ttl, record = float(value["ttl"]), record_of(scope, claim.name)
    put = put_for(scope, record, value, Moment(format_time(now), None))._replace(revision=document.revision)
    began, at = time.monotonic() + last.until - now - ttl, last.until - ttl
    return Holding(scope.core.root, put, claim.name, fence_of(record, last.number), ttl, began, at, renews=False)


def _is_of(document: Document, claim: Claim) -> bool:
    """Return whether a lease was taken last by whoever claims it."""
    number, value = last_of(document).number, document.value
    known = value.get("handle") if type(value) is dict else None
    return type(known) is str and compare_digest(known, _digest(claim.handle)) and number == claim.number


def _remember(scope: Scope, id: str, handle: str, holding: Holding) -> None:
    lent = scope.core.root.lent
    if len(lent) >= _REMEMBERED:
        lent.clear()
    lent[id, _digest(handle)] = holding


def _digest(handle: str) -> str:
    return sha256(handle.encode()).hexdigest()
