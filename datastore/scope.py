"""The binding of an agent's object to one user, one agent and one namespace, out of the agent's reach."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple, cast

from datastore.arguments import as_text, check_name
from datastore.backend import Document, Fields, Put
from datastore.core import Core
from datastore.ids import check_agent, encode_key, encode_name, namespace_prefix
from datastore.times import expiry, format_time
from datastore.values import checked


class Moment(NamedTuple):
    """The times of a write, as documents hold them."""

    at: str
    expires_at: str | None


class Scope:
    """Who acts where: what every call of an `AgentDataStore` works with."""

    __slots__ = ("agent", "core", "encoded_user", "namespace", "prefix", "user_id")

    def __init__(self, core: Core, user_id: str, agent: str, namespace: str) -> None:
        user_id, namespace = check_name(user_id, "user_id"), check_name(namespace, "namespace")
        self.encoded_user = encode_name(user_id, "user_id")
        self.prefix = namespace_prefix(self.encoded_user, encode_name(namespace, "namespace"))
        self.agent = check_agent(agent)
        self.core = core
        self.user_id = user_id
        self.namespace = namespace

    def fetch(self, key: str, fields: Fields) -> Document | None:
        """Return the live document under a key."""
        return self.core.read_one(self.prefix + encode_key(key), fields)

    def moment(self, ttl: float | timedelta | None = None) -> Moment:
        """Return now, and when what is written now expires."""
        now = self.core.clock()
        return Moment(format_time(now), None if ttl is None else expiry(ttl, now))

    def put(
        self,
        key: str,
        value: Any,
        moment: Moment,
        metadata: dict[str, Any] | None = None,
        *,
        if_absent: bool = False,
        name: str = "value",
    ) -> Put:
        """Return the write of a value, after checking key and value; ``metadata`` has been checked before."""
        id = self.prefix + encode_key(key)
        value, json = checked(value, name)
        return Put(
            id,
            self.user_id,
            self.namespace,
            as_text(key),
            value,
            json,
            metadata,
            self.agent,
            moment.at,
            os.urandom(12).hex(),
            moment.expires_at,
            if_absent,
        )


class Bound:
    """Holds a `Scope` in a slot that has no name.

    No attribute of an instance leads to the scope, and so none to the backend or to another user; nor can it be
    reassigned. Within one process Python cannot promise more: code that goes looking for it (through the garbage
    collector, say) finds it.
    """

    __slots__ = ("_scope",)


_slot = cast(Any, Bound.__dict__["_scope"])
delattr(Bound, "_scope")

scope_of: Callable[[Bound], Scope] = _slot.__get__
"""Returns the scope of an instance."""
bind: Callable[[Bound, Scope], None] = _slot.__set__
"""Gives a new instance its scope."""
