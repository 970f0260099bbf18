"""What a world notes of its calls is not disturbed by what happens to them."""

from datastore.conformance.simulation.interrupts import Interrupted, interrupt
from datastore.conformance.simulation.luck import Luck
from datastore.conformance.simulation.plans import CallPlan, Plan, ProcessPlan, ThreadPlan
from datastore.conformance.simulation.world import World
from tests.simulation.memory import MemoryDatabase


def played(calls, database=MemoryDatabase):
    """Play a run of one process, in which each thread makes one call, and return its world.

    Args:
        calls: What each thread does, given its store and what it has seen.
        database: The database.
    """
    names = {str(number): call for number, call in enumerate(calls)}
    threads = tuple(
        ThreadPlan(number, "ann", "ns", (CallPlan(0, name, (), 0.01 * number),)) for number, name in enumerate(names)
    )
    plan = Plan("0", Luck({}, 0.0), (ProcessPlan(0, 0.0, {"tracking": "off"}, threads),), faults={})
    world = World(plan, database(), names.__getitem__)
    world.run()
    return world


def test_no_interrupt_arrives_while_the_end_of_a_call_is_noted():
    """A second one was raised where the world makes the error that stands for the first, and got out of the run."""

    def is_interrupted_again(store, seen):
        interrupt(0)
        raise Interrupted

    world = played([is_interrupted_again])
    assert world.faults == []
    assert [call.error.message for call in world.history] == ["it was interrupted"]
