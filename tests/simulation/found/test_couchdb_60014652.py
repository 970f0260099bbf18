"""Seed 60014652 on couchdb.

Seed 60014652 on couchdb: audit.open cannot connect: DeadlineExceededError: the call took longer than max_seconds, which
is 30 s; ask for less, or give connect(max_seconds=) more
"""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "60014652",
        0.05,
        process(2, tracking="off", flush_interval=0.01),
        thread(1, "ann"),
        call(6, "delete", "list", pause=0.0009720503465060946, faults={1: "answer cut", 2: "interrupted"}),
    )
