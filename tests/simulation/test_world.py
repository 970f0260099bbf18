"""What a world notes of its calls is not disturbed by what happens to them."""

from datastore.conformance.simulation.interrupts import Interrupted, interrupt
from datastore.conformance.simulation.luck import Luck
from datastore.conformance.simulation.plans import CallPlan, Plan, ProcessPlan, ThreadPlan
from datastore.conformance.simulation.world import World
from tests.simulation.memory import MemoryDatabase, Remote


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


class Slow(Remote):
    """Takes a second for each write."""

    def write(self, writes):
        self._client.world.scheduler.sleep(1.0)
        return super().write(writes)


class SlowDatabase(MemoryDatabase):
    def adapter(self, client):
        return Slow(self._inner, client)


def test_a_forked_child_has_no_thread_that_was_started_while_the_fork_waited():
    """The first lease of a store starts a thread. It was left in the child, where it waited for ever."""
    taken = []

    def takes_a_lease(store, seen):
        taken.append(store.lease("work"))

    def forks(store, seen):
        assert not taken
        seen.fork("child")
        assert taken
        seen.wait(60.0)  # until that thread has seen that nothing is left to renew

    assert played([takes_a_lease, forks], SlowDatabase).faults == []
