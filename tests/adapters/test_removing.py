"""What one call has removed is kept until the call is made again, and each document counts once."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from datastore import BackendUnavailableError
from datastore.adapters.removing import Removal, Removals


@contextmanager
def breaking_off(removals, call):
    """Carry out a call whose last answer is lost."""
    raised = False
    try:
        with removals.carry_out(call) as removal:
            yield removal
            raise BackendUnavailableError("no answer")
    except BackendUnavailableError:
        raised = True
    assert raised


def test_what_is_gone_counts_as_live_or_expired():
    removal = Removal()
    removal.send({"a": True, "b": False, "c": True, "d": True})
    for id in "abc":
        removal.removed(id)
    removal.kept("d")
    assert (removal.live, removal.expired, removal.in_doubt) == (2, 1, {})


def test_a_document_that_is_sent_again_is_in_doubt_once():
    removal = Removal()
    removal.send({"a": True})
    removal.send({"a": False})  # it has expired meanwhile
    removal.removed("a")
    assert (removal.live, removal.expired) == (0, 1)


def test_a_call_that_is_made_again_goes_on_where_it_broke_off():
    removals = Removals(Removal)
    with breaking_off(removals, ("forget", "ann", 1)) as removal:
        removal.send({"a": True, "b": True})
        removal.removed("a")
    with removals.carry_out(("forget", "ann", 2)) as other:
        assert (other.live, other.in_doubt) == (0, {})
    with removals.carry_out(("forget", "ann", 1)) as removal:
        assert (removal.live, removal.in_doubt) == (1, {"b": True})
        removal.removed("b")
    assert len(removals) == 0
    with removals.carry_out(("forget", "ann", 1)) as removal:
        assert removal.live == 0


def test_a_fault_of_the_program_is_not_gone_on_from():
    removals = Removals(Removal)
    with pytest.raises(KeyError), removals.carry_out("clear"):
        raise KeyError
    assert len(removals) == 0


def test_only_the_last_that_broke_off_are_kept():
    removals = Removals(Removal, most=2)
    for number in range(3):
        with breaking_off(removals, number) as removal:
            removal.send({"a": True})
    kept = []
    for number in range(3):
        with removals.carry_out(number) as removal:
            kept.append(len(removal.in_doubt))
    assert kept == [0, 1, 1]


def test_an_adapter_keeps_more_of_a_call_in_a_subclass():
    class Progress(Removal):
        def __init__(self) -> None:
            super().__init__()
            self.parts = 0

    removals = Removals(Progress)
    with breaking_off(removals, "clear") as progress:
        progress.parts = 3
    with removals.carry_out("clear") as progress:
        assert progress.parts == 3
