"""Who speaks to the server: tokens, what they allow, and what the server keeps for each of them."""

from __future__ import annotations

import asyncio
import time
import weakref
from asyncio import Future
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any

from datastore.agent import AgentDataStore
from datastore.asynchronous.agent import AsyncAgentDataStore
from datastore.asynchronous.workers import Job, Workers, outcome
from datastore.errors import InvalidTokenError, PermissionDeniedError, QuotaExceededError
from datastore.ids import encode_name
from datastore.server.fairness import Bucket, BusyError, Share
from datastore.server.noted import NotedLeases, Uncounted
from datastore.server.settings import ServerLimits
from datastore.store import DataStore
from datastore.tokens import PREFIX, UNKNOWN, Kept, Token, bind, find, revocations
from datastore.wire.answered import Answers, OwnAnswers
from datastore.wire.calls import METHODS, requests_of
from datastore.wire.errors import CALLS_PER_MINUTE

_BEGINNING = PREFIX.encode()
_LONGEST = 200  # characters of a token
_NAMESPACES = 256  # stores kept bound for one token
_HOLDERS = 10_000  # from here on a tenth is forgotten
_CHECKS = 2  # tokens that are looked up at once, of those that are not known
_MOST_CHECKS = 200  # that wait for it
_EVERYTHING = requests_of(METHODS)


class Family:
    """What a token that the host has minted has in common with all that descend from it: they get no more than it does.

    Otherwise whoever has a token would multiply its share of the server by making narrower ones.

    Args:
        limits: The server's limits.
        clock: Returns the time by which leases expire.
    """

    def __init__(self, limits: ServerLimits, clock: Callable[[], float]) -> None:
        self.answers = Answers(limits.remember_seconds, limits.remember_bytes)
        self.short, self.long, self.embedding = Share(), Share(), Share()
        self.narrowing = Bucket(limits.narrowed_per_minute)
        self.uncounted = Uncounted(limits.names_per_day)
        self.leases = NotedLeases(clock)
        """Those that were taken, also for `get_or_set`, and not ended."""
        self.bodies = 0
        """Bytes of bodies that are in memory."""

    def is_idle(self) -> bool:
        """Return whether nothing is lost with this object."""
        is_busy = any(share.active or share.waiting for share in (self.short, self.long, self.embedding)) or self.bodies
        is_full = self.narrowing.is_full() and self.uncounted.is_full()
        return not is_busy and is_full and not self.leases and self.answers.is_empty()


class Holder:
    """Whoever holds a token: what it allows, and what the server keeps for it while it is in use.

    Args:
        kept: The token.
        store: The store.
        limits: The server's limits.
        family: What it has in common with others; ``None`` for nothing.
    """

    def __init__(self, kept: Kept, store: DataStore, limits: ServerLimits, family: Family | None = None) -> None:
        self.kept = kept
        allowed = kept.token
        self.allowed: Token = allowed
        self.user = encode_name(allowed.user_id, "user_id")
        """As ids have it."""
        self.requests = _EVERYTHING if allowed.calls is None else requests_of(allowed.calls)
        """The calls on the wire that it may make."""
        self.rates = (*kept.rates, None if allowed.quota is None else allowed.quota.calls_per_minute)
        """How many calls a minute it and those that it descends from may make; its own comes last."""
        self.is_limited = any(rate is not None for rate in self.rates)
        """Whether one of these is limited."""
        self.family = family = family or Family(limits, store._core.clock)
        self.answers = OwnAnswers(family.answers, f"{kept.hash}:")
        self.checked = 0.0
        self.revocations = -1
        self._ends = None if allowed.expires_at is None else allowed.expires_at.timestamp()
        self._base = bind(store._core, allowed)
        self._clock = store._core.clock
        self._stores: OrderedDict[str, tuple[AgentDataStore, AsyncAgentDataStore]] = OrderedDict()

    def __repr__(self) -> str:
        return f"Holder({self.allowed.id!r})"

    def is_over(self) -> bool:
        """Return whether the token's time is over."""
        return self._ends is not None and self._clock() >= self._ends

    def store(self, namespace: str | None) -> tuple[AgentDataStore, AsyncAgentDataStore]:
        """Return the agent's store in a namespace, and its awaited twin.

        Raises:
            PermissionDeniedError: If the token has no grant to read there.
            InvalidNameError: If it is no name of a namespace.
        """
        name = self.allowed.namespace if namespace is None else namespace
        found = self._stores.get(name)
        if found is None:
            bound = self._base if name == self.allowed.namespace else self._base.use_namespace(name)
            found = self._stores[name] = (bound, bound.asynchronous)
            if len(self._stores) > _NAMESPACES:
                self._stores.popitem(last=False)
        return found

    def store_at_hand(self, namespace: str | None) -> AgentDataStore | None:
        """Return the agent's store in a namespace that was asked for before."""
        found = self._stores.get(self.allowed.namespace if namespace is None else namespace)
        return None if found is None else found[0]


class Access:
    """The tokens that are in use.

    Args:
        store: The store.
        limits: The server's limits.
    """

    def __init__(self, store: DataStore, limits: ServerLimits) -> None:
        self._store = store
        self._core = store._core
        self._limits = limits
        self._holders: OrderedDict[bytes, Holder] = OrderedDict()
        self._asking: dict[bytes, Future[Holder | None]] = {}
        self._families: dict[str, Family] = {}
        self._buckets: dict[str, Bucket] = {}
        self._known = Workers(_CHECKS)
        self._strange = Workers(_CHECKS)
        """Tokens that nobody knows are looked up apart, so that guessing does not hold up those that are in use."""
        self._strangers = 0
        for workers in (self._known, self._strange):
            weakref.finalize(self, workers.stop, wait=False).atexit = False

    def stop(self) -> None:
        """End the threads that look up tokens."""
        self._known.stop()
        self._strange.stop()

    async def holder(self, authorization: bytes | None) -> Holder:
        """Return who holds the token of an ``Authorization`` header.

        Raises:
            InvalidTokenError: If there is none, or it is not valid. Nobody is told why.
            DataStoreError: If it cannot be looked up.
        """
        secret, digest = _read(authorization)
        holder = self._checked(digest) or await self._look_up(digest, secret)
        if holder is None or holder.is_over():
            raise InvalidTokenError(UNKNOWN, by_the_store=True)
        return holder

    def known(self, authorization: bytes | None) -> Holder | None:
        """Return who holds a token that need not be looked up now.

        Raises:
            InvalidTokenError: If it cannot be a token.
        """
        holder = self._checked(_read(authorization)[1])
        return None if holder is None or holder.is_over() else holder

    def is_known(self, holder: Holder) -> bool:
        """Return whether a token need not be looked up now, as `known` does."""
        return self._is_fresh(holder) and not holder.is_over()

    def _checked(self, digest: bytes) -> Holder | None:
        """Return the holder of a token that was looked up just now."""
        holder = self._holders.get(digest)
        return holder if holder is not None and self._is_fresh(holder) else None

    def _is_fresh(self, holder: Holder) -> bool:
        is_new = time.monotonic() - holder.checked < self._limits.token_seconds
        return is_new and holder.revocations == revocations(self._core)

    def spend(self, holder: Holder) -> None:
        """Count a call for a token and for those that it descends from.

        Raises:
            QuotaExceededError: If one of them may make no more in this minute.
        """
        if not holder.is_limited:
            return
        names = (*holder.kept.ancestors, holder.kept.hash)
        buckets = list[Bucket]()
        for name, rate in zip(names, holder.rates, strict=True):
            if rate is not None:
                bucket = self._buckets.get(name)
                if bucket is None:
                    bucket = self._buckets[name] = Bucket(rate)
                buckets.append(bucket)
        for bucket in buckets:
            if (seconds := bucket.wait()) > 0:
                error = QuotaExceededError(
                    f"this token may make {bucket.most:,} calls a minute; the next one in {seconds:.1f} s",
                    unit=CALLS_PER_MINUTE,
                    limit=bucket.most,
                    needed=bucket.most + 1,
                )
                raise error
        for bucket in buckets:
            bucket.take()

    async def _look_up(self, digest: bytes, secret: bytes) -> Holder | None:
        """Look up a token in the store; those who ask for the same one at the same time ask once."""
        asking = self._asking.get(digest)
        if asking is None:
            asking = self._asking[digest] = asyncio.ensure_future(self._check(digest, secret))
            asking.add_done_callback(partial(self._asked, digest))
        return await asyncio.shield(asking)

    def _asked(self, digest: bytes, asking: Future[Holder | None]) -> None:
        self._asking.pop(digest, None)
        if not asking.cancelled():
            asking.exception()  # it was raised where it was awaited, if anybody still waited

    async def _check(self, digest: bytes, secret: bytes) -> Holder | None:
        began, before = time.monotonic(), revocations(self._core)
        holder = self._holders.get(digest)
        is_stranger = holder is None
        if is_stranger and self._strangers >= _MOST_CHECKS:
            raise BusyError("too many tokens are being looked up; try again later")
        self._strangers += is_stranger
        try:
            text = secret.decode("latin-1")
            work: Any = partial(find, self._core, text)
            job = Job(work, writes=False, seconds=self._core.max_seconds)
            (self._strange if is_stranger else self._known).submit(job)
            kept: Kept = await outcome(job)
        except InvalidTokenError:
            self._holders.pop(digest, None)
            return None
        finally:
            self._strangers -= is_stranger
        if holder is None:
            holder = self._holders.setdefault(digest, Holder(kept, self._store, self._limits, self._family_of(kept)))
        holder.checked, holder.revocations = began, before
        self._holders.move_to_end(digest)
        if len(self._holders) > _HOLDERS:
            self._make_room()
        return holder

    def _family_of(self, kept: Kept) -> Family:
        family = self._families.get(name := _oldest_of(kept))
        if family is None:
            family = self._families[name] = Family(self._limits, self._core.clock)
        return family

    def _make_room(self) -> None:
        """Forget the tokens that were looked up least lately, and what nobody has anything under way for."""
        for digest in list(self._holders)[: _HOLDERS // 10]:
            del self._holders[digest]
        in_use = {_oldest_of(one.kept) for one in self._holders.values()}
        for name in self._families.keys() - in_use:
            if self._families[name].is_idle():
                del self._families[name]
        names = {name for one in self._holders.values() for name in (one.kept.hash, *one.kept.ancestors)}
        for name in self._buckets.keys() - names:
            if self._buckets[name].is_full():
                del self._buckets[name]


def _oldest_of(kept: Kept) -> str:
    """Return the name of the token that the host has minted, which this one descends from."""
    return kept.ancestors[0] if kept.ancestors else kept.hash


def _read(authorization: bytes | None) -> tuple[bytes, bytes]:
    """Return the token of an ``Authorization`` header, and its digest.

    Raises:
        InvalidTokenError: If there is none.
    """
    scheme, _, secret = (authorization or b"").partition(b" ")
    secret = secret.strip()
    if scheme.lower() != b"bearer" or not secret.startswith(_BEGINNING) or len(secret) > _LONGEST:
        raise InvalidTokenError(UNKNOWN, by_the_store=True)
    # What is compared from here on is a digest, of which nobody can choose the beginning: a difference in time tells
    # nothing about a token.
    return secret, sha256(secret).digest()


def not_allowed(call: str) -> PermissionDeniedError:
    """Return the error for a call that a token does not allow."""
    return PermissionDeniedError(
        f"this token does not allow the call {call!r}; the host says which ones it does when it mints one",
        by_the_store=True,
    )
