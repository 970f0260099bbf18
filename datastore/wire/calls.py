"""The calls on the wire: for each its parameters, what kind of result it has, and whether it writes.

The parameters are those of the method of `AgentDataStore`, taken from its signature, except that

- ``default`` and ``type`` stay with the client: it knows from the answer whether there was a record. For a call with a
  ``type``, the client asks with ``"count": false``, and once everything fits it says so by ``note``: a value that does
  not fit counts no access;
- what takes a function is told in two requests (`Call.step`); ``progress`` is told in lines.

A new call of an agent gets one line in `_RESULTS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from datastore.agent import AgentDataStore
from datastore.arguments import as_bool, as_text, check_name, is_a, iterating, shown
from datastore.backend import Fields
from datastore.blobs import steps
from datastore.calls.batches import keys_of
from datastore.calls.changes import read_to_change, write_changed
from datastore.calls.claims import begin_computing, end_computing, store_computed
from datastore.calls.lending import end, lend, prolong
from datastore.errors import ConfigurationError, DataStoreError, InvalidValueError, kind_of
from datastore.ids import encode_key
from datastore.memory import requests as memory
from datastore.runs import steps as of_runs
from datastore.scope import Scope, scope_of


class Result(Enum):
    """What a call returns, and what that is in JSON."""

    FOUND = "found"
    """A value that may be missing: ``{"found": true, "value": ...}``, or ``{"found": false}``."""
    VALUE = "value"
    """Anything JSON."""
    RECORD = "record"
    """A record as an object, or null."""
    TEXT = "text"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NOTHING = "nothing"
    """null."""
    SEEN = "seen"
    """``{"found": true, "value": ..., "revision": "..."}``, or ``{"found": false}``."""
    WRITTEN = "written"
    """``{"done": true, "revision": "..."}``; if it is not done, the revision of what is there, or null."""
    BEGUN = "begun"
    """``{"found": true, "value": ...}``; ``{"found": false, "lease": "...", "revision": ...}`` for whoever is to
    compute the value; ``{"found": false}`` for whoever is to wait and begin again."""
    TEXTS = "texts"
    """In lines: texts."""
    VALUES = "values"
    """In lines: pairs of a key and a value."""
    KEYED_RECORDS = "keyed records"
    """In lines: pairs of a key and a record."""
    RECORDS = "records"
    """In lines: records."""
    PAGE = "page"
    """In lines: records; the last line has the cursor."""
    STATS = "stats"
    """In lines: objects with ``namespace``, ``records``, ``bytes``, ``agents`` and ``updatedAt``."""
    TAKEN = "taken"
    """``{"number": ..., "handle": "..."}``."""
    HELD = "held"
    """For each lease ``true``, ``false``, or ``null`` if that is not known yet."""
    BLOB = "blob"
    """What is known of a blob, as an object."""
    TOLD = "told"
    """The same with ``version`` and ``partSize``, or null."""
    PUTTING = "putting"
    """``{"version": "...", "handle": "..."}``."""
    PARTS = "parts"
    """An array of texts in base64."""
    BLOBS = "blobs"
    """In lines: what is known of blobs."""
    ENTRIES = "entries"
    """In lines: objects with ``number``, ``value``, ``agent`` and ``at``."""
    KEYS = "keys"
    """An array of texts."""
    MATCHES = "matches"
    """In lines: pairs of a score and a record."""
    PROGRESS = "progress"
    """In lines, each as soon as it is known: pairs of how much is done and how much there is; as the last pair the
    result, twice."""
    OPENED = "opened"
    """A run that is held: an object with ``id``, ``number``, ``checkpoint``, ``start`` and ``lease``."""
    ADDED = "added"
    """An entry of a run's journal, as an object with ``number`` and ``value``."""
    JOURNAL = "journal"
    """In lines: such entries."""
    RUN = "run"
    """What is known of a run as an object, or null."""
    RUNS = "runs"
    """In lines: what is known of runs."""
    HISTORY = "history"
    """In lines: what is told of the entries of a run's journal."""


IN_LINES = frozenset(
    {
        *(Result.TEXTS, Result.VALUES, Result.KEYED_RECORDS, Result.RECORDS, Result.PAGE, Result.STATS),
        *(Result.ENTRIES, Result.BLOBS, Result.MATCHES, Result.PROGRESS),
        *(Result.ENTRIES, Result.BLOBS, Result.JOURNAL, Result.RUNS, Result.HISTORY),
    }
)
"""The results that are answered in lines."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call on the wire.

    Attributes:
        name: Its name in the path.
        parameters: The names of its arguments, each with its default; `inspect.Parameter.empty` if it has none.
        result: What it returns.
        writes: Whether it changes something, so that it must not be done twice.
        step: The function that does it, for what is no method of `AgentDataStore`.
        summary: What it does, in one line.
    """

    name: str
    parameters: Mapping[str, Any]
    result: Result
    writes: bool
    step: Callable[..., Any] | None
    summary: str

    @property
    def in_lines(self) -> bool:
        """Whether it is answered in lines."""
        return self.result in IN_LINES

    @property
    def counts(self) -> bool:
        """Whether it counts accesses, unless it is asked not to."""
        return "count" in self.parameters and self.step is None and self.name != "get_record"

    def bound(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a request, once it is known that they are there and no others.

        Raises:
            InvalidValueError: If one is missing, or is not one of this call.
        """
        parameters = self.parameters
        for name in arguments:
            if name not in parameters:
                known = ", ".join(parameters) or "none"
                raise InvalidValueError(f"{self.name} has no argument {name[:100]!r}; its arguments are: {known}")
        if len(arguments) < len(parameters):
            for name, default in parameters.items():
                if default is inspect.Parameter.empty and name not in arguments:
                    raise InvalidValueError(f"{self.name} needs the argument {name!r}")
        return dict(arguments)

    def on(self, data_store: AgentDataStore, arguments: Mapping[str, Any]) -> Any:
        """Make the call on an agent's store, and return its result.

        Args:
            data_store: Whose it is.
            arguments: As `bound` returns them.

        Raises:
            DataStoreError: As the call does.
        """
        given = dict(arguments)
        if self.step is not None:
            return self.step(scope_of(data_store), **given)
        if self.counts and not as_bool(given.pop("count", True), "count"):
            data_store = AgentDataStore(scope_of(data_store).uncounted())
        if self.name in APPENDING:
            more = APPENDING[self.name]
            items = given.pop(more)
            if not is_a(items, list):
                raise InvalidValueError(f"{more} must be an array of what to append")
            first = next(iter(self.parameters))
            return getattr(data_store, self.name)(given.pop(first), *items, **given)
        if "default" in self._left_out:
            given["default"] = MISSING
        return getattr(data_store, self.name)(**given)

    @property
    def _left_out(self) -> frozenset[str]:
        return _WITH_DEFAULT if self.name in ("get", "pop") else frozenset()


APPENDING: Mapping[str, str] = {"append": "items", "log_append": "entries"}
"""The calls that take any number of values after the first argument, and the name that these have on the wire."""
_WITH_DEFAULT = frozenset({"default"})
MISSING: Any = object()
"""What a call with the result `Result.FOUND` returns if there is no record."""


def _note(scope: Scope, keys: list[str]) -> None:
    """Count an access for each of some records that were read without counting."""
    ids = list({scope.prefix + encode_key(check_name(key, "key")): None for key in keys_of(keys)})
    scope.tracker.note_all(scope.core.read(ids, Fields.VALUE).values(), scope.agent)


_RESULTS: dict[str, tuple[Result, bool]] = {
    "get": (Result.FOUND, False),  # with `touch` it writes; to do that twice changes nothing
    "get_record": (Result.RECORD, False),
    "set": (Result.TEXT, True),
    "add": (Result.TEXT, True),
    "create": (Result.TEXT, True),
    "delete": (Result.BOOLEAN, True),
    "pop": (Result.FOUND, True),
    "touch": (Result.BOOLEAN, True),
    "exists": (Result.BOOLEAN, False),
    "increment": (Result.VALUE, True),
    "append": (Result.VALUE, True),
    "update": (Result.VALUE, True),
    "get_many": (Result.VALUES, False),
    "get_records": (Result.KEYED_RECORDS, False),
    "set_many": (Result.INTEGER, True),
    "add_many": (Result.INTEGER, True),
    "delete_many": (Result.INTEGER, True),
    "list_keys": (Result.TEXTS, False),
    "scan": (Result.PAGE, False),
    "iter_records": (Result.RECORDS, False),
    "first": (Result.RECORD, False),
    "last": (Result.RECORD, False),
    "get_all": (Result.VALUES, False),
    "clear": (Result.INTEGER, True),
    "find": (Result.VALUES, False),
    "find_records": (Result.PAGE, False),
    "count": (Result.INTEGER, False),
    "explain": (Result.VALUE, False),
    "delete_where": (Result.INTEGER, True),
    "update_where": (Result.INTEGER, True),
    "find_one_and_update": (Result.RECORD, True),
    "claim": (Result.RECORD, True),
    "list_namespaces": (Result.TEXTS, False),
    "find_in": (Result.RECORDS, False),
    "namespace_stats": (Result.STATS, False),
    "purge_expired": (Result.INTEGER, True),
    "log_append": (Result.INTEGER, True),
    "log_read": (Result.ENTRIES, False),
    "log_trim": (Result.INTEGER, True),
    "list_logs": (Result.TEXTS, False),
}
"""The methods of `AgentDataStore` that are calls on the wire: the result, and whether it writes."""

_STEPS: dict[str, tuple[Callable[..., Any], Result, bool]] = {
    "modify_begin": (read_to_change, Result.SEEN, False),
    "modify_end": (write_changed, Result.WRITTEN, True),
    "compute_begin": (begin_computing, Result.BEGUN, True),
    "compute_end": (store_computed, Result.BOOLEAN, True),
    "compute_abandon": (end_computing, Result.NOTHING, True),
    "note": (_note, Result.NOTHING, True),
    "lease_take": (lend, Result.TAKEN, True),
    "lease_renew": (prolong, Result.HELD, True),
    "lease_release": (end, Result.HELD, True),
    "blob_put": (steps.put_whole, Result.BLOB, True),
    "blob_begin": (steps.begin, Result.PUTTING, True),
    "blob_write": (steps.write, Result.NOTHING, False),  # to do it twice changes nothing
    "blob_finish": (steps.finish, Result.BLOB, True),
    "blob_abandon": (steps.abandon, Result.NOTHING, True),
    "blob_find": (steps.look_up, Result.TOLD, False),
    "blob_read": (steps.read, Result.PARTS, False),
    "blob_list": (steps.list_all, Result.BLOBS, False),
    "blob_delete": (steps.delete, Result.BOOLEAN, True),
    "memory_add": (memory.requested("add"), Result.TEXT, True),
    "memory_add_many": (memory.requested("add_many"), Result.KEYS, True),
    "memory_edit": (memory.requested("edit"), Result.BOOLEAN, True),
    "memory_delete": (memory.requested("delete"), Result.BOOLEAN, True),
    "memory_get": (memory.requested("get", memory.of_item), Result.RECORD, False),
    "memory_items": (memory.requested("items", memory.of_items), Result.RECORDS, False),
    "memory_search": (memory.requested("search", memory.of_matches), Result.MATCHES, False),
    "memory_search_across": (memory.requested("search_across", memory.of_matches), Result.MATCHES, False),
    "memory_explain": (memory.requested("explain"), Result.VALUE, False),
    "memory_embed": (memory.requested("embed"), Result.VALUE, False),  # to do it twice changes nothing
    "memory_reembed": (memory.reembed, Result.PROGRESS, False),  # to do it twice changes nothing
    "run_start": (of_runs.start, Result.OPENED, True),
    "run_resume": (of_runs.resume, Result.OPENED, True),
    "run_append": (of_runs.append, Result.NOTHING, True),
    "run_wait": (of_runs.wait, Result.ADDED, True),
    "run_join": (of_runs.join, Result.ADDED, True),
    "run_begin_children": (of_runs.begin_children, Result.NOTHING, False),  # to do it twice changes nothing
    "run_read": (of_runs.read, Result.JOURNAL, False),
    "run_ends": (of_runs.ends, Result.JOURNAL, False),
    "run_get": (of_runs.OUTSIDE["run_get"], Result.RUN, False),
    "run_result": (of_runs.OUTSIDE["run_result"], Result.VALUE, False),
    "run_list": (of_runs.OUTSIDE["run_list"], Result.RUNS, False),
    "run_due": (of_runs.OUTSIDE["run_due"], Result.TEXTS, False),  # what it removes leads nowhere
    "run_signal": (of_runs.OUTSIDE["run_signal"], Result.BOOLEAN, True),
    "run_cancel": (of_runs.OUTSIDE["run_cancel"], Result.NOTHING, True),
    "run_retry": (of_runs.OUTSIDE["run_retry"], Result.NOTHING, True),
    "run_fork": (of_runs.OUTSIDE["run_fork"], Result.TEXT, True),
    "run_history": (of_runs.OUTSIDE["run_history"], Result.HISTORY, False),
    "run_prune": (of_runs.OUTSIDE["run_prune"], Result.INTEGER, True),
}
"""The parts of calls that a client's function takes part in: what does it, the result, and whether it writes."""

IN_STEPS: Mapping[str, tuple[str, ...]] = {
    "modify": ("modify_begin", "modify_end"),
    "get_or_set": ("compute_begin", "compute_end", "compute_abandon"),
    "lease": ("lease_take", "lease_renew", "lease_release"),
    "lock": ("lease_take", "lease_renew", "lease_release"),
    "blobs": tuple(name for name in _STEPS if name.startswith("blob_")),
    "memory": tuple(name for name in _STEPS if name.startswith("memory_")),
    "runs": (*(name for name in _STEPS if name.startswith("run_")), "lease_renew", "lease_release"),
}
"""The methods of `AgentDataStore` that are told in several requests, and these. Who may make the method may make them;
``note`` may be made by whoever may make one of the calls that count."""

_COUNTING = frozenset({"get", "get_many", "get_all", "find"})
"""The calls that count accesses, and have a ``type``."""


def _parameters_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the parameters on the wire, each with its default."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return {
        one.name: inspect.Parameter.empty if one.kind is one.VAR_POSITIONAL else one.default
        for one in parameters
        if one.name not in ("default", "type", "progress")
    }


def _summary_of(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]


def _table() -> dict[str, Call]:
    calls = dict[str, Call]()
    for name, (result, writes) in _RESULTS.items():
        method = getattr(AgentDataStore, name)
        parameters = _parameters_of(method)
        if name in _COUNTING:
            parameters["count"] = True
        calls[name] = Call(name, parameters, result, writes, None, _summary_of(method))
    for name, (step, result, writes) in _STEPS.items():
        calls[name] = Call(name, _parameters_of(step), result, writes, step, _summary_of(step))
    return calls


CALLS: Mapping[str, Call] = _table()
"""The calls on the wire, by name."""

METHODS = frozenset({name for name, call in CALLS.items() if call.step is None} | set(IN_STEPS))
"""The methods of `AgentDataStore` that a token may allow."""


def matching(patterns: Iterable[str], parameter: str = "calls") -> frozenset[str]:
    """Return the methods that match one of some patterns: a name, or what names begin with and a star.

    Raises:
        ConfigurationError: If a pattern matches no method, or is no text.
    """

    def refusal() -> DataStoreError:
        return ConfigurationError(
            f"{parameter} is {kind_of(patterns)}; give the names of calls, such as ['get', 'find*']"
        )

    if is_a(patterns, str):
        raise refusal()
    found = set[str]()
    for pattern in iterating(patterns, refusal):
        if not is_a(pattern, str):
            raise ConfigurationError(f"{parameter} has {kind_of(pattern)}; give the names of calls")
        text = as_text(pattern)
        beginning = text[:-1] if text.endswith("*") else None
        match = {name for name in METHODS if name == text or (beginning is not None and name.startswith(beginning))}
        if not match:
            raise ConfigurationError(
                f"{parameter} has {shown(text)}, and no call is called so: {', '.join(sorted(METHODS))}"
            )
        found |= match
    return frozenset(found)


def requests_of(methods: Collection[str]) -> frozenset[str]:
    """Return the calls on the wire that whoever may call some methods may make."""
    names = {name for method in methods for name in IN_STEPS.get(method, (method,))}
    return frozenset(names | {"note"} if names & _COUNTING else names)
