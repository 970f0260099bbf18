"""What was opened and cannot be used is closed, whatever has failed; what can be used stays open."""

import pytest

from datastore.adapters.opening import ClosedOnFailure


class Opened:
    closed = 0

    def close(self):
        self.closed += 1


def test_what_can_be_used_stays_open():
    opened = Opened()
    with ClosedOnFailure(opened):
        pass
    assert opened.closed == 0


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_what_cannot_be_used_is_closed_and_the_failure_goes_on(failure):
    opened = Opened()
    with pytest.raises(failure), ClosedOnFailure(opened):
        raise failure
    assert opened.closed == 1
