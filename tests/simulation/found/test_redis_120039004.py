"""Seed 120039004 on redis: the head of a blob was written by a request that arrived when the blob was deleted."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "redis",
        "120039004",
        0.2,
        process(1, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(105, "blob_put", "ann a6d9c.6", None, 0.01, pause=0.008531018121497085, faults={5: "request late"}),
        call(104, "blob_delete", 0, pause=0.005879263865938476),
    )
