"""The product of a search is taken in the way that is faster now, whatever was once the case."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from datastore.memory.products import Chooser, multiply

ALONE, SHARED = False, True


def play(chooser, seconds, times):
    """Take so many products, of which each way takes so long; return which ways were taken."""
    taken = []
    for _ in range(times):
        way = chooser.choose()
        taken.append(way)
        chooser.note(way, seconds[way])
    return taken


def test_the_faster_way_is_taken_and_the_other_one_tried_ever_more_seldom():
    chooser = Chooser()
    taken = play(chooser, {ALONE: 1.0, SHARED: 2.0}, 2_000)
    tried = [number for number, way in enumerate(taken) if way is SHARED]
    assert 5 <= len(tried) <= 20
    pauses = [pause for before, after in pairwise(tried) if (pause := after - before) > 1]
    assert pauses == sorted(pauses)


def test_one_product_on_a_busy_machine_does_not_count_for_ever():
    chooser = Chooser()
    play(chooser, {ALONE: 1.0, SHARED: 300.0}, 10)  # all processors were busy, or the threads had yet to be started
    taken = play(chooser, {ALONE: 1.0, SHARED: 0.25}, 100)
    assert taken[-50:].count(SHARED) >= 45


def test_a_way_that_was_slow_once_is_taken_again_soon():
    chooser = Chooser()
    play(chooser, {ALONE: 1.0, SHARED: 0.25}, 3_000)  # by now the other way is tried very seldom
    play(chooser, {ALONE: 1.0, SHARED: 50.0}, 1)
    taken = play(chooser, {ALONE: 1.0, SHARED: 0.25}, 40)
    assert taken.count(SHARED) >= 25


def test_the_first_product_after_a_pause_may_wait_for_threads_that_sleep():
    chooser = Chooser()
    play(chooser, {ALONE: 1.0, SHARED: 300.0}, 10)
    while chooser.choose() is ALONE:
        chooser.note(ALONE, 1.0)
    chooser.note(SHARED, 300.0)
    taken = play(chooser, {ALONE: 1.0, SHARED: 0.25}, 20)
    assert taken.count(SHARED) >= 18


@pytest.mark.parametrize("way", [ALONE, SHARED], ids=["alone", "shared"])
def test_both_ways_have_the_same_product(way, monkeypatch):
    monkeypatch.setattr(Chooser, "choose", lambda self: way)
    rows = np.arange(2_000 * 384, dtype=np.float32).reshape(2_000, 384) % 7
    vector, out = np.arange(384, dtype=np.float32) % 5, np.empty(2_000, np.float32)
    multiply(rows, vector, out)
    assert (out == rows @ vector).all()  # small integers: no rounding
