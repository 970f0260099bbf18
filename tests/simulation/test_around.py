"""Histories of leases, logs, runs and blobs, written by hand: each is as it must be, or is not."""

import pytest

from datastore import LeaseHeldError, LeaseLostError
from datastore.conformance.simulation.around import leases, logs
from tests.simulation.test_checking import LOST, MISSING, call, is_explained

TTL = 1.0


def noted(one, **notes):
    """Return a call with what it has found out on its way."""
    one.notes.update(notes)
    return one


def fenced(key, value, begins, ends, number, revision=None, **more):
    """Return a write under the lease of a number."""
    return noted(call("fenced_set", (TTL, key, value), begins, ends, revision, **more), fence=number)


def deleted(key, begins, ends, number, was_there=True):
    return noted(call("fenced_delete", (TTL, key), begins, ends, was_there), fence=number)


# Writes under a lease


@pytest.mark.parametrize("between", ["nothing", "unfenced", "deleted under the lease"])
def test_a_record_remembers_the_highest_number_that_has_written_it(between):
    later = [fenced("a", "y", 1, 2, 8, "r1")]
    later += [call("set", ("a", "z", None), 3, 4, "r2")] if between == "unfenced" else []
    later += [deleted("a", 3, 4, 8)] if between == "deleted under the lease" else []
    assert not is_explained(*later, fenced("a", "x", 5, 6, 7, "r3"))
    assert is_explained(*later, fenced("a", "x", 5, 6, 8, "r3"))
    assert is_explained(*later, fenced("b", "x", 5, 6, 7, "r3"))
    assert is_explained(*later, fenced("a", "x", 5, 6, 7, error=LeaseLostError("a later holder has written it")))


def test_a_number_goes_with_a_record_that_is_deleted_under_no_lease_or_purged():
    later, early = fenced("a", "y", 1, 2, 8, "r1"), fenced("a", "x", 5, 6, 7, "r3")
    assert is_explained(later, call("delete", ("a",), 3, 4, True), early)
    assert is_explained(later, deleted("a", 2, 3, 8), call("purge_expired", (), 3, 4, 1), early)


def test_a_write_that_was_refused_because_of_the_lease_was_not_done():
    refused = fenced("a", "x", 3, 4, 7, error=LeaseLostError("a later holder has written it"))
    seen = call("get", ("a",), 5, 6, "x")
    assert not is_explained(refused, seen)
    refused.faults.append("answer lost")  # it was done, and refused when it was sent again
    assert is_explained(refused, seen)


# Who holds a lease


def taken(begins, ends, number, *held, error=None):
    one = call("lease", (TTL, True), begins, ends, number, error)
    return noted(one, taken=number, fence=number, held=list(held)) if error is None else one


def test_numbers_of_leases_grow():
    assert not list(leases.wrong([taken(1, 2, 7), taken(3, 4, 8)]))
    assert any("do not grow" in line for line in leases.wrong([taken(1, 2, 8), taken(3, 4, 7)]))
    assert any("one number" in line for line in leases.wrong([taken(1, 4, 7), taken(2, 3, 7)]))


def test_one_holder_at_a_time_has_a_lease_where_clocks_agree():
    both = [taken(1, 2, 7, 0.1, 0.5), taken(3, 4, 8, 0.4)]
    assert [line.partition(":")[0] for line in leases.wrong(both)] == ["two holders at once"]
    assert not list(leases.wrong([taken(1, 2, 7, 0.1, 0.3), taken(3, 4, 8, 0.4)]))
    for one in both:
        one.clocks_differ = True
    assert not list(leases.wrong(both))


def test_a_lease_that_is_refused_may_be_held_by_somebody():
    refused = taken(3, 4, None, error=LeaseHeldError("held"))
    assert any("nobody's lease" in line for line in leases.wrong([refused, taken(5, 6, 7)]))
    assert not list(leases.wrong([taken(1, 2, 7), refused]))
    assert not list(leases.wrong([taken(1, 9, None, error=LOST), refused]))


# Logs


def appended(begins, ends, number, *values, error=None):
    return call("log_append", values, begins, ends, number, error)


def read(begins, ends, *entries, after=0, limit=None, reverse=False):
    return call("log_read", (after, limit, reverse), begins, ends, list(entries))


def trimmed(begins, ends, before, removed=0, error=None):
    return call("log_trim", (before,), begins, ends, removed, error)


ONE, TWO, THREE = (1, "a"), (2, "b"), (3, "c")
FILLED = appended(1, 2, 1, "a"), appended(3, 4, 2, "b", "c")

RIGHT = {
    "everything": (read(5, 6, ONE, TWO, THREE),),
    "backward": (read(5, 6, THREE, TWO, limit=2, reverse=True),),
    "after": (read(5, 6, TWO, after=1, limit=1),),
    "meanwhile": (appended(5, 9, 4, "d"), read(6, 7, ONE, TWO, THREE)),
    "nobody knows": (appended(5, 6, None, "d", error=LOST), read(7, 8, ONE, TWO, THREE, (4, "d"))),
    "nor later": (appended(5, 6, None, "d", error=LOST), read(7, 8, ONE, TWO, THREE)),
    "trimmed": (trimmed(5, 6, 3, 2), read(7, 8, THREE)),
    "being trimmed": (trimmed(5, 9, 3, error=LOST), read(6, 7, TWO, THREE)),
}
WRONG = {
    "entries lost": (read(5, 6, ONE, TWO),),
    "a gap": (read(5, 6, ONE, THREE),),
    "two entries have one number": (appended(5, 6, 3, "d"),),
    "an entry twice": (appended(5, 6, None, "d", error=LOST), read(7, 8, ONE, TWO, THREE, (4, "d"), (5, "d"))),
    "nobody's entry": (read(5, 6, ONE, TWO, THREE, (4, "x")),),
    "not in order": (appended(5, 6, 0, "d"),),
    "not together": (
        appended(5, 6, None, "d", "e", error=LOST),
        read(7, 8, ONE, TWO, THREE, (4, "d"), (5, "x"), (6, "e")),
        appended(5, 6, 5, "x"),
    ),
    "trimmed, and there": (trimmed(5, 6, 3, 2), read(7, 8, TWO, THREE)),
    "trimmed too many": (trimmed(5, 6, 3, 3),),
    "too much": (read(5, 6, ONE, TWO, THREE, limit=2),),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_a_log_may_show(name):
    assert not list(logs.wrong([*FILLED, *RIGHT[name]]))


@pytest.mark.parametrize("name", WRONG)
def test_what_no_log_may_show(name):
    assert name in {line.partition(":")[0] for line in logs.wrong([*FILLED, *WRONG[name]])}


def test_a_log_with_entries_is_listed():
    lists = call("list_logs", (), 5, 6, [])
    assert any("lacks the log" in line for line in logs.wrong([*FILLED, lists]))
    assert not list(logs.wrong([*FILLED, trimmed(5, 6, 4, 3), lists]))


# Runs and blobs


def worked(begins, ends, kept, *values, error=None):
    """Return a worker's call: with what its steps came to, and what its own functions would have returned."""
    return noted(call("run", (TTL, "release", *values), begins, ends, tuple(kept), error), steps=kept)


def test_a_step_is_kept_once():
    first = worked(1, 2, ["a", "b"], "a", "b")
    assert is_explained(first, worked(3, 4, ["a", "b", "e"], "c", "d", "e"))
    assert not is_explained(first, worked(3, 4, ["a", "d"], "c", "d"))
    assert not is_explained(first, worked(3, 4, ["a", "x"], "c", "d"))
    died = worked(1, 2, ["a"], "a", "b", error=LOST)
    for second in ("b", "d"):
        assert is_explained(died, worked(3, 4, ["a", second], "c", "d"))
    assert not is_explained(died, worked(3, 4, ["c"], "c"))
    assert is_explained(first, call("run_result", (), 5, 6, ["a", "b"]))
    assert not is_explained(first, call("run_result", (), 5, 6, ["a", "x"]))


def test_a_blob_is_the_old_one_or_the_new_one():
    old, new = call("blob_put", ("a" * 9, None, 0), 1, 2, "r1"), call("blob_put", ("b" * 9, None, 0), 3, 9, "r2")
    for seen in ("a" * 9, "b" * 9):
        assert is_explained(old, new, call("blob_get", (), 4, 5, seen))
        assert is_explained(old, new, call("blob_read", (0.0,), 4, 5, seen))
    for seen in (MISSING, "a" * 8, "aaaaabbbb"):
        assert not is_explained(old, new, call("blob_get", (), 4, 5, seen))
    gone = call("blob_delete", (0,), 10, 11, True)
    assert is_explained(old, new, gone, call("blob_get", (), 12, 13, MISSING))
    assert not is_explained(old, new, gone, call("blob_get", (), 12, 13, "b" * 9))
