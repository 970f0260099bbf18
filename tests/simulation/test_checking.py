"""A history is explained by an order of its calls, or it is not. Each is written here as a list of calls by hand."""

from math import inf

import pytest

from datastore.conformance.simulation.checking import unexplained
from datastore.conformance.simulation.history import (
    ASKS_BEFORE_IT_COUNTS,
    COUNTS_WHAT_IT_LISTED,
    REMEMBERS_EIGHT_WRITES,
    Call,
)
from datastore.conformance.simulation.names import MISSING
from datastore.conformance.simulation.workload import KINDS
from datastore.errors import BackendUnavailableError, ConflictError, KeyExistsError, OutcomeUnknownError

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


# What is not counted as wrong, and where it ends


def limited(one, *limits, blind=False, clocks_differ=False):
    """The same call, over a database with limits, or among clocks that differ."""
    one.limits, one.blind, one.clocks_differ = frozenset(limits), blind, clocks_differ
    return one


def test_what_a_write_did_unrecognised_is_gone_before_it_returns():
    lost = call("set_if", ("a", "y", "r1"), 3, 6, error=ConflictError("there is none"), faults=["answer lost"])
    there, seen = call("set", ("a", "x", None), 1, 2, "r1"), call("get", ("a",), 4, 5, "y")
    assert is_explained(there, lost, seen, call("delete", ("a",), 4, 6, True))
    lost.returned = 6
    assert not is_explained(there, lost, seen, call("delete", ("a",), 7, 8, True))


def test_where_nothing_matched_what_was_changed_is_gone_before():
    job = {"kind": "job", "name": "j", "n": 0}
    there, seen = call("set", ("job1", job, None), 1, 2, "r1"), call("get", ("job1",), 4, 5, {**job, "n": 1})
    nothing = call("find_one_and_update", (), 3, 8, faults=["answer lost"])
    assert is_explained(there, nothing, seen, call("delete", ("job1",), 6, 7, True))
    assert not is_explained(there, nothing, seen, call("delete", ("job1",), 9, 10, True))


@pytest.mark.parametrize(("created", "explained"), [(5, True), (20, False)], ids=["before", "later"])
def test_a_delete_that_is_sent_again_removes_a_later_record_if_its_clock_does_not_tell(created, explained):
    there = call("set", ("a", "x", None), 1, 2, "r1", clock=(0, 0))
    lost = call("delete", ("a",), 3, 9, True, clock=(10, 11), faults=["answer lost"])
    gone = call("get", ("a",), 4, 5, MISSING)
    later = call("set", ("a", "y", None), 6, 7, "r2", clock=(created, created))
    assert is_explained(there, lost, gone, later, call("get", ("a",), 10, 11, MISSING)) is explained
    assert is_explained(there, lost, gone, later, call("get", ("a",), 10, 11, "y"))


@pytest.mark.parametrize(("created", "explained"), [(5, False), (20, True)], ids=["before", "later"])
def test_a_delete_that_is_sent_again_leaves_what_its_clock_takes_for_later(created, explained):
    there = call("set", ("a", "x", None), 1, 2, "r1", clock=(created, created))
    lost = call("delete", ("a",), 3, 4, True, clock=(10, 11), faults=["answer lost"])
    assert is_explained(there, lost, call("get", ("a",), 5, 6, "x")) is explained


@pytest.mark.parametrize("name", ["clear", "delete_where"])
def test_what_has_listed_the_records_knows_them_again(name):
    there = call("set", ("job1", {"kind": "job"}, None), 1, 2, "r1", clock=(20, 20))
    lost = call(name, (), 3, 4, 1, clock=(10, 11), faults=["answer lost"])
    assert not is_explained(there, lost, call("get", ("job1",), 5, 6, {"kind": "job"}))


@pytest.mark.parametrize(("created", "explained"), [(5, True), (20, False)], ids=["before", "later"])
@pytest.mark.parametrize("name", ["set", "delete", "touch"])
def test_a_request_that_arrives_late_meets_a_later_record_if_its_clock_does_not_tell(name, created, explained):
    arguments = {"set": ("a", "late", None), "delete": ("a",), "touch": ("a", 1)}[name]
    result = "r2" if name == "set" else True
    there = call("set", ("a", "x", None), 1, 2, "r1", clock=(0, 0))
    late = limited(call(name, arguments, 3, 4, result, clock=(10, 11), faults=["request late"]), blind=True)
    gone = () if name == "delete" else (call("delete", ("a",), 5, 6, True),)
    new = call("set", ("a", "y", None), 7, 8, "r3", clock=(created, created))
    later = (2_000_000, 2_000_000)
    seen = call("get", ("a",), 9, 10, "late" if name == "set" else MISSING, clock=later)
    assert is_explained(there, late, *gone, new, seen) is explained
    assert is_explained(there, late, *gone, new, call("get", ("a",), 9, 10, "y", clock=later))


@pytest.mark.parametrize("name", ["clear", "count", "namespace_stats"])
@pytest.mark.parametrize("limits", [(), (ASKS_BEFORE_IT_COUNTS,)], ids=["", "asks before it counts"])
def test_what_has_expired_counts_only_where_it_is_asked_for_before_and_only_if_it_was_written_meanwhile(limits, name):
    def count(begins, ends, differ=True):
        clock = (2_000_000, 2_000_000)
        return limited(call(name, (), begins, ends, 1, clock=clock), *limits, clocks_differ=differ)

    there = call("set", ("a", "x", 1), 2, 4, "r1", clock=(0, 0))
    assert is_explained(there, count(1, 6)) is bool(limits)
    assert is_explained(there, count(3, 6)) is bool(limits)
    assert not is_explained(there, count(3, 6, differ=False))
    assert not is_explained(there, count(5, 6))
    touched = call("touch", ("a", 1), 6, 8, True, clock=(500_000, 500_000))
    assert is_explained(there, touched, count(5, 9)) is bool(limits)
    assert not is_explained(there, touched, count(9, 10))
    there.faults.append("request late")
    assert is_explained(there, count(5, 6)) is bool(limits)


def test_what_a_filter_is_counted_by_tells_what_has_expired():
    there = call("set", ("job1", {"kind": "job"}, 1), 2, 4, "r1", clock=(0, 0))
    count = call("count-filter", (), 1, 6, 1, clock=(2_000_000, 2_000_000))
    assert not is_explained(there, limited(count, ASKS_BEFORE_IT_COUNTS, clocks_differ=True))


def test_a_touch_that_says_that_there_is_no_record_may_have_been_done():
    there = call("set", ("a", "x", 1), 1, 2, "r1", clock=(0, 0))
    lost = call("touch", ("a", 9), 3, 6, False, clock=(500_000, 500_000), faults=["answer lost"])
    seen = call("get", ("a",), 4, 5, "x", clock=(2_000_000, 2_000_000))
    gone = call("delete", ("a",), 5, 6, True, clock=(2_000_000, 2_000_000))
    assert is_explained(there, lost, seen, gone)
    lost.faults.clear()
    assert not is_explained(there, lost, seen, gone)


@pytest.mark.parametrize(("created", "explained"), [(5, False), (20, True)], ids=["before", "later"])
def test_a_touch_that_is_sent_again_leaves_what_its_clock_takes_for_later(created, explained):
    there = call("set", ("a", "x", None), 1, 2, "r1", clock=(created, created))
    lost = call("touch", ("a", 1), 3, 4, True, clock=(10, 11), faults=["answer lost"])
    assert is_explained(there, lost, call("get", ("a",), 5, 6, "x", clock=(2_000_000, 2_000_000))) is explained


@pytest.mark.parametrize("limits", [(), (COUNTS_WHAT_IT_LISTED,)], ids=["", "counts what it listed"])
def test_clear_counts_what_another_call_removes_before_it_only_where_it_counts_what_it_listed(limits):
    there, seen = call("set", ("a", "x", None), 1, 2, "r1"), call("get", ("a",), 8, 9, MISSING)
    clear, pop = limited(call("clear", (), 3, 6, 1), *limits), call("pop", ("a",), 4, 5, "x")
    assert is_explained(there, clear, pop, seen) is bool(limits)
    assert not is_explained(there, clear, call("get", ("a",), 8, 9, "x"))
    assert not is_explained(there, pop, limited(call("clear", (), 6, 7, 1), *limits), seen)


@pytest.mark.parametrize("limits", [(), (COUNTS_WHAT_IT_LISTED,)], ids=["", "counts what it listed"])
def test_clear_removes_what_was_written_over_an_expired_record_that_it_listed_without_counting_it(limits):
    later = (2_000_000, 2_000_000)
    there, gone = call("set", ("a", "x", 1), 1, 2, "r1"), call("get", ("a",), 8, 9, MISSING, clock=later)
    clear = limited(call("clear", (), 3, 6, 0, clock=later), *limits)
    again = call("set", ("a", "y", None), 4, 5, "r2", clock=later)
    assert is_explained(there, clear, again, gone) is bool(limits)
    assert not is_explained(there, clear, call("set", ("a", "y", None), 6.5, 7, "r2", clock=later), gone)
    assert not is_explained(call("set", ("a", "x", None), 1, 2, "r1"), clear, gone)
    # What was not there when it listed is not removed, and what was removed by others before it listed is not either.
    assert not is_explained(clear, again, gone)
    removed = call("delete", ("a",), 2.2, 2.4, True)
    assert not is_explained(there, removed, clear, again, gone)
    meanwhile = call("purge_expired", (), 3.5, 3.7, 1, clock=later)
    assert is_explained(there, clear, meanwhile, again, gone) is bool(limits)


@pytest.mark.parametrize("limits", [(), (REMEMBERS_EIGHT_WRITES,)], ids=["", "remembers eight writes"])
@pytest.mark.parametrize(("others", "forgotten"), [(7, False), (8, True)])
def test_a_write_is_done_again_only_after_so_many_others_as_the_record_remembers(limits, others, forgotten):
    def history(*between):
        late = limited(call("set_many", (("n", 100),), 1, 90, 1, faults=["answer late"]), *limits)
        more = [call("increment", ("n", 1), 10 * one, 10 * one + 5, 100 + one) for one in range(1, others + 1)]
        return late, *more, *between, call("get", ("n",), 95, 96, 100)

    assert is_explained(*history()) is (forgotten and bool(limits))
    touched = call("touch", ("n", 9), 86, 88, True)  # leaves no mark
    assert is_explained(*history(touched)) is (forgotten and bool(limits))
