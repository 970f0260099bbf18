"""The arguments of a call as the body of a request.

What JSON can carry is sent as it is, and the host decides what is wrong with it. What it cannot carry is refused here,
with the error of the call itself; see `datastore.remote.served`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from datastore.agent import AgentDataStore
from datastore.arguments import as_number, as_text, elements, is_a, is_mapping
from datastore.calls.batches import Item, items_of, keys_of
from datastore.errors import DataStoreError
from datastore.remote.served import AcceptedError
from datastore.scope import Scope
from datastore.values import MAX_METADATA_BYTES, MAX_VALUE_BYTES, checked
from datastore.wire.calls import APPENDING
from datastore.wire.messages import item_to_json, plain_query, seconds

_ANY_SIZE = 1 << 40
_LARGEST = dict.fromkeys(("value", "input", "payload", "by"), MAX_VALUE_BYTES) | {"metadata": MAX_METADATA_BYTES}
_TIMES = frozenset({"ttl", "touch", "refresh", "lease", "grace", "keep", "timeout"})
_VALUES = frozenset({"value", "metadata", "by", "entries", "input", "payload", "state"})
"""What is stored as it is given. Everything else may have forms of which the call makes JSON."""


def body_of(
    scope: Scope, arguments: Mapping[str, Any], call: Callable[..., object], more: str = "", leases: str = ""
) -> bytes:
    """Return the body of a request.

    Args:
        scope: Whose it is.
        arguments: Those of the call.
        call: The call of `AgentDataStore` that it is for, or a part of it: it refuses what cannot be sent.
        more: JSON of an argument on the wire that the call does not have.
        leases: JSON of what it is made under.

    Raises:
        DataStoreError: What the call raises before it asks the database.
    """
    told = {name: _prepared(name, value) for name, value in arguments.items()}
    try:
        parts = [_part(name, value) for name, value in told.items()]
    except DataStoreError:
        _refuse(scope, call, told)
        parts = [_part(name, value if name in _VALUES else _plain(value)) for name, value in told.items()]
    if more:
        parts.append(more)
    namespace = checked(scope.namespace)[1]
    under = f',"leases":{leases}' if leases else ""
    return f'{{"namespace":{namespace},"arguments":{{{",".join(parts)}}}{under}}}'.encode()


def _prepared(name: str, value: Any) -> Any:
    """Return an argument such that it can be used more than once, and times as seconds."""
    if name in _TIMES:
        return seconds(value) if is_a(value, timedelta) else value
    if name == "keys" and type(value) is not list:
        return list(keys_of(value))
    if name == "items" and type(value) is not tuple:  # those of `append` are one
        return list(items_of(value))
    return value


def _plain(value: Any) -> Any:
    """Return an argument that the call has accepted as JSON: with exact texts and numbers, and moments as text."""
    if is_a(value, str):
        return as_text(value)
    if is_mapping(value):
        return {_plain(key): _plain(child) for key, child in value.items()}
    if is_a(value, list, tuple):
        return [_plain(child) for child in elements(value)]
    number = as_number(value)
    return plain_query(value) if number is None else number


def _part(name: str, value: Any) -> str:
    if name == "items" and type(value) is list:
        return f'"items":[{",".join(map(_item, value))}]'
    if name == "entries":  # each on its own: a list of them would be one level deeper
        return f'"entries":[{",".join(checked(one, f"entries[{place}]")[1] for place, one in enumerate(value))}]'
    return f'"{name}":{checked(value, name, _LARGEST.get(name, _ANY_SIZE))[1]}'


def _item(item: tuple[str, Any] | Item) -> str:
    if isinstance(item, tuple):
        key, value = item
        return f'{{"key":{checked(key)[1]},"value":{checked(value)[1]}}}'
    told = item_to_json(item)
    return f"{{{','.join(f'{checked(name)[1]}:{checked(part)[1]}' for name, part in told.items())}}}"


def _refuse(scope: Scope, call: Callable[..., object], arguments: Mapping[str, Any]) -> None:
    """Let a call refuse its arguments. It does nothing if it would not."""
    given = dict(arguments)
    more = APPENDING.get(call.__name__)
    values = given.pop(more, ()) if more is not None else ()
    with suppress(AcceptedError):
        if values:
            first = given.pop(next(iter(given)))
            call(AgentDataStore(scope), first, *values, **given)
        else:
            call(AgentDataStore(scope), **given)


def accepted(data_store: AgentDataStore, **arguments: Any) -> None:
    """Refuse nothing: for the parts of a call that has been checked as a whole."""
