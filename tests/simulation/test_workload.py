"""Every public call is drawn, and comes to something."""

from datastore.conformance.calls import CALLS
from datastore.conformance.simulation.workload import KINDS
from tests.simulation.playing import draw, play
from tests.simulation.sqlite import SqliteDatabase

_OF_A_LOG = "a log is judged as a whole and not key by key; the kit's topic of logs has its races and failures"
LEFT_OUT = {
    "iter_records-namespaces": "it lists the ranges of ids that find_in reads, which is drawn",
    **dict.fromkeys(("log_append", "log_read", "log_trim", "list_logs"), _OF_A_LOG),
    "lease": "what the checker knows of a key has no fencing numbers yet; the kit and real processes test leases",
    "lock": "it is a lease that is waited for",
}
"""The calls of the kit's table that are not drawn, each with the reason."""
MORE = {"set_if", "delete_if", "copy", "import", "fork"}
"""What is drawn besides: calls with a revision, those that move records while others write, and a fork."""


def test_every_call_of_the_kit_is_drawn():
    assert set(CALLS) - set(KINDS) == set(LEFT_OUT)
    assert set(KINDS) - set(CALLS) == MORE


def test_every_call_comes_to_something():
    """In some run it ends without an error; otherwise its line in the table would be wrong."""
    left = set(KINDS)
    for seed in range(300):
        played = play(draw(str(seed), SqliteDatabase), SqliteDatabase)
        left -= {call.name for call in played.world.history if call.error is None and call.process != "audit"}
        if not left:
            return
    raise AssertionError(f"never without an error: {sorted(left)}")
