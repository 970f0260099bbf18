"""A removal that breaks off and is repeated counts each document once, whatever became of what was sent."""

from __future__ import annotations

import pytest

from datastore import BackendUnavailableError
from datastore.adapters.removing import Removal, Removals


class Half(Removal):
    """One that keeps more of a call."""

    reached = ""


def test_live_and_expired_documents_are_counted_apart():
    with Removals(Removal).carry_out("call") as removal:
        removal.send({"a": True, "b": False, "c": True})
        for id in "ab":
            removal.removed(id)
        removal.kept("c")
    assert (removal.live, removal.expired, removal.in_doubt) == (1, 1, {})


def test_the_same_call_goes_on_where_it_broke_off_and_another_one_begins():
    removals = Removals(Half)

    def break_off():
        with removals.carry_out("call") as removal:
            removal.send({"a": True, "b": True})
            removal.removed("a")
            removal.reached = "b"
            raise BackendUnavailableError("no answer")

    with pytest.raises(BackendUnavailableError):
        break_off()
    with removals.carry_out("other") as other:
        assert (other.live, other.in_doubt, other.reached) == (0, {}, "")
    with removals.carry_out("call") as again:
        assert (again.live, again.in_doubt, again.reached) == (1, {"b": True}, "b")
        again.removed("b")
    assert again.live == 2
    assert len(removals) == 0


def test_what_is_kept_of_broken_calls_is_bounded():
    removals = Removals(Removal, most=2)
    for number in range(5):
        with pytest.raises(BackendUnavailableError), removals.carry_out(number):
            raise BackendUnavailableError("no answer")
    assert len(removals) == 2
