"""A history is explained by an order of its calls, or it is not. Each is written here as a list of calls by hand."""

from math import inf

import pytest

from datastore.conformance.simulation.checking import unexplained
from datastore.conformance.simulation.workload import KINDS, MISSING
from datastore.conformance.simulation.world import Call
from datastore.errors import BackendUnavailableError, KeyExistsError, OutcomeUnknownError

LOST = BackendUnavailableError("the answer was lost")


def call(name, arguments, begins, ends, result=None, error=None, clock=(0, 0), faults=()):
    """Return a call that took place from one moment to another."""
    one = Call("p", "p.t", "ann", "ns", name, arguments, begins, begins, ends, ends, result, error, *clock)
    one.faults.extend(faults)
    return one


def is_explained(*calls):
    return not unexplained([effect for one in calls for effect in KINDS[one.name].effects(one, *one.arguments)])


def test_what_was_written_is_read():
    written = call("set", ("a", "x", None), 1, 2, "r1")
    assert is_explained(written, call("get", ("a",), 3, 4, "x"))
    assert not is_explained(written, call("get", ("a",), 3, 4, MISSING))
    assert not is_explained(written, call("get", ("a",), 3, 4, "y"))


def test_a_read_during_a_write_sees_the_old_value_or_the_new_one():
    before, during = call("set", ("a", "x", None), 1, 2, "r1"), call("set", ("a", "y", None), 3, 9, "r2")
    for seen in ("x", "y"):
        assert is_explained(before, during, call("get", ("a",), 4, 5, seen))
    assert not is_explained(before, during, call("get", ("a",), 4, 5, "y"), call("get", ("a",), 6, 7, "x"))


def test_two_increments_do_not_come_to_the_same():
    one, two = call("increment", ("n", 1), 1, 5, 1), call("increment", ("n", 1), 2, 6, 1)
    assert not is_explained(one, two)
    two.result = 2
    assert is_explained(one, two)


@pytest.mark.parametrize("seen", [1, 2])
def test_a_call_of_which_nobody_knows_may_have_happened_or_not(seen):
    known, unknown = call("increment", ("n", 1), 1, 2, 1), call("increment", ("n", 1), 3, 4, error=LOST)
    assert is_explained(known, unknown, call("get", ("n",), 5, 6, seen))
    assert not is_explained(known, unknown, call("get", ("n",), 5, 6, 3))


def test_a_call_of_which_nobody_knows_may_happen_later_but_once():
    unknown = call("increment", ("n", 1), 1, inf, error=LOST)
    nothing, later = call("get", ("n",), 3, 4, MISSING), call("get", ("n",), 5, 6, 1)
    assert is_explained(unknown, nothing, later)
    assert not is_explained(unknown, later, call("get", ("n",), 7, 8, 2))


def test_a_record_is_given_to_one_of_those_who_pop_it():
    there = call("set", ("a", "x", None), 1, 2, "r1")
    one, two = call("pop", ("a",), 3, 7, "x"), call("pop", ("a",), 4, 8, MISSING)
    assert is_explained(there, one, two)
    assert not is_explained(there, one, call("pop", ("a",), 4, 8, "x"))
    assert is_explained(there, one, call("pop", ("a",), 4, 8, error=OutcomeUnknownError("lost")))


def test_of_those_who_add_one_finds_nothing():
    one, two = call("add", ("a", "x", None), 1, 5, "r1"), call("add", ("a", "y", None), 2, 6, "r2")
    assert not is_explained(one, two)
    two.error = KeyExistsError("there is one")
    assert is_explained(one, two)


def test_a_condition_holds_for_the_revision_that_it_names():
    there, changed = call("set", ("a", "x", None), 1, 2, "r1"), call("set_if", ("a", "y", "r1"), 3, 4, "r2")
    assert is_explained(there, changed)
    assert not is_explained(there, changed, call("set_if", ("a", "z", "r1"), 5, 6, "r3"))


def test_what_has_expired_by_the_clock_of_the_call_is_not_seen():
    there = call("set", ("a", "x", 1), 1, 2, "r1", clock=(0, 0))
    late, early = (1_000_000, 1_000_001), (500_000, 600_000)
    assert is_explained(there, call("get", ("a",), 3, 4, MISSING, clock=late))
    assert not is_explained(there, call("get", ("a",), 3, 4, "x", clock=late))
    assert is_explained(there, call("get", ("a",), 3, 4, "x", clock=early))
    assert not is_explained(there, call("get", ("a",), 3, 4, MISSING, clock=early))
    for seen in ("x", MISSING):  # it expires during the call
        assert is_explained(there, call("get", ("a",), 3, 4, seen, clock=(900_000, 1_100_000)))


def test_a_job_is_held_by_one_worker():
    job = {"kind": "job", "name": "j", "n": 0}
    claim = {"by": "p.t", "until": "1970-01-01T00:01:00.000000Z", "attempts": 1}
    there = call("set", ("job1", job, None), 1, 2, "r1")
    taken = call("claim", (60,), 3, 6, ("job1", {**job, "claim": claim}, "r2"))
    again = call("claim", (60,), 4, 7, ("job1", {**job, "claim": {**claim, "attempts": 2}}, "r3"))
    assert is_explained(there, taken, call("claim", (60,), 4, 7))
    assert not is_explained(there, taken, again)
    again.low = again.high = 60_000_000
    again.result[1]["claim"]["until"] = "1970-01-01T00:02:00.000000Z"
    assert is_explained(there, taken, again)


def test_what_is_counted_was_there():
    there = call("set", ("a", "x", None), 1, 2, "r1"), call("set", ("b", "y", None), 3, 4, "r2")
    assert is_explained(*there, call("delete_many", ("a", "b", "n"), 5, 6, 2))
    assert not is_explained(*there, call("delete_many", ("a", "b", "n"), 5, 6, 1))
    assert not is_explained(*there, call("delete_many", ("a", "b", "n"), 5, 6, 3))


def test_a_write_is_not_done_twice_because_its_answer_was_lost():
    lost = call("set", ("a", "x", None), 1, 9, "r1", faults=["answer lost"])
    other = call("set", ("a", "y", None), 4, 5, "r2")
    seen = call("get", ("a",), 2, 3, "x"), call("get", ("a",), 10, 11, "x")
    assert not is_explained(lost, other, *seen)
    deleted = call("delete", ("a",), 6, 7, True)  # with the record goes what it knew of its last writes
    assert is_explained(lost, other, deleted, *seen)
