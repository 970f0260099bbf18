"""Tasks run one at a time, in the order of the simulated time."""

import itertools
import math
import sys
import threading
from random import Random
from types import SimpleNamespace

import pytest

from datastore import deadlines
from datastore.conformance.simulation import scheduling
from datastore.conformance.simulation.scheduling import Event, Killed, Lock, Scheduler, Task


def run(*bodies):
    """Run functions of a scheduler as tasks, and return the scheduler."""
    scheduler = Scheduler()
    for number, body in enumerate(bodies):
        task = Task(f"t{number}", SimpleNamespace(), Random(number))
        scheduler.spawn(task, lambda body=body: body(scheduler))
    scheduler.run()
    return scheduler


def test_who_is_due_first_goes_on_first():
    said = []

    def sleeper(*seconds):
        def body(scheduler):
            for one in seconds:
                scheduler.sleep(one)
                said.append(scheduler.now)

        return body

    run(sleeper(3, 3), sleeper(1, 4), sleeper(2))
    assert said == [1, 2, 3, 5, 6]


def test_what_happens_later_is_no_part_of_the_call_of_the_thread_that_does_it():
    left = []

    def body(scheduler):
        with deadlines.within(1):
            scheduler.later(2, lambda: left.append(deadlines.left()))
            scheduler.sleep(3)
            left.append(deadlines.left() <= 1)

    run(body)
    assert left == [math.inf, True]


def test_no_interrupt_of_the_thread_that_does_it_arrives_in_what_happens_later():
    """Nobody has the baton then, so the task would go on without the scheduler's knowledge."""
    traces = []

    def never(*_):
        return None

    def body(scheduler):
        sys.settrace(never)
        scheduler.later(2, lambda: traces.append(sys.gettrace()))
        scheduler.sleep(3)
        traces.append(sys.gettrace())
        sys.settrace(None)

    run(body)
    assert traces == [None, never]


def test_a_lock_is_given_to_one_after_another():
    inside, most = [], []

    def body(scheduler):
        lock.acquire()
        inside.append(1)
        most.append(len(inside))
        scheduler.sleep(1)
        inside.pop()
        lock.release()

    lock = Lock(scheduler := Scheduler())
    for number in range(3):
        scheduler.spawn(Task(f"t{number}", None, Random(number)), lambda: body(scheduler))
    scheduler.run()
    assert most == [1, 1, 1]
    assert scheduler.now == 3


def test_waiting_for_a_lock_or_an_event_ends_at_its_time():
    results = []

    def body(scheduler):
        lock, event = Lock(scheduler), Event(scheduler)
        assert lock.acquire()
        results.append((lock.acquire(timeout=2), scheduler.now))
        results.append((event.wait(3), scheduler.now))

    run(body)
    assert results == [(False, 2), (False, 5)]


def test_an_event_wakes_who_waits_for_it():
    scheduler = Scheduler()
    event, woken = Event(scheduler), []
    scheduler.spawn(Task("waits", None, Random(1)), lambda: woken.append((event.wait(), scheduler.now)))
    scheduler.spawn(Task("sets", None, Random(2)), event.set, delay=4.0)
    scheduler.run()
    assert woken == [(True, 4)]


def test_tasks_that_wait_for_each_other_are_reported():
    def body(scheduler):
        Event(scheduler).wait()

    assert run(body, body).problem == "t0, t1 wait for ever"


def test_a_task_that_is_killed_goes_no_further():
    said = []

    def body(scheduler):
        try:
            scheduler.sleep(5)
            said.append("not killed")
        except Killed:
            said.append(scheduler.now)
            scheduler.sleep(1)  # not even what it does while it ends
            said.append("went on")

    scheduler = Scheduler()
    task = Task("t", None, Random(1))
    scheduler.spawn(task, lambda: body(scheduler))
    scheduler.later(2, lambda: scheduler.kill(task))
    scheduler.run()
    assert said == [2]
    assert scheduler.problem is None


def test_what_a_task_raises_is_reported():
    def body(scheduler):
        raise ValueError("no")

    assert run(body).problem == "t0 raised ValueError: no"


def test_a_task_that_vanishes_keeps_what_it_has_until_the_run_is_over():
    scheduler = Scheduler()
    lock, said = Lock(scheduler), []

    def holds():
        lock.acquire()
        try:
            scheduler.sleep(5)
            said.append("went on")
        finally:
            said.append(scheduler.now)

    def waits():
        scheduler.sleep(3)
        said.append(lock.acquire(timeout=4))

    task = Task("holds", None, Random(1))
    scheduler.spawn(task, holds)
    scheduler.spawn(Task("waits", None, Random(2)), waits)
    scheduler.later(2, lambda: scheduler.vanish(task))
    scheduler.run()
    assert said == [False, 7]
    assert scheduler.problem is None


def test_no_interrupt_arrives_in_a_task_that_is_killed():
    """It would be raised in the place of the death, and the call would seem to have ended."""
    said = []

    def body(scheduler):
        sys.settrace(lambda *_: None)
        try:
            scheduler.sleep(5)
        finally:
            said.append(sys.gettrace())

    scheduler = Scheduler()
    task = Task("t", None, Random(1))
    scheduler.spawn(task, lambda: body(scheduler))
    scheduler.later(2, lambda: scheduler.kill(task))
    scheduler.run()
    assert said == [None]


@pytest.mark.parametrize(("used", "is_held_up"), [(0.01, True), (0.0, False), (1.0, False)])
def test_who_is_only_held_up_by_others_does_not_wait_for_something_outside(monkeypatch, used, is_held_up):
    """A busy machine leaves a run little processor time; who waits outside uses none, and who never ends uses all."""
    outside, looks = threading.Event(), itertools.count()
    monkeypatch.setattr(scheduling, "_PATIENCE", 0.1)

    def process_time():
        look = next(looks)
        if look == 3:
            outside.set()
        return look * used

    monkeypatch.setattr(scheduling, "time", SimpleNamespace(process_time=process_time))

    scheduler = Scheduler()
    scheduler.spawn(Task("t0", None, Random(0)), outside.wait)
    try:
        if is_held_up:
            scheduler.run()
            assert outside.is_set()
        else:
            with pytest.raises(RuntimeError, match="t0 waits for something that is not simulated"):
                scheduler.run()
    finally:
        outside.set()
