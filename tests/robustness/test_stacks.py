"""Calls of other threads, whose stacks go on while they are looked at: what may still be under way is left alone."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace

import pytest

import datastore
from datastore import forks
from datastore.deadlines import within
from datastore.stacks import on_stack
from datastore.turns import BargingTurns, Turns
from datastore_couchdb.client import Session, Settings


def left_meanwhile():
    """Return a frame that was the innermost one when its thread's stack was looked at, and that was left since then.

    As of a context manager: between the look and the next step, its generator may have come to its ``yield``.
    """

    def manager():
        yield sys._getframe()

    kept.append(manager())
    return next(kept[-1])


kept = []


@pytest.fixture(autouse=True)
def _forget():
    yield
    kept.clear()


@pytest.fixture
def seen_amid(monkeypatch):
    """Let this thread's stack be seen so by whoever looks at the stacks of all threads."""
    frames = {threading.get_ident(): left_meanwhile()}
    monkeypatch.setattr(sys, "_current_frames", lambda: dict(frames))
    return monkeypatch.undo


def test_a_frame_is_on_the_stack_of_what_it_calls_and_not_when_it_has_ended():
    def ended():
        return sys._getframe()

    def called(frame):
        return on_stack(frame, sys._getframe())

    def manager(frame):
        yield on_stack(frame, sys._getframe())

    here = sys._getframe()
    assert called(here)
    assert next(manager(here))
    assert not called(ended())
    assert not on_stack(here, None), "a thread that has ended"


def test_of_a_stack_that_is_cut_off_nothing_is_known():
    cut = left_meanwhile()
    assert cut.f_back is None
    assert on_stack(sys._getframe(), cut)


@pytest.mark.parametrize("kind", [Turns, BargingTurns])
def test_the_turn_of_a_call_that_may_be_under_way_is_not_taken_back(kind, seen_amid):
    turns = kind("writing")

    def call():
        turn = turns.take()
        turns._dismiss_the_gone()
        assert turns._all() == [turn]

    call()
    seen_amid()
    turns._dismiss_the_gone()
    assert not turns._all(), "now it is known that the call has ended without leaving"


def test_a_connection_of_a_call_that_may_be_under_way_is_not_closed(tmp_path, seen_amid):
    with datastore.connect(f"sqlite:///{tmp_path / 'a.db'}") as store:
        pool = store.backend._opened.connections

        def call():
            connection = pool.take(sys._getframe())
            pool._discard_the_abandoned()
            assert not connection.discarded
            return connection

        connection = call()
        seen_amid()
        pool._discard_the_abandoned()
        assert connection.discarded, "now it is known that the call has ended without giving it back"


def test_a_connection_that_may_be_between_two_owners_is_not_closed(tmp_path, seen_amid):
    with datastore.connect(f"sqlite:///{tmp_path / 'a.db'}") as store:
        pool = store.backend._opened.connections
        connection = pool.take(sys._getframe())
        connection.frame = None  # as in the middle of being given back
        pool._discard_the_abandoned()
        assert not connection.discarded
        seen_amid()
        pool._discard_the_abandoned()
        assert connection.discarded


def test_a_fork_waits_for_a_call_that_may_be_under_way():
    participant = SimpleNamespace(module=__name__, inside=(), waiting=())
    elsewhere = SimpleNamespace(module="elsewhere", inside=(), waiting=())
    assert forks._is_inside(sys._getframe(), participant)
    assert not forks._is_inside(sys._getframe(), elsewhere)
    assert forks._is_inside(left_meanwhile(), elsewhere)


def test_the_client_of_couchdb_is_not_closed_beside_a_request_that_may_be_under_way(seen_amid):
    """A request that connects beside the closing leaves a connection open."""
    session = Session(Settings("http://127.0.0.1:1", None, None, "db"))
    with within(60), session.request_under_way():
        session.close()
        assert not session.client.is_closed
    assert session.client.is_closed
