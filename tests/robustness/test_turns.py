"""Turns that need not come in the order in which they were asked for: nobody starves, and no two have one at once.

What they have in common with turns that do is tested in `test_reentry`.
"""

import contextlib
import random
import sys
import threading
import time

import pytest

from datastore import ReentrantCallError
from datastore.turns import BargingTurns, Turns
from tests.full import times
from tests.patience import PATIENCE
from tests.robustness.test_interrupts import Interrupt, interrupted_at

MANY = 20


class Clock:
    """A clock that stands still until it is set."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def turns(clock):
    return BargingTurns("waiting", 1.0, clock)


class Sleeper:
    """A call that waits in line and does not wake up before it is told to, as a thread without a processor does not."""

    def __init__(self, turns, place=1):
        self.turns = turns
        self.had_its_turn = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._call, daemon=True)
        self._thread.start()
        while len(turns._line) < place:
            time.sleep(0.001)

    def _call(self):
        turn = self.turns._place(sys._getframe())
        turn.wake = threading.Lock()
        turn.wake.acquire()
        self.turns._line_up(turn)
        self._wake.wait(PATIENCE)
        self.had_its_turn = self.turns._has(turn)
        turn.leave()

    def wake(self):
        self._wake.set()
        self._thread.join(PATIENCE)
        return self.had_its_turn


def test_a_call_that_comes_need_not_wait_for_one_that_is_still_asleep(turns):
    sleeper = Sleeper(turns)
    with turns.take(0):
        pass
    assert sleeper.wake()


def test_others_go_first_until_one_has_waited_for_long_and_no_longer(turns, clock):
    sleeper = Sleeper(turns)
    clock.now += 0.99
    for _ in range(MANY):
        with turns.take(0):
            pass
    clock.now += 0.01
    for _ in range(3):
        with pytest.raises(TimeoutError, match="others were waiting for 0 s"):
            turns.take(0)
    assert sleeper.wake()
    with turns.take(0):
        pass


def test_what_takes_long_goes_before_nobody(turns):
    with turns.take(0, short=False):
        pass
    sleeper = Sleeper(turns)
    with pytest.raises(TimeoutError):
        turns.take(0, short=False)
    with turns.take(0):
        pass
    assert sleeper.wake()


def test_the_next_one_who_waits_is_passed_for_no_longer_than_the_first(turns, clock):
    for _ in range(3):
        sleeper = Sleeper(turns)
        with turns.take(0):
            pass
        clock.now += 1
        with pytest.raises(TimeoutError):
            turns.take(0)
        assert sleeper.wake()


def test_the_time_counts_from_when_each_began_to_wait(turns, clock):
    first = Sleeper(turns)
    clock.now += 0.5
    second = Sleeper(turns, 2)
    clock.now += 0.5
    with pytest.raises(TimeoutError):
        turns.take(0)
    assert first.wake()
    with turns.take(0):  # the second has waited for half of it
        pass
    clock.now += 0.5
    with pytest.raises(TimeoutError):
        turns.take(0)
    assert second.wake()


def test_who_comes_while_another_one_has_the_turn_waits_and_is_woken(monkeypatch, turns):
    for name in ("_LOOK", "_LONGEST_LOOK"):
        monkeypatch.setattr(f"datastore.turns.{name}", 3_600.0)  # nobody looks for himself whether his turn has come
    order = []

    def call(number):
        with turns.take():
            order.append(number)

    threads = [threading.Thread(target=call, args=(number,), daemon=True) for number in range(4)]
    with turns.take():
        for number, thread in enumerate(threads):
            thread.start()
            while len(turns._line) <= number:
                time.sleep(0.001)
        order.append("first")
    for thread in threads:
        thread.join(PATIENCE)
    assert order == ["first", 0, 1, 2, 3]


def test_a_call_within_a_call_is_refused(turns):
    with turns.take(), pytest.raises(ReentrantCallError, match="in the middle of waiting"):
        turns.take()
    assert turns.take_at_once() is not None


def test_who_takes_a_turn_only_if_it_is_free_does_not_go_before_others(turns):
    with turns.take():
        assert turns.take_at_once() is None
    sleeper = Sleeper(turns)
    assert turns.take_at_once() is None
    assert sleeper.wake()
    turn = turns.take_at_once()
    assert turn is not None
    with pytest.raises(ReentrantCallError):
        turns.take()
    turn.leave()


def test_after_a_fork_nobody_waits(turns):
    turns.take()
    sleeper = Sleeper(turns)
    turns.reset()
    with turns.take(0):
        assert turns._all() != []
    assert turns._all() == []
    sleeper.wake()


@pytest.mark.parametrize("kind", [Turns, BargingTurns])
def test_an_interrupt_at_any_bytecode_of_a_call_that_waits_holds_nobody_up(kind):
    turns, inside = kind("waiting"), 0

    def use():
        nonlocal inside
        with turns.take(PATIENCE):
            inside += 1
            try:
                assert inside == 1, "two have a turn at once"
            finally:
                inside -= 1

    executed, number = 1, 0
    while executed > number:
        number += 1
        held, over = threading.Event(), threading.Event()

        def hold(held=held, over=over):
            with turns.take(PATIENCE):
                held.set()
                while len(turns._all()) < 2 and not over.is_set():  # until the other one waits
                    time.sleep(0.0005)

        other = threading.Thread(target=hold, daemon=True)
        other.start()
        assert held.wait(PATIENCE)
        try:
            executed = interrupted_at(number, use)
        except Interrupt:
            executed = number + 1
        over.set()
        other.join(PATIENCE)
        assert not other.is_alive(), "it never gets out"
        after = threading.Thread(target=use, daemon=True)
        after.start()
        after.join(PATIENCE)
        assert not after.is_alive(), "another thread is shut out"
        use()
    assert number > 100, "the call must have waited"


@pytest.mark.parametrize("seed", range(times(3, 30)))
@pytest.mark.parametrize("threads", [2, 7])
def test_whatever_calls_do_one_at_a_time_has_the_turn_and_all_get_through(threads, seed):
    """Some give up after a short time, some leave without saying so, and some do nothing at all with their turn."""
    turns = BargingTurns("waiting", random.Random(seed).choice((0.0, 0.0002, 0.002)))
    inside, counts, faults = [], [0] * threads, []

    def use(chance, number):
        turn = turns.take(chance.choice((0.0002, PATIENCE, PATIENCE)))
        inside.append(number)
        if len(inside) != 1:
            faults.append(f"{list(inside)} at once")
        if chance.random() < 0.3:
            time.sleep(chance.random() * 0.0005)
        counts[number] += 1
        inside.remove(number)
        if chance.random() < 0.98:  # otherwise it is left behind, as by an interrupt
            turn.leave()

    def work(number):
        chance = random.Random(f"{seed} {number}")
        for _ in range(60):
            with contextlib.suppress(TimeoutError):
                use(chance, number)
            if chance.random() < 0.1:
                at_once(chance, number)

    def at_once(chance, number):
        turn = turns.take_at_once()
        if turn is not None:
            with turn:
                inside.append(number)
                if len(inside) != 1:
                    faults.append(f"{list(inside)} at once")
                inside.remove(number)

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert not any(worker.is_alive() for worker in workers), "somebody still waits"
    assert faults == []
    assert all(counts)
    with turns.take(PATIENCE):
        assert len(turns._all()) == 1
    assert turns._all() == []
