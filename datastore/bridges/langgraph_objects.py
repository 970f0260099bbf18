"""Whether objects are what LangGraph's serializer has written: for reading files of others, and for comparing.

The serializer hands over what is left of an object that it cannot make, such as a dict in place of an instance, and
says so in a log at most. Whoever stores that again has lost the object. So what was read is compared with what was
written.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from datastore.bridges.extras import needs
from datastore.bridges.importing import UnreadableError
from datastore.bridges.langgraph_values import without_tuples

with needs("LangGraph", "langgraph"):
    from langgraph.checkpoint.base import WRITES_IDX_MAP, CheckpointTuple, get_serializable_checkpoint_metadata
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from langgraph.checkpoint.serde.jsonplus import EXT_PYDANTIC_V2, JsonPlusSerializer

_COMPARING = JsonPlusSerializer(pickle_fallback=True)  # it writes here, and never reads what is pickled


def check_whole(serde: SerializerProtocol, kind: str, data: bytes, value: Any) -> None:
    """Refuse a value if objects were lost when it was read. What another serializer makes cannot be looked into.

    Raises:
        UnreadableError: With the names of their classes.
    """
    lost: list[str] = []
    if not isinstance(serde, JsonPlusSerializer):
        return
    if kind == "msgpack":
        again = serde.dumps_typed(value)
        if again != (kind, data):  # sets have no order, and what another version wrote may look different
            lost = sorted(_classes(data) - (_classes(again[1]) if again[0] == kind else Counter()))
    elif kind == "json":  # as versions before 2 of langgraph-checkpoint wrote
        for made in _constructed(json.loads(data)):
            if (revived := serde.loads_typed(("json", json.dumps(made).encode()))) is None or isinstance(revived, dict):
                lost.append(".".join(map(str, made.get("id", ["?"]))))
    if lost:
        raise UnreadableError(
            f"it holds an object of {', '.join(lost)} that cannot be made here: the module must be importable, and "
            "the serializer must allow the class"
        )


def _classes(data: bytes) -> Counter[str]:
    """Count the objects in what was serialised, by their classes, without making any."""
    found: Counter[str] = Counter()

    def note(code: int, inner: bytes) -> bytes:
        made = reader.loads_typed(("msgpack", inner))
        found[".".join(map(str, made[:2])) if code <= EXT_PYDANTIC_V2 else f"extension {code}"] += 1
        return inner  # which can be a member of a set, as what it stands for may be

    reader = JsonPlusSerializer(__unpack_ext_hook__=note)
    reader.loads_typed(("msgpack", data))
    return found


def _constructed(value: Any) -> Iterator[dict[str, Any]]:
    """Yield what stands for an object in JSON, from the outside to the inside."""
    if isinstance(value, dict):
        if value.get("lc") in (1, 2) and value.get("type") == "constructor":
            yield value
        for member in value.values():
            yield from _constructed(member)
    elif isinstance(value, list):
        for member in value:
            yield from _constructed(member)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, type for type, or say that they are equal."""
    try:
        if _COMPARING.dumps_typed(one) == _COMPARING.dumps_typed(other):
            return True
        return type(one) is type(other) and bool(one == other)
    except Exception:  # noqa: BLE001 - whatever objects raise that cannot be compared, such as arrays
        return False


def is_like(ours: CheckpointTuple, theirs: CheckpointTuple) -> bool:
    """Whether a checkpoint is here as it is in the file. Pending writes may have been added here since."""
    one, other = dict(ours.checkpoint), dict(theirs.checkpoint)
    values, expected = cast(Any, one.pop("channel_values")), cast(Any, other.pop("channel_values"))
    metadata = without_tuples(get_serializable_checkpoint_metadata(theirs.config, theirs.metadata))
    here = list(ours.pending_writes or ())
    return (
        ours.parent_config == theirs.parent_config
        and same(one, other)
        and same(dict(ours.metadata), metadata)
        and values.keys() == expected.keys()
        and all(same(values[channel], expected[channel]) for channel in values)
        and all(any(_is_write(write, mine) for mine in here) for write in theirs.pending_writes or ())
    )


def _is_write(write: tuple[str, str, Any], mine: tuple[str, str, Any]) -> bool:
    return write[:2] == mine[:2] and (write[1] in WRITES_IDX_MAP or same(write[2], mine[2]))
