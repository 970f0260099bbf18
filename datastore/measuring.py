"""What a call comes to, for whoever is told of it: how many records it has found, and how many bytes went by.

Nothing of a value is kept. What is read and stored is counted where it passes (`datastore.watching.WatchedScope`), and
what is returned when it is.
"""

from __future__ import annotations

import time
from binascii import a2b_base64
from collections.abc import Callable
from contextvars import Token
from typing import Any

from datastore.backend import Document, Put
from datastore.values import size_of


class Call:
    """A call that goes on, and what it has come to so far. Code of an agent can find it, so it leads to no host."""

    __slots__ = ("_content", "_noted", "_noted_bytes", "_puts", "began", "bytes", "entered", "found", "is_measured",
                 "key", "keys", "name", "namespace", "span", "time")  # fmt: skip

    def __init__(self, name: str, namespace: str | None, key: str | None, keys: int | None, time_: float) -> None:
        self.name = name
        self.namespace = namespace
        self.key = key
        self.keys = keys
        self.time = time_
        self.began = time.perf_counter()
        self.found: int | None = None
        self.bytes = 0
        self.is_measured = False
        self.span: Any = None
        self.entered: tuple[Token[Call | None], Any] | None = None
        self._noted = self._noted_bytes = self._content = 0
        self._puts: dict[str, int] = {}

    def note(self, document: Document) -> None:
        """Count a document whose value is returned."""
        self._noted += 1
        self._noted_bytes += size_of(document.value)

    def put(self, put: Put) -> None:
        """Count a value that is stored; of several attempts on one record the last one counts."""
        if put.namespace == self.namespace or not self.name.startswith("memory_"):  # a vector is no value
            self._puts[put.id] = put.size

    def store(self, size: int) -> None:
        """Count so many bytes of the content of a blob that are stored."""
        self._content += size

    def measure(self, result: Any) -> None:
        """Count what the call returns, once: an awaited call does so in its worker."""
        if not self.is_measured:
            self.is_measured = True
            MEASURES[self.name](self, result)

    def yielded(self, item: Any) -> None:
        """Count what a stream yields: a record, a pair of key and value, a name, or how far it is."""
        measure = MEASURES[self.name]
        if measure is Call._of_number:
            self.found = item[0]
            return
        self.found = (self.found or 0) + 1
        if measure is not Call._of_names:
            self.bytes += size_of(item[1] if type(item) is tuple else _record_of(item).value)

    def failed(self) -> None:
        """Forget what was counted."""
        self.found, self.bytes = None, 0

    # ----------------------------------------------------------------------------------- what calls come to

    def _of_values(self, result: Any) -> None:
        self.found, self.bytes = self._noted, self._noted_bytes

    def _of_value_or_stored(self, result: Any) -> None:
        self._of_values(result)
        self.bytes += sum(self._puts.values())

    def _of_stored(self, result: Any) -> None:
        self.bytes = sum(self._puts.values())

    def _of_created(self, result: Any) -> None:
        self.key = result
        self._of_stored(result)

    def _of_batch_stored(self, result: Any) -> None:
        self.keys = len(self._puts)
        self._of_stored(result)

    def _of_batch_added(self, result: Any) -> None:
        self.keys = len(result)
        self._of_stored(result)

    def _of_number(self, result: Any) -> None:
        self.found = int(result)

    def _of_changed(self, result: Any) -> None:
        self._of_number(result)
        self._of_stored(result)

    def _of_record(self, result: Any) -> None:
        self._of_records(() if result is None else (result,))
        if result is not None:
            self.key = result.key

    def _of_records(self, result: Any) -> None:
        self.found, self.bytes = len(result), sum(size_of(record.value) for record in result)

    def _of_records_by_key(self, result: Any) -> None:
        self._of_records(result.values())

    def _of_page(self, result: Any) -> None:
        found, bytes = self.found or 0, self.bytes  # an awaited query may be answered in several pages
        self._of_records(result.records)
        self.found, self.bytes = found + len(result.records), bytes + self.bytes

    def _of_names(self, result: Any) -> None:
        self.found = len(result)

    def _of_entries(self, result: Any) -> None:
        self.found, self.bytes = len(result), sum(size_of(entry.value) for entry in result)

    def _of_popped(self, result: Any) -> None:
        self.found, self.bytes = self._noted, self._noted_bytes

    def _of_nothing(self, result: Any) -> None:
        pass

    # Of what is beside the records: `datastore.watching_beside`.

    def _of_bytes(self, result: Any) -> None:
        content = type(result) is bytes  # otherwise it is the caller's own default
        self.found, self.bytes = (1, len(result)) if content else (0, 0)

    def _of_parts(self, result: Any) -> None:
        self.bytes = sum(len(one) if type(one) is bytes else len(a2b_base64(one)) for one in result)

    def _of_content(self, result: Any) -> None:
        self.bytes = self._content

    def _of_one(self, result: Any) -> None:
        self.found = 0 if result is None else 1

    def _of_opened(self, result: Any) -> None:
        self.found = 1

    def _of_result(self, result: Any) -> None:
        self.found, self.bytes = 1, size_of(result)

    def _of_run(self, result: Any) -> None:
        self.key = result.id
        self._of_stored(result)

    def _of_done(self, result: Any) -> None:
        self._of_number(result)
        if result:
            self._of_stored(result)

    def _of_item(self, result: Any) -> None:
        self._of_record(None if result is None else _record_of(result))

    def _of_matches(self, result: Any) -> None:
        self._of_records([match[-2] for match in result])  # a `Match`, or its score, record and part

    def _of_vectors(self, result: Any) -> None:
        self.found = sum(result.values())

    # Of what a server makes in several requests: `datastore.wire.calls`.

    def _of_seen(self, result: Any) -> None:
        is_there = result is not None and getattr(result, "found", True)
        self.found, self.bytes = (1, size_of(result.value)) if is_there else (0, 0)

    def _of_written(self, result: Any) -> None:
        if getattr(result, "done", result):
            self._of_stored(result)

    def _of_held(self, result: Any) -> None:
        held = result if type(result) is list else [result is not False]
        self.found = sum(one is True for one in held)

    def popping(self, document: Document | None) -> None:
        """Count what `pop` has read. It may read more than once, and returns what it has read last."""
        self._noted, self._noted_bytes = (0, 0) if document is None else (1, size_of(document.value))


def _record_of(item: Any) -> Any:
    """Return the record of an item of a memory, which a server has alone."""
    return getattr(item, "record", item)


STEPS: dict[str, Callable[[Call, Any], None]] = {
    **dict.fromkeys(("modify_begin", "compute_begin"), Call._of_seen),
    **dict.fromkeys(("modify_end", "compute_end"), Call._of_written),
    **dict.fromkeys(("compute_abandon", "note", "lease_take", "blob_begin", "blob_abandon"), Call._of_nothing),
    "blob_find": Call._of_one,
    **dict.fromkeys(("blob_write", "blob_finish"), Call._of_content),
    **dict.fromkeys(("run_read", "run_ends"), Call._of_entries),
}
"""What each request comes to that is a part of a call: `datastore.wire.calls`."""
MEASURES: dict[str, Callable[[Call, Any], None]] = {
    **dict.fromkeys(("get", "get_many", "get_all", "find"), Call._of_values),
    "get_or_set": Call._of_value_or_stored,
    "lease": Call._of_nothing,
    **dict.fromkeys(("set", "add", "modify", "increment", "append", "update"), Call._of_stored),
    "create": Call._of_created,
    **dict.fromkeys(("set_many", "add_many"), Call._of_batch_stored),
    **dict.fromkeys(("delete", "touch", "exists"), Call._of_number),
    **dict.fromkeys(("count", "clear", "delete_many", "delete_where", "purge_expired"), Call._of_number),
    "update_where": Call._of_changed,
    "pop": Call._of_popped,
    **dict.fromkeys(("get_record", "first", "last", "claim", "find_one_and_update"), Call._of_record),
    "get_records": Call._of_records_by_key,
    "find_in": Call._of_records,
    **dict.fromkeys(("scan", "find_records"), Call._of_page),
    **dict.fromkeys(("list_keys", "list_namespaces", "namespace_stats", "list_logs"), Call._of_names),
    **dict.fromkeys(("explain", "iter_records", "use_namespace", "lock"), Call._of_nothing),
    "log_append": Call._of_stored,
    "log_read": Call._of_entries,
    "log_trim": Call._of_number,
    **dict.fromkeys(("lease_renew", "lease_release"), Call._of_held),
    "blob_put": Call._of_content,
    "blob_get": Call._of_bytes,
    "blob_open": Call._of_opened,
    "blob_read": Call._of_parts,
    "blob_stat": Call._of_one,
    "blob_list": Call._of_names,
    "blob_delete": Call._of_number,
    "memory_add": Call._of_created,
    "memory_add_many": Call._of_batch_added,
    "memory_edit": Call._of_done,
    "memory_delete": Call._of_number,
    "memory_get": Call._of_item,
    **dict.fromkeys(("memory_search", "memory_search_across"), Call._of_matches),
    **dict.fromkeys(("memory_items", "memory_explain", "memory_ensure_index"), Call._of_nothing),
    "memory_reembed": Call._of_number,
    "memory_embed": Call._of_vectors,
    "run_start": Call._of_run,
    **dict.fromkeys(("run_append", "run_wait", "run_join", "run_begin_children"), Call._of_stored),
    **dict.fromkeys(("run_resume", "run_cancel", "run_retry", "run_fork"), Call._of_nothing),
    "run_get": Call._of_one,
    "run_result": Call._of_result,
    **dict.fromkeys(("run_list", "run_due", "run_history"), Call._of_names),
    "run_signal": Call._of_done,
    "run_prune": Call._of_number,
    **STEPS,
}
"""What each call comes to. A new call gets a line here, and perhaps one in
`datastore.watching.OF_SEVERAL_NAMESPACES`."""
