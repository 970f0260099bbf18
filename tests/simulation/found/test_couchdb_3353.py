"""Seed 3353 on couchdb: delete_many('job1', 'job2', 'a', 'b', 'n') of p1.t0 counted 0, which cannot be: 1 to 1."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "3353",
        0.2,
        process(0, tracking="immediate", flush_interval=1.0),
        thread(0, "ann"),
        call(4, "clear", pause=0.0005237263494047003, faults={4: "request late"}),
        process(1, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(1, "increment", "n", 3, pause=0.00030093874240888323),
        call(3, "delete_many", "job1", "job2", "a", "b", "n", pause=0.7826695485220715),
        thread(1, "ann"),
        call(
            1,
            "set_if",
            "job1",
            {"kind": "job", "name": "ann 319fa.2", "n": 0},
            Seen("job1"),
            pause=0.004030085125706349,
        ),
        call(2, "increment", "n", 2, pause=0.8167208519972521),
    )
