"""A host is told the same of a call, whether it is made in process or through a server."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import datastore
from datastore import DataStoreError, Embedder, RunWaitingError
from datastore.conformance.calls import CALLS
from datastore.measuring import MEASURES, STEPS
from datastore.runs import stepping
from datastore.watching import FIRST
from datastore.wire.calls import CALLS as SERVED
from tests.remote.serving import ServedStore
from tests.watching.test_beside import COMES_TO, LONG

LARGE = bytes(range(256)) * 10_000
"""More than one request for a blob takes."""


def _vectors(texts):
    return [[1.0, float(len(text))] for text in texts]


def _modify(ann):
    ann.modify("object", lambda value: {**value, "more": "secret"})


def _compute(ann):
    ann.get_or_set("computed", lambda: "value")
    ann.get_or_set("computed", lambda: "other")


def _compute_in_vain(ann):
    with contextlib.suppress(ZeroDivisionError):
        ann.get_or_set("not computed", lambda: 1 / 0)


def _large_blob(ann):
    ann.blobs.put("large", LARGE)
    assert ann.blobs.get("large") == LARGE
    with ann.blobs.open("large") as file:
        file.seek(1_000_000)
        file.read()


def _blob_that_ends_early(ann):
    def pieces():
        yield LARGE
        raise EOFError

    with contextlib.suppress(EOFError):
        ann.blobs.put("broken", pieces())


def _lease(ann):
    lease = ann.lease("work")
    lease.renew()
    lease.release()


def _run(ann):
    with ann.runs.start("r", {"input": "in"}) as run:
        run.state["s"] = "state"
        run.step("first", lambda: "result")
        run.effect("pay", lambda: 1)
        with contextlib.suppress(RunWaitingError):
            run.wait_for("yes")
    ann.runs.signal("r", "yes", "payload")
    ann.runs.signal("r", "yes", "once more")
    with ann.runs.resume("r") as run:
        run.step("first", lambda: 1)
        run.effect("pay", lambda: 1)
        run.wait_for("yes")
        branch = run.branch(2)
        if branch.index is None:
            with contextlib.suppress(RunWaitingError):
                run.join(branch.children)
    for child in branch.children:
        with ann.runs.resume(child) as one:
            one.step("first", lambda: 1)
            one.effect("pay", lambda: 1)
            one.wait_for("yes")
            one.branch(2)
            one.finish(child)
    with ann.runs.resume("r") as run:
        run.step("first", lambda: 1)
        run.effect("pay", lambda: 1)
        run.wait_for("yes")
        assert len(run.join(run.branch(2).children)) == 2
        run.checkpoint()
        run.history(limit=2)
    ann.runs.history("r", limit=3, reverse=True)


MORE = {
    "a change": _modify,
    "a value that is computed": _compute,
    "a value that is not computed": _compute_in_vain,
    "a value with a type": lambda ann: (ann.get("key", type=int), ann.get_many(["key", "no"], type=object)),
    "a large blob": _large_blob,
    "a blob that is not put": _blob_that_ends_early,
    "a lease": _lease,
    "a run": _run,
    "logs": lambda ann: (ann.log_append("log", "a", {"b": 1}), ann.log_read("log"), ann.log_trim("log", before=2)),
    "a wrong key": lambda ann: ann.get("no" * 500),
}
DIFFERENT = {
    "blob_open, of nothing": "the client makes an error of what a server tells as nothing found",
    "memory_ensure_index": "it is not served",
    "a value that is not computed": "a server is not told why a function of the caller has failed",
    "a blob that is not put": "the same; and it tells of what was stored until then",
}
"""What only one of the two is told."""
_ASIDE = {"modify_begin", "note", "run_read", "run_ends"}
"""What a client asks for beside, to do its part of a call: what it has read is told as well."""


def _told(events):
    found = [
        (one.call, one.namespace, "" if one.call == "create" else one.key, one.keys, one.found, one.bytes, one.error)
        for one in events  # the key of a new record is another one each time
    ]
    events.clear()
    return found


def _sum(told):
    """Return what calls come to together, however many requests they were: what was found, bytes, and errors."""
    counted = [one for one in told if one[0] not in _ASIDE]
    return (
        {key for _, _, key, *_ in told if key is not None},
        {namespace for _, namespace, *_ in told},
        sum(found or 0 for *_, found, _, _ in counted),
        sum(size for *_, size, _ in counted),
        [error for *_, error in told],
    )


def _agree(in_process, served):
    """Return whether two hosts were told the same; of a call that a server makes in several requests, in all."""
    in_steps = any(call in STEPS or call in ("lease", "lock") for call, *_ in served + in_process)
    if not in_steps:
        return in_process == served
    errors = [[error for error in _sum(told)[-1] if error is not None] for told in (in_process, served)]
    return _sum(in_process)[:-1] == _sum(served)[:-1] and errors[0] == errors[1]


def _world(made, events):
    """Return the store of an agent, with what the calls need."""
    with_records = made.agent("ann", "planner")
    with_records.set_many({"key": 7, "other": "o", "list": [1], "object": {"a": 1}, "bare": "milk"})
    with_records.set_many({"a": {"a": 1}})
    with_records.blobs.put("pic", b"1234567")
    with_records.memory.add("tea", key="m")
    with with_records.runs.start("done") as run:
        run.finish("well")
    with_records.runs.start("held", lease=60)
    events.clear()
    return with_records


def test_a_served_call_is_told_as_it_is_told_in_process(monkeypatch):
    """Every call on the wire is made: a new one needs a case here, or a line in one of the tables above."""
    monkeypatch.setattr(stepping, "time", SimpleNamespace(monotonic=lambda: 0.0))  # how long steps take has its size
    cases = CALLS | {name: case[0] for name, case in COMES_TO.items()} | MORE
    seen, wrong = set[str](), dict[str, object]()
    for name, case in cases.items():
        told = list[list[tuple[object, ...]]]()
        for serve in (lambda store: store, ServedStore):
            events = []
            store = datastore.connect("memory://", on_call=events.append, embedder=Embedder(_vectors, 2, "length"))
            with serve(store) as opened:
                ann = _world(opened, events)
                with contextlib.suppress(DataStoreError):
                    case(ann)
                told.append(_told(events))
                if serve is ServedStore:
                    opened.end()
        seen |= {call for call, *_ in told[1]}
        if _agree(*told) == (name in DIFFERENT):
            wrong[name] = told
    assert wrong == {}
    assert set(SERVED) - seen == set()


def test_every_request_has_a_line_that_says_what_it_comes_to():
    assert set(SERVED) <= set(MEASURES)
    assert set(SERVED) <= set(FIRST)
    assert set(STEPS) <= set(SERVED)
    assert len(LONG) < len(LARGE)
