"""The OpenAPI document: every call with its parameters, answers and errors.

It is made of the table of calls (`datastore.wire.calls`), so a new call of an agent is described by itself; a parameter
with a new name needs a schema in `_PARAMETERS`.
"""

from __future__ import annotations

import inspect
from typing import Any, get_args

from datastore.blobs.heads import TOGETHER
from datastore.blobs.uploads import REQUEST
from datastore.calls.leases import LONGEST
from datastore.calls.lending import MOST_AT_ONCE, MOST_UNDER, RUNS
from datastore.memory.items import Metric
from datastore.memory.splitting import LARGEST, SMALLEST
from datastore.runs.checking import KINDS
from datastore.runs.entries import STATUSES
from datastore.server.settings import ServerLimits
from datastore.values import MAX_METADATA_BYTES, MAX_VALUE_BYTES
from datastore.wire import INSTANCE, JSON_TYPE, KEY, LINES_TYPE, PREFIX, REPEAT
from datastore.wire import __doc__ as _protocol
from datastore.wire.calls import CALLS, METHODS, Call, Result

_NAME = {"type": "string", "minLength": 1, "maxLength": 512}
_SECONDS = {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "Seconds."}
_FLAG = {"type": "boolean"}
_ANYTHING = {"description": f"Anything JSON, up to {MAX_VALUE_BYTES:,} bytes and 200 levels."}
_OBJECT = {"type": "object", "additionalProperties": True}
_FILTER = {"type": ["object", "null"], "description": "A filter in MongoDB's language; see docs/queries.md."}
_LIMIT = {"type": ["integer", "null"], "minimum": 1}
_KEYS = {"type": "array", "items": _NAME}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_METADATA = {"type": ["object", "null"], "description": f"What to keep with it, up to {MAX_METADATA_BYTES:,} bytes."}
_ITEM = {
    "type": "object",
    "properties": {
        "key": _NAME,
        "value": _ANYTHING,
        "metadata": _METADATA,
        "ttl": _SECONDS,
        "if_revision": _TEXT_OR_NULL,
        "namespace": {"type": ["string", "null"]},
    },
    "required": ["key", "value"],
    "additionalProperties": False,
}
_LEASES = {
    "type": ["array", "null"],
    "items": {
        "type": "object",
        "properties": {
            "namespace": {"type": "string"},
            "name": _NAME,
            "number": {"type": "integer"},
            "handle": {"type": "string"},
            "area": {"enum": [None, RUNS], "description": "For the lease of a run."},
        },
        "required": ["namespace", "name", "number", "handle"],
        "additionalProperties": False,
    },
}
_PARAMETERS: dict[str, dict[str, Any]] = {
    "key": _NAME,
    "keys": _KEYS,
    "value": _ANYTHING,
    "metadata": _METADATA,
    "ttl": _SECONDS,
    "lease": _SECONDS,
    "refresh": _SECONDS,
    "touch": _FLAG,
    "count": {**_FLAG, "description": "Whether to count an access."},
    "reverse": _FLAG,
    "if_revision": _TEXT_OR_NULL,
    "revision": _TEXT_OR_NULL,
    "prefix": _TEXT_OR_NULL,
    "namespace_prefix": _TEXT_OR_NULL,
    "name": {"type": "string", "minLength": 1, "maxLength": 255},
    "after": {"type": "integer", "minimum": 0},
    "before": {"type": ["integer", "null"], "minimum": 1},
    "start": _TEXT_OR_NULL,
    "end": _TEXT_OR_NULL,
    "cursor": _TEXT_OR_NULL,
    "limit": _LIMIT,
    "skip": {"type": "integer", "minimum": 0},
    "by": {"type": "number"},
    "items": {"oneOf": [{"type": "array", "items": _ITEM}, _OBJECT], "description": "Items, or values by key."},
    "filter": _FILTER,
    "meta": _FILTER,
    "changes": {"type": "object", "description": "Fields to set, or update operators; see docs/queries.md."},
    "sort": {
        "description": "A path, or pairs of a path and 1 or -1.",
        "oneOf": [
            {"type": "null"},
            {"type": "string"},
            {"type": "array", "items": {"type": "array", "prefixItems": [{"type": "string"}, {"enum": [1, -1]}]}},
        ],
    },
    "fields": {
        "description": "Paths, or paths to 1, or paths to 0.",
        "oneOf": [{"type": "null"}, {"type": "array", "items": {"type": "string"}}, _OBJECT],
    },
}
_BLOB_NAME = {"type": "string", "minLength": 1, "maxLength": 255}
_CONTENT = {"type": "string", "contentEncoding": "base64", "description": "Up to 2 MiB, in base64."}
_BYTES = {"type": "integer", "minimum": 0, "multipleOf": REQUEST, "description": "Bytes that were stored before."}
_PARAMETERS |= {
    "content_type": _TEXT_OR_NULL,
    "grace": {"type": "number", "minimum": 0, "description": "Seconds."},
    "data": _CONTENT,
    "version": {"type": "string"},
    "handle": {"type": "string"},
    "at": _BYTES,
    "written": _BYTES,
    "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "The SHA-256 of the whole content."},
    "numbers": {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": TOGETHER},
}
_VECTOR = {
    "description": "A vector: an array of numbers, or its float32, little-endian, in base64.",
    "oneOf": [
        {"type": "null"},
        {"type": "array", "items": {"type": "number"}},
        {
            "type": "object",
            "properties": {"float32": {"type": "string", "contentEncoding": "base64"}},
            "required": ["float32"],
            "additionalProperties": False,
        },
    ],
}
_TEXT = {"properties": _ITEM["properties"], "required": ["value"], "type": "object", "additionalProperties": False}
_PARAMETERS |= {
    "text": _ANYTHING,
    "texts": {
        "description": "Texts, or objects with what belongs to each; or texts by key.",
        "oneOf": [{"type": "array", "items": {"oneOf": [{"type": "string"}, _TEXT]}}, _OBJECT],
    },
    "vector": _VECTOR,
    "split": {
        "description": "How to split a text into parts, each of which gets a vector of its own: characters.",
        "type": ["object", "null"],
        "properties": {
            "size": {"type": "integer", "minimum": SMALLEST, "maximum": LARGEST},
            "overlap": {"type": "integer", "minimum": 0},
        },
        "required": ["size"],
        "additionalProperties": False,
    },
    "vectors": {"type": ["array", "null"], "items": _VECTOR},
    "text_or_vector": {"oneOf": [{"type": "string"}, *_VECTOR["oneOf"][1:]]},
    "n": {"type": "integer", "minimum": 1, "maximum": ServerLimits().nearest, "description": "How many at most."},
    "min_score": {"type": ["number", "null"]},
    "metric": {"enum": list(get_args(Metric))},
    "keywords": {"type": "boolean", "description": "Whether words count as well as meaning."},
    "exact": {**_FLAG, "description": "Whether every record must be compared, and no index of the database used."},
    "namespaces": {"type": "object", "additionalProperties": {"type": ["integer", "null"], "minimum": 0}},
}
_NUMBER = {"type": "integer", "minimum": 0}
_RUN = {"type": "string", "minLength": 1, "maxLength": 200}
_RUN_OR_NULL = {**_RUN, "type": ["string", "null"]}
_PARAMETERS |= {
    "id": _RUN,
    "new_id": _RUN_OR_NULL,
    "input": _ANYTHING,
    "payload": _ANYTHING,
    "fence": {**_NUMBER, "description": "The fencing number of the run's lease."},
    "number": {**_NUMBER, "description": "The number of the last entry."},
    "entry": {
        "type": "object",
        "properties": {"kind": {"enum": KINDS}},
        "required": ["kind"],
        "description": "What is added to the run's journal.",
    },
    "state": {
        "type": ["object", "null"],
        "properties": {"set": _OBJECT, "removed": {"type": "array", "items": {"type": "string"}}},
        "additionalProperties": False,
        "description": "What has changed of the run's state since the last entry.",
    },
    "timeout": {"type": ["number", "string", "null"], "description": "Seconds, or text such as 21d."},
    "children": {"type": "array", "items": _RUN},
    "is_new": {**_FLAG, "description": "Whether the journal does not say yet that they were joined."},
    "first": _NUMBER,
    "status": {"enum": [None, *STATUSES]},
    "keep": {"type": ["number", "null"], "minimum": 0, "description": "Seconds."},
}
_HELD_FOR = {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST, "description": "Seconds."}
_OWN: dict[tuple[str, str], dict[str, Any]] = {
    ("run_start", "id"): _RUN_OR_NULL,
    ("run_start", "lease"): _HELD_FOR,
    ("run_resume", "lease"): _HELD_FOR,
    ("run_begin_children", "at"): _NUMBER,
    ("run_fork", "at"): _NUMBER,
    ("run_wait", "name"): _RUN,
    ("run_signal", "name"): _RUN,
    ("get", "touch"): _SECONDS,
    ("create", "prefix"): {"type": "string"},
    ("memory_add", "key"): {**_NAME, "type": ["string", "null"], "description": "null for a new one."},
    ("append", "items"): {"type": "array", "items": _ANYTHING},
    ("log_trim", "before"): {"type": "integer", "minimum": 1},
    ("log_append", "entries"): {"type": "array", "items": _ANYTHING, "minItems": 1},
    ("lease_take", "name"): _NAME,
    ("lease_take", "ttl"): _HELD_FOR,
    ("lease_renew", "leases"): {**_LEASES, "type": "array", "maxItems": MOST_AT_ONCE},
    ("lease_release", "leases"): {**_LEASES, "type": "array", "maxItems": MOST_AT_ONCE},
    ("claim", "ttl"): {"type": "number", "exclusiveMinimum": 0, "description": "Seconds."},
    ("compute_begin", "lease"): {"type": "number", "exclusiveMinimum": 0, "description": "Seconds."},
    ("compute_end", "lease"): {"type": "string"},
    ("compute_abandon", "lease"): {"type": "string"},
    ("find_in", "namespace_prefix"): {"type": "string"},
    ("delete_where", "filter"): {"type": "object"},
    ("update_where", "filter"): {"type": "object"},
}
"""Parameters that are something else in one call than in the others."""

_FOUND = {
    "type": "object",
    "properties": {"found": _FLAG, "value": _ANYTHING},
    "required": ["found"],
}
_RECORD_REFERENCE = {"$ref": "#/components/schemas/Record"}
_RESULTS: dict[Result, dict[str, Any]] = {
    Result.FOUND: _FOUND,
    Result.VALUE: _ANYTHING,
    Result.RECORD: {"oneOf": [{"type": "null"}, _RECORD_REFERENCE]},
    Result.TEXT: {"type": "string"},
    Result.BOOLEAN: {"type": "boolean"},
    Result.INTEGER: {"type": "integer"},
    Result.NOTHING: {"type": "null"},
    Result.SEEN: {**_FOUND, "properties": {**_FOUND["properties"], "revision": {"type": "string"}}},  # type: ignore[dict-item]  # it is a dict
    Result.WRITTEN: {
        "type": "object",
        "properties": {"done": _FLAG, "revision": _TEXT_OR_NULL},
        "required": ["done", "revision"],
    },
    Result.TAKEN: {
        "type": "object",
        "properties": {"number": {"type": "integer"}, "handle": {"type": "string"}},
        "required": ["number", "handle"],
    },
    Result.BLOB: {"$ref": "#/components/schemas/Blob"},
    Result.TOLD: {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Blob"}]},
    Result.PUTTING: {
        "type": "object",
        "properties": {"version": {"type": "string"}, "handle": {"type": "string"}},
        "required": ["version", "handle"],
    },
    Result.PARTS: {"type": "array", "items": _CONTENT},
    Result.KEYS: {"type": "array", "items": {"type": "string"}},
    Result.OPENED: {
        "type": "object",
        "properties": {
            "id": _RUN,
            "number": _NUMBER,
            "checkpoint": _NUMBER,
            "start": _OBJECT,
            "lease": {
                "type": "object",
                "properties": {"number": _NUMBER, "handle": {"type": "string"}},
                "required": ["number", "handle"],
            },
        },
        "required": ["id", "number", "checkpoint", "start", "lease"],
    },
    Result.ADDED: {"$ref": "#/components/schemas/RunEntry"},
    Result.RUN: {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Run"}]},
    Result.HELD: {"type": "array", "items": {"type": ["boolean", "null"]}},
    Result.BEGUN: {
        **_FOUND,
        "properties": {**_FOUND["properties"], "lease": {"type": "string"}, "revision": _TEXT_OR_NULL},  # type: ignore[dict-item]  # it is a dict
    },
}
_PAIR = {"type": "array", "minItems": 2, "maxItems": 2}
_SPAN = {**_PAIR, "prefixItems": [_NUMBER, _NUMBER]}
_ITEMS: dict[Result, dict[str, Any]] = {
    Result.TEXTS: {"type": "string"},
    Result.VALUES: {**_PAIR, "prefixItems": [{"type": "string"}, _ANYTHING]},
    Result.KEYED_RECORDS: {**_PAIR, "prefixItems": [{"type": "string"}, _RECORD_REFERENCE]},
    Result.RECORDS: _RECORD_REFERENCE,
    Result.PAGE: _RECORD_REFERENCE,
    Result.STATS: {"$ref": "#/components/schemas/NamespaceStats"},
    Result.ENTRIES: {"$ref": "#/components/schemas/Entry"},
    Result.BLOBS: {"$ref": "#/components/schemas/Blob"},
    Result.MATCHES: {
        "type": "array",
        "description": "How alike it is, the record, and where the nearest part of its text begins and ends.",
        "minItems": 3,
        "maxItems": 3,
        "prefixItems": [{"type": "number"}, _RECORD_REFERENCE, {"oneOf": [{"type": "null"}, _SPAN]}],
    },
    Result.PROGRESS: {**_PAIR, "prefixItems": [{"type": "integer"}, {"type": "integer"}]},
    Result.JOURNAL: {"$ref": "#/components/schemas/RunEntry"},
    Result.RUNS: {"$ref": "#/components/schemas/Run"},
    Result.HISTORY: {"$ref": "#/components/schemas/HistoryEntry"},
}
_TIME = {"type": "string", "format": "date-time"}
_STATUSES = {
    "400": "An argument is not one that the store takes.",
    "401": "The token is not valid.",
    "403": "The token does not allow it, or a quota would be exceeded.",
    "404": "There is no such call.",
    "408": "The body did not arrive in time.",
    "409": "The record is not at that revision, or is there already; some of a batch failed; or a lease is over, or "
    "another's; or there is no such run, or it is over.",
    "413": "The body, a value or its metadata is too large.",
    "415": f"The body is not {JSON_TYPE}.",
    "421": "The server does not answer to this host.",
    "429": "Too many calls: of this token in a minute, or at once.",
    "500": "A fault of the server or of what is stored, or nobody can tell what came of the call.",
    "501": "The host's database cannot do this.",
    "503": "The database does not answer, or the call may or may not have reached it.",
    "504": "The call took longer than it may.",
}


def document(version: str) -> dict[str, Any]:
    """Return the OpenAPI document.

    Args:
        version: That of the package.
    """
    paths = {f"{PREFIX}{name}": {"post": _operation(call)} for name, call in CALLS.items()}
    paths[f"{PREFIX}whoami"] = {"post": _whoami()}
    paths[f"{PREFIX}narrow"] = {"post": _narrow()}
    paths["/health"] = {
        "get": {
            "operationId": "health",
            "summary": "Whether the database answers.",
            "security": [],
            "responses": {
                status: {"description": text, "content": {JSON_TYPE: {"schema": _HEALTH}}}
                for status, text in (("200", "It does."), ("503", "It does not."))
            },
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "agent-datastore",
            "version": version,
            "summary": "The calls of one agent, as its token allows them.",
            "description": _protocol,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "dst_ and 43 URL-safe characters."}
            },
            "schemas": {
                "Error": _ERROR,
                "Record": _RECORD,
                "NamespaceStats": _STATS,
                "Entry": _ENTRY,
                "Blob": _BLOB,
                "Run": _RUN_INFO,
                "RunEntry": _RUN_ENTRY,
                "HistoryEntry": _HISTORY_ENTRY,
            },
            "headers": {
                "Instance": {
                    "description": f"{INSTANCE}: which process of the server has answered.",
                    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
                }
            },
            "responses": {
                status: {
                    "description": text,
                    "headers": {INSTANCE: {"$ref": "#/components/headers/Instance"}},
                    "content": {
                        JSON_TYPE: {
                            "schema": {
                                "type": "object",
                                "properties": {"error": {"$ref": "#/components/schemas/Error"}},
                                "required": ["error"],
                            }
                        }
                    },
                }
                for status, text in _STATUSES.items()
            },
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    required = [name for name, default in call.parameters.items() if default is inspect.Parameter.empty]
    properties = {name: _schema_of(call, name, default) for name, default in call.parameters.items()}
    content: dict[str, Any]
    if call.in_lines:
        content = {LINES_TYPE: {"schema": _lines_of(call)}}
    else:
        content = {JSON_TYPE: {"schema": _result(_RESULTS[call.result])}}
    return _described(call.name, call.summary, _arguments(properties, required), content, writes=call.writes)


def _schema_of(call: Call, name: str, default: Any) -> dict[str, Any]:
    schema = dict(_OWN.get((call.name, name)) or _PARAMETERS[name])
    if default is not inspect.Parameter.empty:
        schema["default"] = default
    return schema


def _lines_of(call: Call) -> dict[str, Any]:
    return {
        "type": "string",
        "description": (
            'Lines of JSON, each {"items": [...]}; the last one is {"end": {"items": <number>, "cursor": ...}} or '
            '{"error": ...}. Without it the answer was cut off.'
        ),
        "x-item": _ITEMS[call.result],
    }


def _arguments(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "namespace": {"type": ["string", "null"], "description": "Where; null for that of the token."},
            "arguments": arguments,
            "leases": {**_LEASES, "maxItems": MOST_UNDER, "description": "What a write is made under."},
        },
        "additionalProperties": False,
    }
    if required:
        arguments["required"] = required
        schema["required"] = ["arguments"]
    return schema


def _result(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"result": schema}, "required": ["result"]}


def _described(
    name: str, summary: str, request: dict[str, Any], content: dict[str, Any], *, writes: bool
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": {JSON_TYPE: {"schema": request}}},
        "responses": {
            "200": {
                "description": "It is done.",
                "headers": {INSTANCE: {"$ref": "#/components/headers/Instance"}},
                "content": content,
            },
            **{status: {"$ref": f"#/components/responses/{status}"} for status in _STATUSES if status != "404"},
        },
    }
    if writes:
        described["parameters"] = [
            {
                "name": KEY,
                "in": "header",
                "description": "Names the call, so that a repeat of it is not done twice.",
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{16,64}$"},
            },
            {
                "name": REPEAT,
                "in": "header",
                "description": f"For a repeat: the {INSTANCE} that it was first sent to, or unknown.",
                "schema": {"type": "string", "pattern": "^([0-9a-f]{32}|unknown)$"},
            },
        ]
    return described


def _whoami() -> dict[str, Any]:
    content = {JSON_TYPE: {"schema": _result({"type": "object", "required": ["userId", "agent", "namespace"]})}}
    summary = "Whose data the token opens, as which agent, and within which limits."
    return _described("whoami", summary, _arguments({}, []), content, writes=False)


def _narrow() -> dict[str, Any]:
    least = {"type": ["integer", "null"], "minimum": 0}
    properties = {
        "namespace": _TEXT_OR_NULL,
        "grants": {"type": ["object", "null"], "additionalProperties": {"enum": ["read", "write"]}},
        "quota": {
            "type": ["object", "null"],
            "properties": {"records": least, "bytes": least, "calls_per_minute": least},
            "additionalProperties": False,
        },
        "calls": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "description": f"Names of calls, or what they begin with and a star: {', '.join(sorted(METHODS))}.",
        },
        "ttl": _SECONDS,
        "label": {"type": "string", "maxLength": 200, "default": ""},
    }
    content = {JSON_TYPE: {"schema": _result({"type": "string"})}}
    summary = "Make a token that may do a part of what this one may, and return it."
    return _described("narrow", summary, _arguments(properties, []), content, writes=True)


_HEALTH = {"type": "object", "properties": {"status": {"enum": ["ok", "unavailable"]}}, "required": ["status"]}
_ERROR = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "The name of a class of datastore.errors."},
        "message": {"type": "string"},
        "retryable": {"type": "boolean"},
        "operation": {"type": "string"},
        "backend": {"type": "string"},
        "revision": _TEXT_OR_NULL,
        "outcomes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "key": {"type": "string"},
                    "namespace": {"type": "string"},
                    "error": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Error"}]},
                },
                "required": ["key", "error"],
            },
        },
        "unit": {"type": "string"},
        "limit": {"type": "integer"},
        "needed": {"type": "integer"},
        "id": _TEXT_OR_NULL,
        "foreign": {"type": "boolean"},
        "by_the_store": {"type": "boolean"},
        "holder": _TEXT_OR_NULL,
        "status": {"type": "string"},
    },
    "required": ["type", "message", "retryable"],
}
_RECORD = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "userId": {"type": "string"},
        "namespace": {"type": "string"},
        "key": {"type": "string"},
        "value": _ANYTHING,
        "metadata": _OBJECT,
        "createdByAgent": {"type": "string"},
        "updatedByAgent": _TEXT_OR_NULL,
        "lastAccessedByAgent": _TEXT_OR_NULL,
        "accessCount": {"type": "integer"},
        "createdAt": _TIME,
        "updatedAt": _TIME,
        "lastAccessedAt": {**_TIME, "type": ["string", "null"]},
        "expiresAt": {**_TIME, "type": ["string", "null"]},
        "revision": {"type": "string"},
    },
    "required": ["id", "userId", "namespace", "key", "value", "metadata", "createdAt", "updatedAt", "revision"],
}
_STATS = {
    "type": "object",
    "properties": {
        "namespace": {"type": "string"},
        "records": {"type": "integer"},
        "bytes": {"type": "integer"},
        "agents": {"type": "array", "items": {"type": "string"}},
        "updatedAt": _TIME,
    },
    "required": ["namespace", "records", "bytes", "agents", "updatedAt"],
}
_ENTRY = {
    "type": "object",
    "properties": {"number": {"type": "integer"}, "value": _ANYTHING, "agent": {"type": "string"}, "at": _TIME},
    "required": ["number", "value", "agent", "at"],
}
_BLOB = {
    "type": "object",
    "properties": {
        "name": _BLOB_NAME,
        "size": {"type": "integer"},
        "contentType": _TEXT_OR_NULL,
        "metadata": _OBJECT,
        "sha256": {"type": "string"},
        "revision": {"type": "string"},
        "createdAt": _TIME,
        "createdByAgent": {"type": "string"},
        "updatedAt": _TIME,
        "updatedByAgent": {"type": "string"},
        "expiresAt": {**_TIME, "type": ["string", "null"]},
        "version": {"type": "string", "description": "Which parts are read."},
        "partSize": {"type": "integer", "description": "Bytes of each part but the last one."},
    },
    "required": ["name", "size", "sha256", "revision", "createdAt", "updatedAt"],
}
_RUN_ENTRY = {
    "type": "object",
    "properties": {"number": _NUMBER, "value": _OBJECT},
    "required": ["number", "value"],
}
_RUN_INFO = {
    "type": "object",
    "properties": {
        "id": _RUN,
        "status": {"enum": list(STATUSES)},
        "waitingFor": _TEXT_OR_NULL,
        "until": {**_TIME, "type": ["string", "null"]},
        "parent": _TEXT_OR_NULL,
        "error": _TEXT_OR_NULL,
        "createdAt": _TIME,
        "entries": _NUMBER,
    },
    "required": ["id", "status", "waitingFor", "until", "parent", "error", "createdAt", "entries"],
}
_HISTORY_ENTRY = {
    "type": "object",
    "properties": {
        "number": _NUMBER,
        "kind": {"type": "string"},
        "name": {"type": "string"},
        "agent": {"type": "string"},
        "at": _TIME,
        "seconds": {"type": ["number", "null"]},
        "bytes": _NUMBER,
        "attempts": _NUMBER,
        "error": _TEXT_OR_NULL,
    },
    "required": ["number", "kind", "name", "agent", "at", "seconds", "bytes", "attempts", "error"],
}
