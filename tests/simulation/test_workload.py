"""Every public call is drawn, and comes to something."""

from datastore.conformance.calls import CALLS
from datastore.conformance.simulation.workload import AROUND, KINDS
from tests.simulation.playing import draw, play
from tests.simulation.sqlite import SqliteDatabase

LEFT_OUT = {"iter_records-namespaces": "it lists the ranges of ids that find_in reads, which is drawn"}
"""The calls of the kit's table that are not drawn, each with the reason."""
MORE = {"set_if", "delete_if", "copy", "import", "fork", "renew", "release", "run", "run_result"}
MORE |= {"ensure_index", "find_by", "find_records_by", "count_by", "update_where_by", "delete_where_by"}
MORE |= {"fenced_set", "fenced_increment", "fenced_delete", "blob_put", "blob_get", "blob_read", "blob_delete"}
MORE |= {"memory_add", "memory_set", "memory_edit", "memory_delete", "memory_search"}
MORE |= {"vault_add", "vault_vectors", "vault_delete", "vault_similar"}
"""What is drawn besides: calls with a revision, those that move records while others write, a fork, what is done with a
lease, runs, blobs, texts with vectors, vector vaults, and queries that an index may answer."""


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


def test_a_run_without_what_is_around_the_records_is_drawn_as_if_that_did_not_exist(monkeypatch):
    """So a new call of that changes the runs of few seeds: those of the tables are found anew for some faults only."""
    plans = [draw(str(seed), SqliteDatabase) for seed in range(100)]
    for share in ("_WITH_MORE", "_WITH_MEMORY", "_WITH_VAULTS"):
        monkeypatch.setattr(f"datastore.conformance.simulation.workload.{share}", 0.0)
    without = [draw(str(seed), SqliteDatabase) for seed in range(100)]
    for plan, alone in zip(plans, without, strict=True):
        calls = [call for process in plan.processes for thread in process.threads for call in thread.calls]
        assert (plan == alone) is (not any(call.name in AROUND for call in calls))
    assert 10 < sum(plan != alone for plan, alone in zip(plans, without, strict=True)) < 50
