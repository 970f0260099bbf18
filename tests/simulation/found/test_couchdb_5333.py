"""Seed 5333 on couchdb: clear() of p1.t0 counted 1, which cannot be: 0 to 0."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "5333",
        0.05,
        process(0, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(1, "find_one_and_update", pause=2.487430971294642),
        call(3, "increment", "n", 3, pause=0.00014634729071174657),
        call(5, "delete", "n", pause=0.4176729490008538),
        process(1, tracking="immediate", flush_interval=1.0),
        thread(0, "ann"),
        call(2, "clear", pause=2.887615131400833),
    )
