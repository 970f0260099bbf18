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
from datastore.memory.splitting import Splitter, check_split
from datastore.memory.vectors import packed
from datastore.remote.served import AcceptedError
from datastore.scope import Scope
from datastore.values import MAX_METADATA_BYTES, MAX_VALUE_BYTES, checked
from datastore.wire.arguments import item_to_json, plain_query, seconds, split_to_json, vector_to_json
from datastore.wire.calls import APPENDING
from datastore.wire.messages import dump

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
    more_of_it = APPENDING.get(call.__name__)  # a tuple of all that a call was given one by one
    told = {name: value if name == more_of_it else _prepared(name, value) for name, value in arguments.items()}
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
    if name == "items":
        return list(items_of(value))
    if name == "texts":
        return _texts(value)
    if name == "vectors" and not is_a(value, str):
        vectors = _listed(value)
        return (
            [_packed(one, f"vectors[{place}]") for place, one in enumerate(vectors)]
            if type(vectors) is list
            else vectors
        )
    if name == "split":
        return check_split(value)
    if name in ("vector", "text_or_vector") and value is not None and not is_a(value, str):
        return _packed(value, name)
    return value


def _texts(texts: Any) -> Any:
    """Return the texts of `datastore.Memory.add_many` such that they can be used more than once."""
    if is_a(texts, str):  # the call says that it is one text
        return texts
    if is_mapping(texts):
        return [one if isinstance(one, Item) else Item(*one) for one in items_of(texts)]
    return _listed(texts)


def _packed(vector: Any, name: str) -> memoryview[float]:
    """Return a vector as the call takes it, too: as its floats in memory."""
    return memoryview(packed(vector, name)).cast("f")


def _listed(some: Any) -> Any:
    """Return a list of what can be iterated, and anything else as it is: the call says what is wrong with it."""
    try:
        iterator = iter(some)
    except TypeError:
        return some
    return list(iterator)


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
    if name == "texts" and type(value) is list:
        return f'"texts":[{",".join(map(_text, value))}]'
    if name == "vectors" and type(value) is list:
        return f'"vectors":[{",".join(map(_vector, value))}]'
    if isinstance(value, Splitter):
        return f'"split":{dump(split_to_json(value)).decode()}'
    if type(value) is memoryview:
        return f'"{name}":{_vector(value)}'
    return f'"{name}":{checked(value, name, _LARGEST.get(name, _ANY_SIZE))[1]}'


def _vector(vector: memoryview[float]) -> str:
    return dump(vector_to_json(vector.tobytes())).decode()


def _text(text: Any) -> str:
    if type(text) is Item:
        return _item(text)
    value = checked(text)[1]
    return value if is_a(text, str) else f'{{"value":{value}}}'


def _item(item: tuple[str, Any] | Item) -> str:
    if not isinstance(item, Item):
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
