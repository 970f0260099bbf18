"""The key-value store for flows: keys by entity, and keys that live as long as a run, a session or a flow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from datastore.arguments import as_dict, as_text, check_name, is_a, shown
from datastore.errors import (
    DataStoreError,
    InvalidNameError,
    InvalidNameTypeError,
    InvalidValueError,
    kind_of,
)
from datastore.ids import encode_name
from datastore.interfaces.records import Records, UnchangedError, change
from datastore.scope import OfOneProcess

SCOPES = ("run", "session", "flow")
_ESCAPED = re.compile(r"\\([*\\])")


class KeyValueStore(OfOneProcess):
    r"""Values by key, separately for each entity. From ``data_store.key_value``; see ``docs/key-value.md``.

    Every entity has its own keys. Keys without an entity (``entity_id=None``) are separate from all of them. Keys that
    begin with ``$run.``, ``$session.`` or ``$flow.`` live in the run, session or flow that the store is bound to, and
    end with it::

        kv = data_store.key_value(scopes={"run": "run-7", "flow": "onboarding"})
        kv.insert("$run.step", 3)

    Two stores that are bound to different runs do not see each other's ``$run.`` keys. Calls raise what those of
    `AgentDataStore` raise, and `InvalidNameError` for an entity id that is not valid or a scope that is not bound,
    before any I/O. Requests are those of the calls that it uses; on SQLite each is one statement.
    """

    __slots__ = ("_records", "_scopes")

    def __init__(self, records: Records, scopes: Mapping[str, str] | None = None) -> None:
        self._records = records
        self._scopes = {} if scopes is None else _check_scopes(scopes)

    def __call__(self, scopes: Mapping[str, str] | None = None) -> KeyValueStore:
        """Return a store that is bound to scopes: any of ``run``, ``session`` and ``flow``, each with its id. No I/O.

        Raises:
            InvalidNameError: If there is no such scope, or an id is not valid.
        """
        return KeyValueStore(self._records, scopes)

    def insert(self, key: str, value: Any, entity_id: str | None = None) -> None:
        """Store a value, anything JSON, under a key, whether or not there is one.

        Requests: those of ``AgentDataStore.set``.
        """
        self._place(key, entity_id).set(key, value)

    def retrieve(self, key: str, entity_id: str | None = None) -> Any:
        """Return the value under a key, or ``None`` if there is no record, and count an access.

        Requests: 1.
        """
        return self._place(key, entity_id).get(key)

    def remove(self, key_or_pattern: str, entity_id: str | None = None) -> int:
        r"""Remove a key, or with a ``*`` at the end every key that begins with what stands before it.

        Args:
            key_or_pattern: ``"job:7"``, ``"job:*"``, or ``"*"`` for all keys outside of scopes; ``$run.*`` for those of
                the run. A star at the end that is meant literally is written ``\*``, and a backslash before a star or
                before another backslash ``\\``.
            entity_id: Whose keys are meant.

        Returns:
            How many were removed.

        Requests: 1, on CouchDB 2; for a pattern those of ``AgentDataStore.clear``.
        """
        key, is_prefix = _parse_pattern(key_or_pattern)
        place = self._place(key, entity_id)
        return place.clear(key) if is_prefix else int(place.delete(key))

    def list_keys(
        self,
        prefix: str | None = None,
        entity_id: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[str]:
        """Return the keys, or those that begin with a prefix, sorted by code point.

        To list the keys of a scope, give a prefix that begins with ``$run.``, ``$session.`` or ``$flow.``.

        Args:
            prefix: Only keys that begin with it.
            entity_id: Whose keys are meant.
            start: Only keys from this one on.
            end: Only keys before this one.
            reverse: From the last key to the first.
            limit: The most keys; ``None`` for all of them.

        Requests: 1 per page of the database.
        """
        place = self._place("" if prefix is None else prefix, entity_id)
        return place.list_keys(prefix, start=start, end=end, reverse=reverse, limit=limit)

    def list_entities(self) -> list[str]:
        """Return the ids of the entities that hold a key outside of scopes, sorted by code point.

        Requests: 1, or 1 more than there are entities; never more for more keys.
        """
        beginning = self._name("kv", None) + "!"
        return sorted(name[len(beginning) :] for name in self._records.list_namespaces(beginning))

    def clear_entity(self, entity_id: str) -> int:
        """Remove every key of an entity, including those in the bound scopes. Return how many there were.

        Requests: those of ``AgentDataStore.clear``, once, and once more for each bound scope.
        """
        if entity_id is None:
            raise InvalidNameTypeError("entity_id is None; to remove the keys without an entity, use remove('*')")
        names = [self._name("kv", entity_id), *(self._scoped(scope, entity_id) for scope in self._scopes)]
        return sum(self._records.use_namespace(name).clear() for name in names)

    def end_scope(self, scope: str) -> int:
        """Remove every key of the bound run, session or flow, of all entities. Return how many there were.

        The store stays bound: what is inserted afterwards begins a new one under the same id.

        Args:
            scope: ``"run"``, ``"session"`` or ``"flow"``.

        Requests: those of ``AgentDataStore.clear`` once, and once more for each entity; and 1, or 1 more than there are
        entities, to list them.
        """
        name = self._scoped(scope, None)
        entities = self._records.list_namespaces(name + "!")
        return sum(self._records.use_namespace(one).clear() for one in [name, *entities])

    def increment(self, key: str, by: float = 1, entity_id: str | None = None) -> int | float:
        """Add to a number and return the new one, without losing anybody's change. A missing key counts as 0.

        Requests: 2 for each attempt.
        """
        return self._place(key, entity_id).increment(key, by)

    def append(self, key: str, *items: Any, entity_id: str | None = None) -> list[Any]:
        """Append to an array and return the new one, without losing anybody's change. A missing key counts as empty.

        Requests: 2 for each attempt.
        """
        return self._place(key, entity_id).append(key, *items)

    def pop(self, key: str, default: Any = None, entity_id: str | None = None) -> Any:
        """Take the first item out of an array and return it. If several take at once, each gets a different item.

        Returns:
            The item; ``default`` if the array is empty or if there is no such key.

        Raises:
            InvalidValueError: If the stored value is not an array.
            ConflictError: If other writers came first each time, for 30 seconds.

        Requests: 2 for each attempt; 1 if there is nothing to take.
        """
        taken, key = default, check_name(key, "key")

        def take(value: Any) -> list[Any]:
            nonlocal taken
            if not isinstance(value, list):
                raise InvalidValueError(f"{key!r} holds {kind_of(value)}; items can only be taken from an array")
            if not value:
                raise UnchangedError
            taken = value[0]
            return value[1:]

        return taken if change(self._place(key, entity_id), key, take) else default

    def __repr__(self) -> str:
        return f"KeyValueStore({self._records!r}, {self._scopes!r})"

    # ------------------------------------------------------------------------------- where keys lie
    #
    # In namespaces kv!<namespace>, kv!<namespace>!<entity>, kv-run!<namespace>!<run>, kv-run!<namespace>!<run>!<entity>
    # and so on. All but the entity are escaped to hold no '!', so that no two places share a namespace, and what
    # follows the last of them is the entity as it is.

    def _place(self, key: str, entity_id: str | None) -> Records:
        """Return the store of the namespace that holds a key, or the keys that begin with it."""
        key = check_name(key, "key")
        scope = next((scope for scope in SCOPES if key.startswith(f"${scope}.")), None)
        name = self._name("kv", entity_id) if scope is None else self._scoped(scope, entity_id)
        return self._records.use_namespace(name)

    def _scoped(self, scope: str, entity_id: str | None) -> str:
        scope = _check_scope(scope)
        if scope not in self._scopes:
            raise InvalidNameError(
                f"no {scope} is bound; bind one to use its keys: data_store.key_value(scopes={{{scope!r}: ...}})"
            )
        return self._name(f"kv-{scope}", entity_id, self._scopes[scope])

    def _name(self, kind: str, entity_id: str | None, *of_scope: str) -> str:
        name = "!".join([kind, *map(_escape, (self._records.namespace, *of_scope))])
        if entity_id is None:
            return name
        entity_id = check_name(entity_id, "entity_id")
        encode_name(entity_id, "entity_id")
        encode_name(f"{name}!{entity_id}", "entity_id, together with its namespace and scope,")
        return f"{name}!{entity_id}"


def _escape(text: str) -> str:
    return text.replace("~", "~0").replace("!", "~1")


def _check_scopes(scopes: Mapping[str, str]) -> dict[str, str]:
    def refusal() -> DataStoreError:
        return InvalidNameTypeError(f"scopes is {kind_of(scopes)}; it must be a dict such as {{'run': 'run-7'}}")

    checked: dict[str, str] = {}
    for given, id in as_dict(scopes, refusal).items():
        scope = _check_scope(given)
        checked[scope] = check_name(id, f"scopes[{scope!r}]")
        encode_name(id, f"scopes[{scope!r}]")
    return checked


def _check_scope(scope: Any) -> str:
    word = as_text(scope) if is_a(scope, str) else None
    if word not in SCOPES:
        raise InvalidNameError(f"there is no scope {shown(scope)}; the scopes are {', '.join(SCOPES)}")
    return word


def _parse_pattern(pattern: str) -> tuple[str, bool]:
    """Return the key or the prefix that a pattern stands for, and whether it is a prefix."""
    pattern = check_name(pattern, "key_or_pattern")
    is_prefix = _ESCAPED.sub("", pattern).endswith("*")  # an unescaped star
    return _ESCAPED.sub(r"\1", pattern[:-1] if is_prefix else pattern), is_prefix
