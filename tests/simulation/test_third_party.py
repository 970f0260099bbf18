"""An adapter of a third party in the simulator, as the guide for adapter authors shows it."""

import pytest

from datastore.adapters.changes import Applied, Late
from datastore.conformance.simulation import simulate
from tests.full import times
from tests.third_party.shelf import ShelfBackend
from tests.third_party.simulated import FarShelf, SimulatedShelf


def test_the_adapter_of_the_guide_stands_bad_luck():
    simulate(SimulatedShelf, runs=times(100, 5_000))


class Careless(ShelfBackend):
    """Replaces a row whatever its version is by then."""

    def _swap(self, change):
        found = self._shelf.get([change.id])
        version = found[change.id][0] if change.id in found else None
        done = self._shelf.replace(change.id, version, self._row(change))
        return Late() if done is None else Applied(done)


class CarelessShelf(SimulatedShelf):
    def adapter(self, client):
        return Careless(FarShelf(self._shelf, client))


def test_a_fault_is_told_as_a_story():
    with pytest.raises(AssertionError, match=r"seed \d+ goes wrong: ") as told:
        simulate(CarelessShelf, runs=500)
    story = str(told.value)
    assert "replace ann:ns:" in story
    assert "\nWRONG: " in story
