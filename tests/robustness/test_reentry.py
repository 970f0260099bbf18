"""Signal handlers, finalizers and callbacks of weak references that use the store in the middle of one of its calls."""

import gc
import random
import signal
import threading
import time
import weakref

import pytest

import datastore
from datastore import ReentrantCallError
from datastore.turns import BargingTurns, Calls, Turns
from tests.full import times
from tests.patience import PATIENCE

URLS = ["sqlite:///{path}", "sqlite://:memory:", "memory://"]
CALLS = [
    lambda store, agent, i: agent.set("v", i),
    lambda store, agent, i: agent.set("v", i, {"i": i}),
    lambda store, agent, i: agent.set_many({f"b{j}": i for j in range(20)}),
    lambda store, agent, i: agent.get("k1"),
    lambda store, agent, i: agent.get_record("k1"),
    lambda store, agent, i: agent.find({"n": {"$gt": 10}}),
    lambda store, agent, i: store.flush(),
]


@pytest.fixture(params=URLS)
def store(request, tmp_path):
    with datastore.connect(request.param.format(path=tmp_path / "a.db"), flush_interval=0.003) as store:
        store.agent("u", "a").set_many({f"k{i}": {"n": i} for i in range(50)})
        yield store


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers that send signals")
def test_a_signal_handler_may_use_the_store_or_is_told_that_it_cannot(store):
    agent = store.agent("u", "a")
    chance = random.Random(3)
    came_through, refused = 0, 0

    def handler(*_):
        nonlocal came_through, refused
        for call in CALLS:
            try:
                call(store, agent, -1)
                came_through += 1
            except ReentrantCallError:
                refused += 1

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for number in range(times(150, 3_000)):
            signal.setitimer(signal.ITIMER_REAL, chance.random() * 0.0008 + 1e-6)
            for call in CALLS:
                call(store, agent, number)  # the interrupted call itself is never refused
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    came_through = 0
    handler()  # as if a signal came between two calls, which the timer may always miss
    assert came_through == len(CALLS)
    agent.set("v", "last")
    assert agent.get("v") == "last"


def test_finalizers_and_callbacks_that_the_collector_runs_inside_a_call_do_not_hang(store):
    agent = store.agent("u", "a")
    ran, outcomes = 0, set()

    def use():
        nonlocal ran
        ran += 1
        for call in CALLS[:5]:
            try:
                call(store, agent, -1)
                outcomes.add("done")
            except ReentrantCallError:
                outcomes.add("refused")

    class Cycle:
        def __init__(self):
            self.itself = self

        def __del__(self):
            use()

    class Other:
        pass

    threshold = gc.get_threshold()
    gc.set_threshold(40)
    try:
        for number in range(times(100, 1_000)):
            Cycle()
            other = Other()
            other.itself = other
            weakref.finalize(other, use)
            del other
            for call in CALLS:
                call(store, agent, number)
    finally:
        gc.set_threshold(*threshold)
    assert ran
    gc.collect()
    outcomes.clear()
    Cycle()
    gc.collect()  # between two calls, where the collector may never have run by itself
    assert outcomes == {"done"}


def test_a_write_within_a_write_is_refused_and_writes_nothing(store):
    backend, agent = store.backend, store.agent("u", "a")
    turns = getattr(backend, "_writer", backend)._turns
    refusal = pytest.raises(ReentrantCallError, match="Set a flag there, and call the store when the call has ended")
    with turns.take(), refusal:
        agent.set("k1", "changed")
    assert agent.get("k1") == {"n": 1}


# --------------------------------------------------------------------------------------------------------- turns


@pytest.fixture(params=[Turns, BargingTurns])
def kind(request):
    return request.param


def test_turns_come_in_the_order_in_which_they_were_asked_for(monkeypatch, kind):
    """Who leaves wakes the next one: here nobody looks for himself whether his turn has come."""
    for name in ("_LOOK", "_LONGEST_LOOK"):
        monkeypatch.setattr(f"datastore.turns.{name}", 3_600.0)
    turns, order, waiting = kind("waiting"), [], []
    first = turns.take()
    for number in range(8):

        def wait(number=number):
            with turns.take():
                order.append(number)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        waiting.append(thread)
        while len(turns._all()) < number + 2:
            time.sleep(0.001)
    first.leave()
    for thread in waiting:
        thread.join(PATIENCE)
    assert order == list(range(8))


def test_the_turn_of_a_call_that_is_over_passes_on(kind):
    turns = kind("waiting")

    def interrupted():
        turns.take()
        raise KeyboardInterrupt

    kept = []
    try:
        interrupted()
    except KeyboardInterrupt as interrupt:
        kept.append(interrupt)  # and with it the frame of the call, as a notebook does
    with turns.take(1):
        pass
    done = []
    turns.take()  # of this function, which goes on: but another thread need not wait for one that is over

    def other():
        with turns.take(20):
            done.append(True)

    def take_and_end():
        turns.take()

    turns.reset()
    take_and_end()
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert done


def test_two_threads_that_wait_for_each_other_are_not_left_waiting(kind):
    """As a handler in a call that has one turn asks for another, whose owner waits for the first."""
    one, two = kind("one"), kind("two")
    both, outcomes = threading.Barrier(2), []

    def work(first, second):
        with first.take():
            both.wait()
            try:
                with second.take(30):
                    outcomes.append("done")
            except ReentrantCallError:
                outcomes.append("refused")

    threads = [threading.Thread(target=work, args=pair) for pair in ((one, two), (two, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "refused" in outcomes


def test_waiting_ends_after_its_time(kind):
    turns, leave = kind("taking long"), threading.Event()

    def stay():
        with turns.take():
            leave.wait(PATIENCE)

    thread = threading.Thread(target=stay)
    thread.start()
    while not turns._queue:
        time.sleep(0.001)
    with pytest.raises(TimeoutError, match="others were taking long for"):
        turns.take(0.05)
    leave.set()
    thread.join()
    with turns.take(0.05):
        pass


def test_a_call_within_a_call_to_a_client_library_is_refused():
    calls = Calls("a request")

    def handler():
        with calls.begin():
            pass

    with calls.begin(), pytest.raises(ReentrantCallError, match="in the middle of a request"):
        handler()
    handler()


def test_a_call_to_a_client_library_that_was_interrupted_does_not_count():
    calls = Calls("a request")

    def interrupted():
        calls.begin()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with calls.begin():
        pass


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers that send signals")
def test_a_signal_handler_that_closes_the_store_in_the_middle_of_a_call_is_refused_at_once(store):
    """The store goes on; between two calls it is closed."""
    agent, chance, refused = store.agent("u", "a"), random.Random(11), 0
    closed = False

    def handler(*_):
        nonlocal refused, closed
        try:
            store.close()
            closed = True
        except ReentrantCallError:
            refused += 1

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for number in range(2_000):
            signal.setitimer(signal.ITIMER_REAL, chance.random() * 0.0005 + 1e-6)
            try:
                CALLS[number % len(CALLS)](store, agent, number)
            except datastore.ClosedError:
                assert closed
            if closed or refused > 50:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert closed or refused


def test_closing_within_a_call_is_refused_and_closing_another_store_is_not(store):
    with datastore.connect("memory://") as other:
        store._core.call("closing another one", other.close)
    with pytest.raises(ReentrantCallError, match="close it when the call has ended"):
        store._core.call("closing itself", store.close)
    store.agent("u", "a").set("k", 1)


def test_a_turn_that_an_interrupt_has_left_behind_is_no_reason_to_refuse_another_call(kind):
    """Whoever waits for it holds what this thread asks for: the turn is over, and both go on."""
    one, two, outcomes = kind("one"), kind("two"), []

    def interrupted():
        one.take()

    interrupted()

    def other():
        with two.take(), one.take(30):
            outcomes.append("other")

    thread = threading.Thread(target=other)
    thread.start()
    while not two._queue and thread.is_alive():
        time.sleep(0.001)
    with two.take(30):
        outcomes.append("this")
    thread.join()
    assert outcomes == ["other", "this"]
