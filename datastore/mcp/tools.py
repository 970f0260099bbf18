"""The tools: what a model reads about each, what it may give, and what is done with it.

A tool is a call of `AgentDataStore`, with the namespace as one argument more. What a model reads costs its context, so
everything here is short, and each tool returns no more than fits (`datastore.mcp.results`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from datastore.arguments import shown
from datastore.asynchronous.agent import AsyncAgentDataStore
from datastore.errors import InvalidValueError, kind_of
from datastore.mcp.results import fitting, piece, size_of

if TYPE_CHECKING:
    from datastore.record import Record

Arguments: TypeAlias = dict[str, Any]
Schema: TypeAlias = dict[str, Any]
Run: TypeAlias = Callable[[AsyncAgentDataStore, Arguments, int], Awaitable[dict[str, Any]]]
"""Does what a tool does. It takes the store in the right namespace, the arguments, and how many characters fit."""

_MOST_KEYS, _MOST_RECORDS = 1_000, 100
_SPARE = 300
"""Characters of a result for what is beside the values."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool.

    Attributes:
        name: Its name, which is that of the call.
        title: What people read.
        description: What a model reads.
        parameters: The JSON Schemas of its parameters, by name.
        required: Which of them must be given.
        run: Does it.
        writes: Whether it can change something.
        destructive: Whether it can change or remove what was there before.
        idempotent: Whether to do it twice is the same as to do it once.
    """

    name: str
    title: str
    description: str
    parameters: Mapping[str, Schema]
    required: tuple[str, ...]
    run: Run
    writes: bool = False
    destructive: bool = False
    idempotent: bool = False

    @property
    def makes(self) -> str:
        """The name of the call that it makes: `get` tells the revision as well, and `find` goes on with a cursor."""
        return {"get": "get_record", "find": "find_records"}.get(self.name, self.name)

    @property
    def schema(self) -> Schema:
        """The JSON Schema of its arguments."""
        return {
            "type": "object",
            "properties": dict(self.parameters),
            "required": list(self.required),
            "additionalProperties": False,
        }

    def check(self, arguments: Mapping[str, Any] | None) -> Arguments:
        """Return the arguments that were given. An optional one that is null was not given.

        Raises:
            InvalidValueError: If one is missing, unknown, of the wrong type, or out of its bounds.
        """
        given: Arguments = {}
        for name, value in (arguments or {}).items():
            schema = self.parameters.get(name)
            if schema is None:
                raise InvalidValueError(
                    f"{self.name} has no parameter {shown(name)}; it has {', '.join(self.parameters)}"
                )
            if value is None and name not in self.required:
                continue
            _check(name, value, schema)
            given[name] = value
        for name in self.required:
            if name not in given:
                raise InvalidValueError(
                    f"{self.name} needs the argument {name}: {self.parameters[name]['description']}"
                )
        return given


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def _check(name: str, value: Any, schema: Schema) -> None:
    wanted = schema["type"]
    kinds = [wanted] if isinstance(wanted, str) else wanted
    if not any(
        isinstance(value, _TYPES[kind]) and (kind == "boolean" or value.__class__ is not bool) for kind in kinds
    ):
        raise InvalidValueError(f"{name} is {kind_of(value)}; give {' or '.join(kinds)}: {schema['description']}")
    for index, item in enumerate(value if "items" in schema else ()):
        _check(f"{name}[{index}]", item, schema["items"])
    size = len(value) if isinstance(value, list) else value
    least, most = schema.get("minimum", schema.get("minItems")), schema.get("maximum", schema.get("maxItems"))
    if (least is not None and size < least) or (most is not None and size > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        what = f"{name} has {size} items; give" if isinstance(value, list) else f"{name} is {shown(value)}; it must be"
        raise InvalidValueError(f"{what} {bounds}")


# ------------------------------------------------------------------------------------------------------- parameters


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


_KEY = _text("The key, such as 'plan' or 'users/42'")
_KEYS: Schema = {
    "type": "array",
    "items": _KEY,
    "minItems": 1,
    "maxItems": _MOST_RECORDS,
    "description": f"Up to {_MOST_RECORDS} keys",
}
NAMESPACE = _text("Another namespace than the one you begin in")
_VALUE: Schema = {
    "type": ["object", "array", "string", "number", "boolean", "null"],
    "description": "The value: any JSON, itself and not JSON in a string",
}
_METADATA: Schema = {"type": "object", "description": "Notes about the record, such as {'source': 'web'}; merged"}
_TTL: Schema = {"type": "number", "description": "Seconds until the record expires; without it never"}
_IF_REVISION = _text("Do it only if the record is still at this revision, as get returned it")
_PREFIX = _text("Only keys that begin with this")
_CURSOR = _text("To go on: the cursor of the previous result, with all other arguments as before")
_FILTER: Schema = {
    "type": "object",
    "description": (
        "A MongoDB filter on the value, such as {'price': {'$lt': 10}, 'tags': 'new'}; {} for all. "
        "$key, $createdAt, $updatedAt, $createdByAgent and $metadata.<field> are about the record"
    ),
}
_SORT: Schema = {
    "type": "array",
    "items": _text("A path, with - before it for descending"),
    "maxItems": 32,
    "minItems": 1,
    "description": "Paths to sort by, such as ['-price', 'name', '$updatedAt']; without it by key",
}


def _limit(default: int, most: int) -> Schema:
    return {
        "type": "integer",
        "minimum": 1,
        "maximum": most,
        "description": f"The most to return; {default} if it is not given",
    }


# ------------------------------------------------------------------------------------------------------------ reading


async def _get(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    record = await store.get_record(given["key"], count=True)
    if record is None:
        return {"found": False}
    return {"found": True, **piece(record.value, given.get("offset", 0), size - _SPARE), "revision": record.revision}


async def _get_many(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    found = await store.get_many(given["keys"])
    missing = [key for key in dict.fromkeys(given["keys"]) if key not in found]
    room = size - _SPARE - size_of(missing)
    values: dict[str, Any] = {}
    for key, value in found.items():
        room -= size_of({key: value})
        if room < 0:
            break
        values[key] = value
    left_out = [key for key in found if key not in values]
    return {"values": values, "missing": missing, "left_out": left_out}


async def _get_record(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    record = await store.get_record(given["key"])
    if record is None:
        return {"found": False}
    return {"found": True, "record": _whole(record, size - _SPARE)}


def _whole(record: Record, size: int) -> dict[str, Any]:
    """Return a record with its provenance; without its value if that does not fit."""
    told = record.model_dump(mode="json", exclude={"id", "user_id", "value"})
    told["value"] = record.value
    if size_of(told) > size:
        told.pop("value")
        told["value_left_out"] = True
    return told


async def _exists(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    return {"exists": await store.exists(given["key"])}


async def _list_keys(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    limit, after, reverse = given.get("limit", 100), given.get("cursor"), given.get("reverse", False)
    place = {} if after is None else {"end" if reverse else "start": after}
    # Two more than are returned: the one to go on after, and one to know whether more follow.
    keys = await store.list_keys(given.get("prefix"), reverse=reverse, limit=limit + 2, **place)
    return _listed("keys", [key for key in keys if key != after], limit, size)


async def _list_namespaces(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    limit, after = given.get("limit", 100), given.get("cursor")
    names = await store.list_namespaces(given.get("prefix"), start=after, limit=limit + 2)
    return _listed("namespaces", [name for name in names if name != after], limit, size)


def _listed(name: str, found: list[str], limit: int, size: int) -> dict[str, Any]:
    told = fitting(found[:limit], size - _SPARE, str)
    return {name: told, "cursor": told[-1] if len(told) < len(found) else None}


async def _find(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    limit = given.get("limit", 20)
    room = size - _SPARE
    while True:
        page = await store.find_records(
            given.get("filter"),
            prefix=given.get("prefix"),
            sort=[_direction(path) for path in given.get("sort", ())] or None,
            fields=given.get("fields"),
            limit=limit,
            cursor=given.get("cursor"),
        )
        told = fitting(page.records, room, lambda record: _found(record, room))
        if len(told) == len(page.records):
            return {"records": told, "cursor": page.cursor}
        limit = len(told)  # so that the cursor says where to go on after those that fit


def _direction(path: str) -> tuple[str, int]:
    return (path[1:], -1) if path.startswith("-") else (path, 1)


def _found(record: Record, size: int) -> dict[str, Any]:
    told: dict[str, Any] = {"key": record.key, "value": record.value, "revision": record.revision}
    if record.metadata:
        told["metadata"] = record.metadata
    if size_of(told) <= size:
        return told
    return {"key": record.key, "value_left_out": True, "revision": record.revision}


async def _count(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    return {"count": await store.count(given.get("filter"), prefix=given.get("prefix"))}


# ------------------------------------------------------------------------------------------------------------ writing


async def _set(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    return {
        "revision": await store.set(
            given["key"],
            given["value"],
            given.get("metadata"),
            ttl=given.get("ttl"),
            if_revision=given.get("if_revision"),
        )
    }


async def _add(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    return {"revision": await store.add(given["key"], given["value"], given.get("metadata"), ttl=given.get("ttl"))}


async def _create(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    key = await store.create(
        given["value"], given.get("metadata"), prefix=given.get("prefix", ""), ttl=given.get("ttl")
    )
    return {"key": key}


async def _update(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    value = await store.update(given["key"], given["changes"], ttl=given.get("ttl"))
    return {"value": value} if size_of(value) <= size - _SPARE else {"value_left_out": True}


async def _increment(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    return {"value": await store.increment(given["key"], given.get("by", 1), ttl=given.get("ttl"))}


async def _append(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    return {"length": len(await store.append(given["key"], *given["items"], ttl=given.get("ttl")))}


async def _touch(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    return {"found": await store.touch(given["key"], ttl=given["ttl"])}


async def _delete(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    return {"deleted": await store.delete(given["key"], if_revision=given.get("if_revision"))}


async def _claim(store: AsyncAgentDataStore, given: Arguments, size: int) -> dict[str, Any]:
    record = await store.claim(
        given.get("filter"),
        ttl=given["ttl"],
        prefix=given.get("prefix"),
        sort=[_direction(path) for path in given.get("sort", ())] or None,
    )
    return {"found": False} if record is None else {"found": True, "record": _found(record, size - _SPARE)}


# -------------------------------------------------------------------------------------------------------------- tools

TOOLS: tuple[Tool, ...] = (
    Tool(
        "get",
        "Get a value",
        "Return the value under a key: {found, value, revision}. A value that is too large comes in pieces of its JSON "
        "text: {cut, json_text, next_offset, length}; call again with offset = next_offset until that is null.",
        {
            "key": _KEY,
            "offset": {"type": "integer", "minimum": 0, "description": "For the next piece of a large value"},
            "namespace": NAMESPACE,
        },
        ("key",),
        _get,
    ),
    Tool(
        "get_many",
        "Get several values",
        "Return the values under several keys: {values, missing, left_out}. missing are the keys that have no record; "
        "left_out are those whose values did not fit into this result: get them with another call.",
        {"keys": _KEYS, "namespace": NAMESPACE},
        ("keys",),
        _get_many,
    ),
    Tool(
        "get_record",
        "Look at a record",
        "Return a record with what is known about it: value, metadata, revision, createdAt, createdByAgent, updatedAt, "
        "updatedByAgent, accessCount, expiresAt and more: {found, record}. If the value is too large it is left out; "
        "get returns it in pieces.",
        {"key": _KEY, "namespace": NAMESPACE},
        ("key",),
        _get_record,
    ),
    Tool(
        "exists",
        "Look whether there is a record",
        "Return whether there is a record under a key: {exists}.",
        {"key": _KEY, "namespace": NAMESPACE},
        ("key",),
        _exists,
    ),
    Tool(
        "list_keys",
        "List keys",
        "Return the keys of the namespace in order: {keys, cursor}. If cursor is not null there are more: call again "
        "with it.",
        {
            "prefix": _PREFIX,
            "reverse": {"type": "boolean", "description": "From the last key to the first"},
            "limit": _limit(100, _MOST_KEYS),
            "cursor": _CURSOR,
            "namespace": NAMESPACE,
        },
        (),
        _list_keys,
    ),
    Tool(
        "find",
        "Find records",
        "Return the records whose values match a filter: {records: [{key, value, revision, metadata}], cursor}. If "
        "cursor is not null there are more: call again with it. A value that is too large is left out; get returns it. "
        "Ask only for the fields that you need. Example: {'filter': {'status': 'open'}, 'sort': ['-priority'], "
        "'fields': ['title'], 'limit': 5}.",
        {
            "filter": _FILTER,
            "prefix": _PREFIX,
            "sort": _SORT,
            "fields": {
                "type": "array",
                "items": _text("A path, such as 'address.city'"),
                "minItems": 1,
                "maxItems": _MOST_RECORDS,
                "description": "Which fields of each value to return; without it the whole value",
            },
            "limit": _limit(20, _MOST_RECORDS),
            "cursor": _CURSOR,
            "namespace": NAMESPACE,
        },
        (),
        _find,
    ),
    Tool(
        "count",
        "Count records",
        "Return how many records the namespace holds, or how many of them match a filter: {count}.",
        {"filter": _FILTER, "prefix": _PREFIX, "namespace": NAMESPACE},
        (),
        _count,
    ),
    Tool(
        "list_namespaces",
        "List namespaces",
        "Return the namespaces that hold a record and that you may read: {namespaces, cursor}. If cursor is not null "
        "there are more: call again with it.",
        {
            "prefix": _text("Only namespaces that begin with this"),
            "limit": _limit(100, _MOST_KEYS),
            "cursor": _CURSOR,
        },
        (),
        _list_namespaces,
    ),
    Tool(
        "set",
        "Store a value",
        "Store a value under a key, in place of what is there: {revision}. Without ttl it never expires. So that "
        "nobody's change is lost, give if_revision; to change a part of an object use update. Example: "
        "{'key': 'plan', 'value': {'steps': ['read', 'write']}}.",
        {
            "key": _KEY,
            "value": _VALUE,
            "metadata": _METADATA,
            "ttl": _TTL,
            "if_revision": _IF_REVISION,
            "namespace": NAMESPACE,
        },
        ("key", "value"),
        _set,
        writes=True,
        destructive=True,
        idempotent=True,
    ),
    Tool(
        "add",
        "Store a new value",
        "Store a value under a key, but only if there is no record yet: {revision}. Otherwise it is a KeyExistsError, "
        "and nothing has changed.",
        {"key": _KEY, "value": _VALUE, "metadata": _METADATA, "ttl": _TTL, "namespace": NAMESPACE},
        ("key", "value"),
        _add,
        writes=True,
    ),
    Tool(
        "create",
        "Store a value under a new key",
        "Store a value under a new key that nobody can guess: {key}.",
        {
            "value": _VALUE,
            "prefix": _text("What the key begins with, such as 'notes/'"),
            "metadata": _METADATA,
            "ttl": _TTL,
            "namespace": NAMESPACE,
        },
        ("value",),
        _create,
        writes=True,
    ),
    Tool(
        "update",
        "Change a part of an object",
        "Change a part of a stored object without losing anybody's change, and return the new object: {value}. changes "
        "are fields to set, or MongoDB's update operators ($set $unset $inc $mul $min $max $push $pull $addToSet "
        "$rename and others). A missing record counts as {}. Examples: {'key': 'job', 'changes': {'status': 'done'}}, "
        "{'key': 'job', 'changes': {'$inc': {'tries': 1}, '$set': {'address.city': 'Bonn'}}}.",
        {
            "key": _KEY,
            "changes": {"type": "object", "description": "Fields to set, or update operators"},
            "ttl": _TTL,
            "namespace": NAMESPACE,
        },
        ("key", "changes"),
        _update,
        writes=True,
        destructive=True,
    ),
    Tool(
        "increment",
        "Add to a number",
        "Add to a stored number without losing anybody's change, and return the new number: {value}. A missing record "
        "counts as 0.",
        {
            "key": _KEY,
            "by": {"type": "number", "description": "How much, also negative; 1 if it is not given"},
            "ttl": _TTL,
            "namespace": NAMESPACE,
        },
        ("key",),
        _increment,
        writes=True,
    ),
    Tool(
        "append",
        "Append to an array",
        "Append to a stored array without losing anybody's change, and return how long it is now: {length}. A missing "
        "record counts as []. Example: {'key': 'log', 'items': ['started']}.",
        {
            "key": _KEY,
            "items": {
                "type": "array",
                "minItems": 1,
                "maxItems": 10_000,
                "description": "What to append, each any JSON",
            },
            "ttl": _TTL,
            "namespace": NAMESPACE,
        },
        ("key", "items"),
        _append,
        writes=True,
    ),
    Tool(
        "touch",
        "Move an expiry",
        "Let a record expire a number of seconds from now, or never (ttl null): {found}. Its value stays as it is.",
        {
            "key": _KEY,
            "ttl": {"type": ["number", "null"], "description": "Seconds from now; null for never"},
            "namespace": NAMESPACE,
        },
        ("key", "ttl"),
        _touch,
        writes=True,
        destructive=True,
        idempotent=True,
    ),
    Tool(
        "delete",
        "Delete a record",
        "Remove the record under a key: {deleted}, which is false if there was none. It cannot be undone.",
        {"key": _KEY, "if_revision": _IF_REVISION, "namespace": NAMESPACE},
        ("key",),
        _delete,
        writes=True,
        destructive=True,
        idempotent=True,
    ),
    Tool(
        "claim",
        "Take a job",
        "Take one job of several workers' queue: the first record that matches and that nobody holds, for ttl seconds: "
        "{found, record}. Nobody else gets it meanwhile. When it is done, delete it, with if_revision = its revision: "
        "a ConflictError means that you held it for too long and somebody else has it now. Example: {'prefix': "
        "'jobs/', 'filter': {'kind': 'mail'}, 'ttl': 300}.",
        {
            "filter": _FILTER,
            "ttl": {"type": "number", "description": "For how many seconds you hold it"},
            "prefix": _PREFIX,
            "sort": _SORT,
            "namespace": NAMESPACE,
        },
        ("ttl",),
        _claim,
        writes=True,
        destructive=True,
    ),
)
"""All tools, those that only read first. There is none that removes many records at once: a wrong filter of a model
would remove what nobody can bring back."""
BY_NAME: Mapping[str, Tool] = {tool.name: tool for tool in TOOLS}
