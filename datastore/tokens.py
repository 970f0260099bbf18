"""Tokens: what a host hands out instead of a password, to whoever works as one agent of one user.

A token is 256 random bits. The store keeps nothing but their SHA-256, in a system record that is of no user and to
which no call of an agent leads. So whoever reads the database finds no token.
"""

from __future__ import annotations

import os
import weakref
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, NoReturn

from datastore.agent import AgentDataStore
from datastore.arguments import as_text, check_name, check_text, is_a
from datastore.backend import Delete, Document, Fields, Put
from datastore.core import Core
from datastore.documents import damaged
from datastore.errors import (
    DataStoreError,
    InvalidTokenError,
    InvalidValueError,
    NotPicklableError,
    PermissionDeniedError,
)
from datastore.grants import Grant, Grants
from datastore.guarded import guarded
from datastore.ids import check_agent, decode_key, encode_key, encode_name, key_range, system_prefix
from datastore.quotas import Quota, check_quota
from datastore.revisions import new_revision
from datastore.times import expiry, parse_time
from datastore.values import checked
from datastore.watching import bound
from datastore.wire.calls import matching

KIND = "tokens"
PREFIX = "dst_"
"""What every token begins with, so that a scanner for secrets finds one that lies where it should not."""
_PLACE = system_prefix("", KIND)
_ID_LENGTH = 16  # hex digits: enough that no two tokens share them
_LONGEST_LABEL = 200
_DEEPEST = 8
"""How many tokens can descend from each other."""
_LONGEST_SECRET = 200
UNKNOWN = "this token is not valid: it is unknown, or was revoked, or has expired. Ask the host for another one"
"""What is said of every token that is not valid: nobody is told why."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a token lets its holder do. The token itself is not in it.

    Attributes:
        id: Names the token, for `Tokens.revoke`. It opens nothing.
        label: What the host calls it.
        user_id: Whose data it opens.
        agent: The agent that its holder is.
        namespace: The namespace that the agent's store is bound to.
        grants: What it may do, by namespace; ``None`` for everything.
        quota: How much it may store, and how many calls it may make; ``None`` for any amount.
        calls: The calls that it may make, sorted; ``None`` for all.
        created_at: When it was minted.
        expires_at: When it ends; ``None`` for never.
        parent: The ``id`` of the token that it was narrowed from; ``None`` if the host has minted it.
    """

    id: str
    label: str
    user_id: str
    agent: str
    namespace: str
    grants: Mapping[str, Grant] | None
    quota: Quota | None
    calls: tuple[str, ...] | None
    created_at: datetime
    expires_at: datetime | None
    parent: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """A token as it is stored. For a server, which checks tokens and binds agents again and again."""

    token: Token
    hash: str
    ancestors: tuple[str, ...]
    """The hashes of the tokens that it descends from, the host's own first."""
    ends: str | None
    """When it ends, as documents have it."""
    rates: tuple[int | None, ...]
    """How many calls a minute the ancestors may make, in their order: what it does counts for them, too."""


class Tokens:
    """The tokens of a store, for its host: ``store.tokens``. See ``docs/security.md``.

    Whoever has a token works as one agent of one user, within the token's grants and quota. It is checked when an agent
    is bound (`agent`), so a process that serves others binds one for each request.
    """

    __slots__ = ("_core",)

    def __init__(self, core: Core) -> None:
        self._core = core

    def mint(
        self,
        user_id: str,
        agent: str,
        namespace: str = "default",
        *,
        grants: Mapping[str, Grant] | None = None,
        quota: Quota | None = None,
        calls: Iterable[str] | None = None,
        ttl: float | timedelta | None = None,
        label: str = "",
    ) -> str:
        """Make a token, and return it. This is the only time that anybody sees it: the store keeps its hash.

        Args:
            user_id: As `DataStore.agent`.
            agent: As `DataStore.agent`.
            namespace: As `DataStore.agent`.
            grants: As `DataStore.agent`.
            quota: As `DataStore.agent`; besides, ``calls_per_minute``, which a server counts.
            calls: The calls that its holder may make, such as ``["get", "find*"]``: names of methods of
                `AgentDataStore`. A star at the end stands for all that begin alike. Only a server keeps to it. ``None``
                for all.
            ttl: Seconds, or a `timedelta`, until it ends; ``None`` for never.
            label: What to call it in listings: up to 200 characters.

        Returns:
            The token: ``dst_`` and 256 random bits as 43 URL-safe characters.

        Raises:
            InvalidNameError, ConfigurationError: As `DataStore.agent`; also if no call matches one of ``calls``.
            InvalidValueError: If ``ttl`` is not a time, or ``label`` not a text.

        Requests: 1.
        """
        user_id, namespace = check_name(user_id, "user_id"), check_name(namespace, "namespace")
        encode_name(namespace, "namespace")
        Grants(encode_name(user_id, "user_id"), grants)
        check_quota(quota)
        return self._store(
            {
                "label": _label(label),
                "userId": user_id,
                "agent": check_agent(agent),
                "namespace": namespace,
                "grants": None if grants is None else _plain(grants),
                "quota": None if quota is None else _stored(quota),
                "calls": None if calls is None else sorted(matching(calls)),
                "ancestors": [],
                "rates": [],
            },
            None if ttl is None else expiry(ttl, self._core.clock(), "ttl"),
        )

    def narrow(
        self,
        token: str,
        *,
        namespace: str | None = None,
        grants: Mapping[str, Grant] | None = None,
        quota: Quota | None = None,
        calls: Iterable[str] | None = None,
        ttl: float | timedelta | None = None,
        label: str = "",
    ) -> str:
        """Make a token that may do a part of what another one may, for the same user and agent, and return it.

        It ends with the other one, at the latest: if that is revoked, so is this.

        Args:
            token: The other token.
            namespace: As `mint`; ``None`` for that of the other token.
            grants: As `mint`, and nothing that the other token does not grant; ``None`` for the same grants.
            quota: As `mint`, and no more than that of the other token; ``None`` for the same. The two share one
                account, because they are the same agent. What the new one calls counts for both.
            calls: As `mint`, and none that the other token does not allow; ``None`` for the same.
            ttl: As `mint`; ``None`` for as long as the other token.
            label: As `mint`.

        Returns:
            The new token.

        Raises:
            InvalidTokenError: If the other token is not valid.
            PermissionDeniedError: If it would be able to do more than the other one, or descends from too many.
            InvalidNameError, ConfigurationError, InvalidValueError: As `mint`.

        Requests: those of `check`, and 1.
        """
        kept = find(self._core, token)
        parent = kept.token
        if len(kept.ancestors) + 1 >= _DEEPEST:
            raise PermissionDeniedError(
                f"this token descends from {len(kept.ancestors)} others; no more can be narrowed", by_the_store=True
            )
        encoded = encode_name(parent.user_id, "user_id")
        if namespace is not None:
            encode_name(namespace, "namespace")
        if grants is not None:
            wanted, given = Grants(encoded, grants), Grants(encoded, parent.grants)
            for do, mine, its in (
                ("read", wanted.readable, given.readable),
                ("write", wanted.writable, given.writable),
            ):
                if any(its.within(part) != [part] for part in mine.all):
                    raise PermissionDeniedError(
                        f"grants would let the new token {do} what this token may not; a token can only be narrowed",
                        by_the_store=True,
                    )
        check_quota(quota)
        allowed = None if calls is None else matching(calls)
        if allowed is None:
            allowed = None if parent.calls is None else frozenset(parent.calls)
        elif parent.calls is not None and not allowed <= frozenset(parent.calls):
            more = ", ".join(sorted(allowed - frozenset(parent.calls)))
            raise PermissionDeniedError(
                f"calls would let the new token call {more}, which this token may not; a token can only be narrowed",
                by_the_store=True,
            )
        ends = None if ttl is None else expiry(ttl, self._core.clock(), "ttl")
        return self._store(
            {
                "label": _label(label),
                "userId": parent.user_id,
                "agent": parent.agent,
                "namespace": parent.namespace if namespace is None else check_name(namespace, "namespace"),
                "grants": (None if parent.grants is None else dict(parent.grants))
                if grants is None
                else _plain(grants),
                "quota": _narrowed(parent.quota, quota),
                "calls": None if allowed is None else sorted(allowed),
                "ancestors": [*kept.ancestors, kept.hash],
                "rates": [*kept.rates, None if parent.quota is None else parent.quota.calls_per_minute],
            },
            min((one for one in (ends, kept.ends) if one is not None), default=None),
        )

    def check(self, token: str) -> Token:
        """Return what a token lets its holder do.

        Args:
            token: What `mint` or `narrow` returned.

        Raises:
            InvalidTokenError: If there is no such token, or it was revoked, or has expired. The error does not say
                which, and does not quote it.

        Requests: 1; for a token that was narrowed 2.
        """
        return find(self._core, token).token

    def agent(self, token: str) -> AgentDataStore:
        """Bind a store for the holder of a token: for the token's user and agent, with its grants and its quota.

        The token is checked now, and not again. What was bound goes on working after the token has ended.

        Args:
            token: What `mint` or `narrow` returned.

        Raises:
            InvalidTokenError: As `check`.
            PermissionDeniedError: If the token limits which calls its holder may make, or how many: only a server
                (``datastore serve``) keeps to that.

        Requests: those of `check`.
        """
        allowed = self.check(token)
        if allowed.calls is not None or (allowed.quota is not None and allowed.quota.calls_per_minute is not None):
            raise PermissionDeniedError(
                "this token limits which calls its holder may make, or how many, and only a server keeps to that: "
                "hand it to a client of `datastore serve`",
                by_the_store=True,
            )
        return bind(self._core, allowed)

    def list(self, user_id: str | None = None) -> list[Token]:
        """Return the tokens that have not ended, the oldest first.

        Args:
            user_id: Only those for this user.

        Raises:
            InvalidNameError: If ``user_id`` is not a valid name.

        Requests: 1 per page of the database.
        """
        if user_id is not None:
            encode_name(user_id, "user_id")
            user_id = as_text(user_id)
        kept = [one.token for one in _all(self._core) if user_id is None or one.token.user_id == user_id]
        return sorted(kept, key=lambda token: (token.created_at, token.id))

    def revoke(self, token: str) -> int:
        """End a token, and all that were narrowed from it. Nobody can bind an agent with one of them any more.

        Args:
            token: Its `Token.id`, or the token itself.

        Returns:
            How many were ended: 0 if there is no such token.

        Raises:
            InvalidValueError: If it is neither.

        Requests: 1 per page of the database to list the tokens, and those to delete some.
        """
        text = check_text(token, "token", "give its id, or the token itself")
        if text.startswith(PREFIX):
            text = _hash(text)
        elif len(text) < _ID_LENGTH or not set(text) <= set("0123456789abcdef"):
            raise InvalidValueError("token is neither the id of one nor one itself; tokens.list() shows the ids")
        return _remove(self._core, lambda one: any(name.startswith(text) for name in (one.hash, *one.ancestors)))

    def _store(self, value: dict[str, Any], expires_at: str | None) -> str:
        core = self._core
        secret = PREFIX + urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        name = _hash(secret)
        value, json = checked(value)
        put = Put(
            id=_id_of(name),
            user_id="",
            namespace=KIND,
            key=name,
            value=value,
            json=json,
            metadata=None,
            agent="",
            at=core.now(),
            revision=new_revision(),
            expires_at=expires_at,
            if_absent=True,
        )
        core.write_one(put)
        return secret

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("Tokens", "connect in the other process")

    def __repr__(self) -> str:
        return f"Tokens(backend={self._core.backend.name!r})"


def find(core: Core, token: str) -> Kept:
    """Check a token as `Tokens.check` does, and return it as it is stored."""
    text = as_text(token) if is_a(token, str) else ""
    if not text.startswith(PREFIX) or len(text) > _LONGEST_SECRET or not text.isascii():
        raise InvalidTokenError(UNKNOWN, by_the_store=True)
    document = core.read_whole(_id_of(_hash(text)))
    if document is None:
        raise InvalidTokenError(UNKNOWN, by_the_store=True)
    kept = _kept(document)
    ancestors = [_id_of(one) for one in kept.ancestors]
    if ancestors and len(core.read(ancestors, Fields.KEY)) < len(ancestors):
        raise InvalidTokenError(UNKNOWN, by_the_store=True)
    return kept


def bind(core: Core, allowed: Token) -> AgentDataStore:
    """Bind a store for the holder of a token that was checked; the caller keeps to the token's calls.

    Requests: 0.
    """
    if allowed.grants is not None or allowed.quota is not None:
        core = guarded(core, allowed.user_id, allowed.agent, allowed.grants, allowed.quota)
    return bound(core, allowed.user_id, allowed.agent, allowed.namespace, allowed.label)


def _id_of(hash: str) -> str:
    return _PLACE + encode_key(hash)


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _label(label: str) -> str:
    text = check_text(label, "label", "give a text")
    if len(text) > _LONGEST_LABEL:
        raise InvalidValueError(f"label has {len(text)} characters; it may have {_LONGEST_LABEL}")
    return text


def _plain(grants: Mapping[str, Grant]) -> dict[str, str]:
    return {as_text(pattern): as_text(grant) for pattern, grant in grants.items()}


def _stored(quota: Quota) -> dict[str, int | None]:
    return {"records": quota.records, "bytes": quota.bytes, "callsPerMinute": quota.calls_per_minute}


def _quota(stored: dict[str, int | None] | None) -> Quota | None:
    if stored is None:
        return None
    return Quota(records=stored["records"], bytes=stored["bytes"], calls_per_minute=stored.get("callsPerMinute"))


def _narrowed(given: Quota | None, wanted: Quota | None) -> dict[str, int | None] | None:
    """Return the quota of a token that is narrowed, as it is stored."""
    if given is None and wanted is None:
        return None
    given, wanted = given or Quota(), wanted or Quota()
    return _stored(
        Quota(
            records=_least("store {:,} records", given.records, wanted.records),
            bytes=_least("store {:,} bytes", given.bytes, wanted.bytes),
            calls_per_minute=_least("make {:,} calls a minute", given.calls_per_minute, wanted.calls_per_minute),
        )
    )


def _least(do: str, given: int | None, wanted: int | None) -> int | None:
    if wanted is None or given is None:
        return given if wanted is None else wanted
    if wanted > given:
        raise PermissionDeniedError(
            f"quota would let the new token {do.format(wanted)}, and this token may {do.format(given)}; a token can "
            "only be narrowed",
            by_the_store=True,
        )
    return wanted


def _kept(document: Document) -> Kept:
    """Return the token that a record keeps.

    Raises:
        DamagedRecordError: If somebody has edited it.
    """
    try:
        value, name = document.value, decode_key(document.id[len(_PLACE) :])
        ancestors: tuple[str, ...] = tuple(value["ancestors"])
        token = Token(
            id=name[:_ID_LENGTH],
            label=value["label"],
            user_id=value["userId"],
            agent=value["agent"],
            namespace=value["namespace"],
            grants=value["grants"],
            quota=_quota(value["quota"]),
            calls=None if value.get("calls") is None else tuple(value["calls"]),
            created_at=parse_time(document.created_at),
            expires_at=None if document.expires_at is None else parse_time(document.expires_at),
            parent=ancestors[-1][:_ID_LENGTH] if ancestors else None,
        )
        Grants(encode_name(token.user_id, "user_id"), token.grants)
        rates = tuple(value.get("rates", [None] * len(ancestors)))
        return Kept(token, name, ancestors, document.expires_at, rates)
    except (LookupError, TypeError, ValueError, DataStoreError) as error:
        raise damaged(document.id, "it keeps a token, and is not one that the store wrote") from error


_revocations: weakref.WeakKeyDictionary[Core, int] = weakref.WeakKeyDictionary()


def revocations(core: Core) -> int:
    """Return how often this process has ended tokens of a store: whoever remembers one asks again when it changes."""
    return _revocations.get(core.root, 0)


def _remove(core: Core, chosen: Callable[[Kept], bool]) -> int:
    """End some tokens, and return how many there were."""
    now = core.now()
    # Those that others descend from come first: if this breaks off, nobody can narrow them any more.
    found = sorted((one for one in _all(core) if chosen(one)), key=lambda one: len(one.ancestors))
    outcomes = core.write([Delete(_id_of(one.hash), now) for one in found])
    _revocations[core.root] = revocations(core) + 1
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error.during("revoking tokens", core.backend.name)
    return sum(outcome.done for outcome in outcomes)


def _all(core: Core) -> Iterator[Kept]:
    for document in core.scan(key_range(_PLACE), Fields.ALL):
        yield _kept(document)


def end_all(core: Core, user_id: str) -> int:
    """End all tokens for a user, who is being forgotten."""
    return _remove(core, lambda one: one.token.user_id == user_id)
