"""Messages: what stands in the body of a request and of an answer, and how it is read.

Both are JSON as `datastore.values` has it: whatever can be stored comes through unchanged, type for type. A parser that
takes an integer beyond 64 bits for a float is not used for a text that may have one.

A message is a few levels deeper than the value in it. So values are checked where they are on their own: at the client
before a request is made, and on the host by the call itself.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import orjson

from datastore.arguments import lone_surrogate
from datastore.backend import Document, NamespaceStats
from datastore.blobs import Blob
from datastore.blobs.steps import Begun as Putting
from datastore.blobs.steps import Told
from datastore.calls.changes import Seen, Written
from datastore.calls.claims import Begun
from datastore.calls.lending import MOST_UNDER, Claim, Taken, claims_of
from datastore.entries import Entry
from datastore.errors import DataStoreError, InternalError, InvalidValueError
from datastore.runs.entries import Entry as Added
from datastore.runs.entries import HistoryEntry, RunInfo
from datastore.runs.steps import Opened
from datastore.times import parse_time, text_of
from datastore.values import MAX_DEPTH, exact_text, exact_value
from datastore.wire.calls import MISSING, Result
from datastore.wire.errors import error_from_json

if TYPE_CHECKING:
    from datastore.record import Record

MAX_MESSAGE_DEPTH = MAX_DEPTH + 40
"""The deepest nesting of a message. A value in it may be `MAX_DEPTH` deep: the call says so of one that is deeper."""
LINE_BYTES = 64_000
"""A line of a listing ends as soon as it is this long."""

# Text that JSON has no type for must not be taken for one that it has.
_STRICT = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_BEYOND_64_BITS = b"0" * 19


def dump(message: Any) -> bytes:
    """Return the JSON of a message, in UTF-8, with every digit of its integers."""
    try:
        return orjson.dumps(message, option=_STRICT)
    except TypeError:
        return exact_text(message).encode()


def load(body: bytes) -> Any:
    """Return the message of a body.

    Raises:
        InvalidValueError: If it is not JSON, or nested deeper than `MAX_MESSAGE_DEPTH`, or holds what is no value:
            a number that is not finite, an integer of more than 4,300 digits, a lone surrogate.
    """
    try:
        message = _load_exactly(body) if _BEYOND_64_BITS in body.translate(_DIGITS_AS_ZEROS) else orjson.loads(body)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # what the parser says quotes nothing
        if isinstance(error, orjson.JSONDecodeError) and str(error).startswith("depth limit"):
            raise _too_deep() from None
        raise InvalidValueError(f"the body is not JSON: {error}") from None
    # Brackets in texts count as well: then the closer look decides.
    if body.count(b"[") + body.count(b"{") > MAX_MESSAGE_DEPTH and _is_deeper(message, MAX_MESSAGE_DEPTH):
        raise _too_deep()
    return message


def _load_exactly(body: bytes) -> Any:
    text = body.decode()
    message = exact_value(text)
    if "\\u" in text and lone_surrogate(json.dumps(message, ensure_ascii=False)) is not None:
        raise ValueError("it holds a lone surrogate")
    return message


def _too_deep() -> InvalidValueError:
    return InvalidValueError(f"the body is nested deeper than {MAX_MESSAGE_DEPTH} levels")


def _is_deeper(message: Any, most: int) -> bool:
    """Return whether something is nested deeper than so many levels: level by level, so that no stack is needed."""
    level = [message]
    for _ in range(most):
        inner: list[Any] = []
        for one in level:
            if type(one) is dict:
                inner += [child for child in one.values() if type(child) is dict or type(child) is list]
            elif type(one) is list:
                inner += [child for child in one if type(child) is dict or type(child) is list]
        if not inner:
            return False
        level = inner
    return True


# ------------------------------------------------------------------------------------------------------------ requests


class Request(NamedTuple):
    """What is asked."""

    namespace: str | None
    """``None`` for that of the token."""
    arguments: dict[str, Any]
    leases: Sequence[Claim] = ()
    """Those that a write is made under, the first one taken first."""


def request_to_bytes(namespace: str | None, arguments: Mapping[str, Any]) -> bytes:
    """Return the body of a request; the arguments are JSON."""
    return dump({"namespace": namespace, "arguments": arguments})


_REQUEST = frozenset({"namespace", "arguments", "leases"})


def request_from_bytes(body: bytes) -> Request:
    """Return what the body of a request asks.

    Raises:
        InvalidValueError: If it is not such a body.
    """
    message = load(body) if body else {}
    if type(message) is not dict or not message.keys() <= _REQUEST:
        raise InvalidValueError(
            'the body must be an object: {"namespace": ..., "arguments": {...}}, and perhaps "leases": [...]'
        )
    namespace, arguments = message.get("namespace"), message.get("arguments", {})
    if namespace is not None and type(namespace) is not str:
        raise InvalidValueError("namespace must be text, or null for that of the token")
    if type(arguments) is not dict:
        raise InvalidValueError("arguments must be an object")
    leases = message.get("leases")
    return Request(namespace, arguments, () if leases is None else claims_of(leases, MOST_UNDER))


# ------------------------------------------------------------------------------------------------------------- answers


def result_to_json(result: Result, returned: Any) -> Any:
    """Return what a call has returned, as JSON; for a call that is answered in lines there is `lines`."""
    match result:
        case Result.FOUND:
            return {"found": False} if returned is MISSING else {"found": True, "value": returned}
        case Result.RECORD:
            return None if returned is None else record_to_json(returned)
        case Result.SEEN:
            return {"found": False} if returned is None else {"found": True, **returned._asdict()}
        case Result.BEGUN:
            if returned.found:
                return {"found": True, "value": returned.value}
            if returned.lease is not None:
                return {"found": False, "lease": returned.lease, "revision": returned.revision}
            return {"found": False}
        case Result.WRITTEN | Result.TAKEN | Result.PUTTING | Result.ADDED:
            return returned._asdict()
        case Result.OPENED:
            return {**returned._asdict(), "lease": returned.lease._asdict()}
        case Result.RUN if returned is not None:
            return _run_to_json(returned)
        case Result.BLOB:
            return _blob_to_json(returned)
        case Result.TOLD if returned is not None:
            return {**_blob_to_json(returned.blob), "version": returned.version, "partSize": returned.part}
    return returned


def result_from_json(result: Result, told: Any) -> Any:
    """Return what a call returns, from the ``result`` of its answer. `MISSING` stands for a record that is not there.

    Raises:
        InternalError: If it is not what this call returns.
    """
    try:
        match result:
            case Result.FOUND:
                return told["value"] if told["found"] else MISSING
            case Result.RECORD:
                return None if told is None else record_from_json(told)
            case Result.SEEN:
                return Seen(told["value"], told["revision"]) if told["found"] else None
            case Result.BEGUN:
                if told["found"]:
                    return Begun(True, told["value"])
                return Begun(False, None, told.get("lease"), told.get("revision"))
            case Result.WRITTEN:
                return Written(told["done"], told["revision"])
            case Result.TAKEN:
                return Taken(told["number"], told["handle"])
            case Result.PUTTING:
                return Putting(told["version"], told["handle"])
            case Result.ADDED:
                return _added_from_json(told)
            case Result.OPENED:
                lease = Taken(told["lease"]["number"], told["lease"]["handle"])
                return Opened(told["id"], told["number"], told["checkpoint"], told["start"], lease)
            case Result.RUN if told is not None:
                return _run_from_json(told)
            case Result.BLOB:
                return _blob_from_json(told)
            case Result.TOLD if told is not None:
                return Told(_blob_from_json(told), told["version"], told["partSize"])
        return told
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _not_of_this_protocol() from error


def result_to_bytes(result: Result, returned: Any) -> bytes:
    """Return the body of the answer of a call that succeeded."""
    return dump({"result": result_to_json(result, returned)})


def error_to_bytes(told: dict[str, Any]) -> bytes:
    """Return the body of the answer of a call that failed; see `datastore.wire.errors.error_to_json`."""
    return dump({"error": told})


def answer_from_bytes(result: Result, body: bytes) -> Any:
    """Return the result in the body of an answer, or raise the error in it.

    Raises:
        DataStoreError: The call's own error; an `InternalError` if it is not such a body.
    """
    message = _loaded(body)
    if "error" in message:
        raise error_from_json(message["error"])
    if "result" not in message:
        raise _not_of_this_protocol()
    return result_from_json(result, message["result"])


def _loaded(body: bytes) -> dict[str, Any]:
    try:
        message = load(body)
    except InvalidValueError as error:
        raise _not_of_this_protocol() from error
    if type(message) is not dict:
        raise _not_of_this_protocol()
    return message


def _not_of_this_protocol() -> InternalError:
    return InternalError("the server's answer is not one of this protocol; is it a datastore server?")


# -------------------------------------------------------------------------------------------------- answers in lines


def lines(result: Result, returned: Iterable[Any]) -> Iterator[bytes]:
    """Yield the lines of an answer, the last one included, each with its line feed.

    What the iterable raises is raised; then a line with the error is to be the last one (`error_line`).

    Args:
        result: What kind of listing it is.
        returned: What the call has returned: a page, a mapping, or an iterable of what is listed. One that stands for a
            page returns its cursor at its end, as a generator does.
    """
    cursor = None
    items: Iterable[Any] = returned

    def paged() -> Iterator[Any]:
        nonlocal cursor
        cursor = yield from cast(Generator[Any, None, str | None], returned)

    if result is Result.PAGE:
        if isinstance(returned, tuple):
            items, cursor = returned
        else:
            items = paged()
    elif result is Result.VALUES and isinstance(returned, Mapping):
        items = returned.items()
    elif result is Result.KEYED_RECORDS:
        items = ((key, record_to_json(record)) for key, record in returned.items())  # type: ignore[attr-defined]  # as above
    if result in (Result.PAGE, Result.RECORDS):
        items = map(record_to_json, items)
    elif result is Result.STATS:
        items = map(_stats_to_json, items)
    elif result is Result.ENTRIES:
        items = map(_entry_to_json, items)
    elif result is Result.BLOBS:
        items = map(_blob_to_json, items)
    elif result is Result.MATCHES:
        items = ((score, record_to_json(record), part) for score, record, part in items)
    elif result is Result.JOURNAL:
        items = (one._asdict() for one in items)
    elif result is Result.RUNS:
        items = map(_run_to_json, items)
    elif result is Result.HISTORY:
        items = map(_told_to_json, items)
    parts: list[bytes] = []
    size, number = 0, 0
    for item in items:
        part = dump(item)
        parts.append(part)
        size += len(part)
        number += 1
        if size >= LINE_BYTES or result is Result.PROGRESS:
            yield b'{"items":[%s]}\n' % b",".join(parts)
            parts, size = [], 0
    if parts:
        yield b'{"items":[%s]}\n' % b",".join(parts)
    yield dump({"end": {"items": number, "cursor": cursor}}) + b"\n"


def error_line(told: dict[str, Any]) -> bytes:
    """Return the last line of an answer that an error has ended."""
    return error_to_bytes(told) + b"\n"


@dataclass(slots=True)
class Listing:
    """What a client has read so far of an answer in lines.

    Attributes:
        result: What kind of listing it is.
        number: How many items have come.
        cursor: Where to go on, after the last line.
        is_whole: Whether the last line has come, so that nothing is missing.
    """

    result: Result
    number: int = 0
    cursor: str | None = None
    is_whole: bool = False

    def read(self, line: bytes) -> list[Any]:
        """Return the items of a line: texts, records, stats, or pairs with a key.

        Raises:
            DataStoreError: The error that has ended the listing; an `InternalError` if it is not such a line.
        """
        message = _loaded(line)
        if "error" in message:
            raise error_from_json(message["error"])
        try:
            if "end" in message:
                end = message["end"]
                if end["items"] != self.number or self.is_whole:
                    raise _not_of_this_protocol()
                self.cursor, self.is_whole = end["cursor"], True
                return []
            items = message["items"]
            self.number += len(items)
            match self.result:
                case Result.PAGE | Result.RECORDS:
                    return list(map(record_from_json, items))
                case Result.VALUES:
                    return [(key, value) for key, value in items]
                case Result.KEYED_RECORDS:
                    return [(key, record_from_json(record)) for key, record in items]
                case Result.STATS:
                    return list(map(_stats_from_json, items))
                case Result.ENTRIES:
                    return list(map(_entry_from_json, items))
                case Result.BLOBS:
                    return list(map(_blob_from_json, items))
                case Result.MATCHES:
                    return [(score, record_from_json(record), _span_from_json(part)) for score, record, part in items]
                case Result.JOURNAL:
                    return list(map(_added_from_json, items))
                case Result.RUNS:
                    return list(map(_run_from_json, items))
                case Result.HISTORY:
                    return list(map(_told_from_json, items))
            return list(items)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise _not_of_this_protocol() from error


# ------------------------------------------------------------------------------------------------- records and stats

_NAMES = {
    "id": "id",
    "createdAt": "created_at",
    "revision": "revision",
    "expiresAt": "expires_at",
    "value": "value",
    "metadata": "metadata",
    "createdByAgent": "created_by_agent",
    "updatedAt": "updated_at",
    "accessCount": "access_count",
    "lastAccessedByAgent": "last_accessed_by_agent",
    "lastAccessedAt": "last_accessed_at",
    "updatedByAgent": "updated_by_agent",
}


def record_to_json(record: Record) -> dict[str, Any]:
    """Return a record as JSON: with the names that ``model_dump_json`` gives it."""
    told: dict[str, Any] = {"userId": record.user_id, "namespace": record.namespace, "key": record.key}
    for name, attribute in _NAMES.items():
        value = getattr(record, attribute)
        told[name] = text_of(value) if isinstance(value, datetime) else value
    return told


def record_from_json(told: Mapping[str, Any]) -> Record:
    """Return the record that `record_to_json` has told.

    Raises:
        LookupError, TypeError, ValueError: If it is none.
    """
    from datastore.record import to_record  # imported here, because importing Pydantic takes long

    try:
        return to_record(Document(**{attribute: told[name] for name, attribute in _NAMES.items()}))
    except DataStoreError as error:
        raise ValueError("not a record") from error


def _stats_to_json(stats: NamespaceStats) -> dict[str, Any]:
    return {
        "namespace": stats.namespace,
        "records": stats.records,
        "bytes": stats.bytes,
        "agents": list(stats.agents),
        "updatedAt": text_of(stats.updated_at),
    }


def _stats_from_json(told: Mapping[str, Any]) -> NamespaceStats:
    agents = tuple(told["agents"])
    return NamespaceStats(told["namespace"], told["records"], told["bytes"], agents, parse_time(told["updatedAt"]))


def _entry_to_json(entry: Entry) -> dict[str, Any]:
    return {**entry._asdict(), "at": text_of(entry.at)}


def _entry_from_json(told: Mapping[str, Any]) -> Entry:
    return Entry(told["number"], told["value"], told["agent"], parse_time(told["at"]))


def _blob_to_json(blob: Blob) -> dict[str, Any]:
    return {
        "name": blob.name,
        "size": blob.size,
        "contentType": blob.content_type,
        "metadata": blob.metadata,
        "sha256": blob.sha256,
        "revision": blob.revision,
        "createdAt": text_of(blob.created_at),
        "createdByAgent": blob.created_by_agent,
        "updatedAt": text_of(blob.updated_at),
        "updatedByAgent": blob.updated_by_agent,
        "expiresAt": None if blob.expires_at is None else text_of(blob.expires_at),
    }


def _blob_from_json(told: Mapping[str, Any]) -> Blob:
    expires_at = told["expiresAt"]
    return Blob(
        told["name"],
        told["size"],
        told["contentType"],
        told["metadata"],
        told["sha256"],
        told["revision"],
        parse_time(told["createdAt"]),
        told["createdByAgent"],
        parse_time(told["updatedAt"]),
        told["updatedByAgent"],
        None if expires_at is None else parse_time(expires_at),
    )


def _span_from_json(span: Any) -> tuple[int, int] | None:
    if span is None:
        return None
    start, end = span
    if type(start) is type(end) is int:
        return start, end
    raise TypeError("a part begins and ends at a number")


def _added_from_json(told: Mapping[str, Any]) -> Added:
    if type(told["value"]) is not dict:
        raise TypeError("an entry of a journal is an object")
    return Added(told["number"], told["value"])


def _run_to_json(run: RunInfo) -> dict[str, Any]:
    return {
        "id": run.id,
        "status": run.status,
        "waitingFor": run.waiting_for,
        "until": None if run.until is None else text_of(run.until),
        "parent": run.parent,
        "error": run.error,
        "createdAt": text_of(run.created_at),
        "entries": run.entries,
    }


def _run_from_json(told: Mapping[str, Any]) -> RunInfo:
    until = told["until"]
    return RunInfo(
        told["id"],
        told["status"],
        told["waitingFor"],
        None if until is None else parse_time(until),
        told["parent"],
        told["error"],
        parse_time(told["createdAt"]),
        told["entries"],
    )


def _told_to_json(entry: HistoryEntry) -> dict[str, Any]:
    return {**entry._asdict(), "at": text_of(entry.at)}


def _told_from_json(told: Mapping[str, Any]) -> HistoryEntry:
    return HistoryEntry(**{**told, "at": parse_time(told["at"])})
