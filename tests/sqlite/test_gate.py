"""Short calls of many threads go one after another, and nothing relies on it."""

import sqlite3
import sys
import threading
from time import monotonic, sleep
from types import SimpleNamespace

import pytest

from datastore import DamagedRecordError
from datastore.deadlines import within
from datastore_sqlite import gate as gates
from datastore_sqlite import pools
from datastore_sqlite.gate import Gate
from tests.patience import PATIENCE
from tests.sqlite.files import connect


@pytest.fixture
def clock(monkeypatch):
    """The time that a gate sees; a test moves it."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(gates, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def patient(monkeypatch):
    """Calls wait until it is their time, however long that takes."""
    monkeypatch.setattr(gates, "_PATIENCE", PATIENCE)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(gates, "_PATIENCE", 0.001)


def use(store, count):
    """Use so many connections at once, and return the pool."""
    pool = store.backend._opened.connections
    held = [pool.take(sys._getframe()) for _ in range(count)]
    for connection in held:
        pool.give_back(connection)
    return pool


def enters_after(gate, place):
    """Return whether another thread waits for the call at a place, and enters when that leaves."""
    order = []

    def enter():
        other = gate.enter()
        order.append("one entered" if other is place else "one did not wait")

    thread = threading.Thread(target=enter)
    thread.start()
    order.append("one left")
    gate.leave(place)
    thread.join(PATIENCE)
    return order == ["one left", "one entered"]


def test_one_call_after_another(patient):
    gate = Gate()
    assert enters_after(gate, gate.enter())


def test_a_call_that_has_waited_for_long_enough_goes_on(impatient):
    gate = Gate()
    gate.enter()  # and never leaves: an interrupt came, or the process is a fork
    second = gate.enter()
    gate.leave(second)
    assert gate.enter() is second, "the place that nobody leaves counts no more"


def test_whoever_was_passed_does_not_let_two_in(impatient, monkeypatch):
    gate = Gate()
    slow = gate.enter()
    second = gate.enter()
    gate.leave(slow)
    monkeypatch.setattr(gates, "_PATIENCE", PATIENCE)
    assert enters_after(gate, second)


def wait_in_line(gate, name, entered, *, ahead=False):
    """Let a call come while somebody is in there; when it enters, it adds its name to a list."""

    def enter():
        place = gate.enter(ahead)
        entered.append(name)
        gate.leave(place)

    before = len(gate._line)
    threading.Thread(target=enter).start()
    until(lambda: len(gate._line) > before)


def until(happened):
    """Wait until something has happened in another thread."""
    end = monotonic() + PATIENCE
    while not happened():
        assert monotonic() < end
        sleep(0.001)


def test_those_who_wait_enter_in_the_order_in_which_they_came(patient):
    gate, entered = Gate(), []
    place = gate.enter()
    for name in "abc":
        wait_in_line(gate, name, entered)
    gate.leave(place)
    until(lambda: entered == ["a", "b", "c"])


def test_a_call_for_which_others_wait_goes_before_them(patient):
    gate, entered = Gate(), []
    place = gate.enter()
    for name in "ab":
        wait_in_line(gate, name, entered)
    wait_in_line(gate, "writer", entered, ahead=True)
    gate.leave(place)
    until(lambda: entered == ["writer", "a", "b"])


@pytest.mark.parametrize(("ahead", "waited"), [(False, 2 * gates._POLITE), (True, gates._POLITE / 2)])
def test_a_newcomer_goes_before_one_that_is_only_being_woken(clock, patient, ahead, waited):
    gate, entered = Gate(), []
    place = gate.enter()
    wait_in_line(gate, "a", entered, ahead=ahead)
    clock.now += waited
    place.release()  # as `leave` does first; the one that waits is not awake yet
    newcomer = gate.enter()
    assert not entered
    gate.leave(newcomer)
    until(lambda: entered == ["a"])


def test_a_newcomer_waits_if_a_call_for_which_others_wait_has_waited_for_a_while(clock, patient):
    gate, entered = Gate(), []
    place = gate.enter()
    wait_in_line(gate, "a", entered, ahead=True)
    clock.now += 2 * gates._POLITE
    place.release()
    wait_in_line(gate, "b", entered)
    gate._first().wake.release()  # as `leave` does at last
    until(lambda: entered == ["a", "b"])


def test_a_call_that_an_interrupt_took_out_of_the_line_keeps_nobody_waiting(impatient):
    gate = Gate()
    gate._line.append(gates._Waiting(monotonic() - 1, ahead=True))  # nobody is there who would go on
    place = gate.enter()
    gate.leave(place)
    assert not gate._line
    assert gate.enter() is place, "the next one does not wait"


def test_nobody_waits_longer_than_the_call_has_left(patient):
    gate = Gate()
    gate.enter()
    with within(0.001):
        assert gate.enter(), "it goes on, and sees for itself that it has no time left"
    with within(0):
        assert gate.enter()


def test_calls_that_take_long_do_not_wait_for_each_other(clock, patient):
    gate = Gate()
    for _ in range(16):
        place = gate.enter()
        clock.now += 0.002  # as a disk takes, each time
        gate.leave(place)
    place = gate.enter()
    assert gate.enter() is None, "nobody waits"
    gate.leave(place)
    clock.now += gates._PAUSE
    assert enters_after(gate, gate.enter()), "tried again"


@pytest.mark.parametrize("long", [0.005, 3.0], ids=["slow", "a thread that was held up"])
def test_one_long_call_among_short_ones_changes_nothing(clock, patient, long):
    gate = Gate()
    for seconds in [0.000_01] * 10 + [long] + [0.000_01] * 10:
        place = gate.enter()
        clock.now += seconds
        gate.leave(place)
    assert enters_after(gate, gate.enter())


class TestInTheStore:
    @pytest.fixture
    def entered(self, monkeypatch):
        """The places that calls entered."""
        entered = []

        class Watched(Gate):
            def enter(self, ahead=False):
                place = super().enter(ahead)
                entered.append(place)
                return place

        monkeypatch.setattr(pools, "Gate", Watched)
        monkeypatch.setattr(gates, "_PATIENCE", PATIENCE)
        return entered

    @pytest.fixture
    def store(self, path, entered, monkeypatch):
        """A store whose calls go through a gate, as if many threads had used it."""
        monkeypatch.setattr(pools, "_MANY", 2)
        with connect(path) as store:
            use(store, 2)
            yield store

    def test_few_threads_do_not_wait_for_each_other(self, path):
        with connect(path) as store:
            assert use(store, pools._MANY - 1).gate is None
            assert use(store, pools._MANY).gate

    def test_nobody_waits_where_threads_run_at_the_same_time(self, path, monkeypatch):
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
        with connect(path) as store:
            assert use(store, pools._MANY).gate is None

    def test_calls_for_one_record_go_through_it(self, store, entered):
        agent = store.agent("u", "a")
        for call in (
            lambda: agent.set("k", 1),
            lambda: agent.get("k"),
            lambda: agent.get("absent"),
            lambda: agent.increment("k"),
            lambda: agent.delete("k"),
        ):
            entered.clear()
            call()
            assert entered
            assert not any(place.locked() for place in entered)

    def test_batches_and_listings_do_not(self, store, entered):
        agent = store.agent("u", "a")
        agent.set_many({f"k{n}": n for n in range(20)})
        agent.get_many([f"k{n}" for n in range(20)])
        list(agent.scan())
        agent.get_all()
        agent.clear()
        assert not entered

    def test_a_call_that_fails_leaves(self, path, store, entered):
        agent = store.agent("u", "a")
        agent.set("k", 1)
        with sqlite3.connect(path) as other:
            other.execute("UPDATE agent_data_store SET value = CAST(x'ff' AS TEXT)")
        other.close()
        entered.clear()
        with pytest.raises(DamagedRecordError):
            agent.get("k")
        assert entered
        assert not any(place.locked() for place in entered)
