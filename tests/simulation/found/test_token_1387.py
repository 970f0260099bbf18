"""Seed 1387 on token: it went wrong once."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "1387",
        0.05,
        process(0, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(
            0,
            "set_if",
            "job2",
            {"kind": "job", "name": "ann 16286.1", "n": 0},
            Seen("job2"),
            pause=0.0026627765120356577,
        ),
        call(1, "delete_many", "b", "a", "job1", "n", "job2", pause=8.627711443476772e-05, faults={4: "request lost"}),
        call(2, "get_or_set", "a", "ann 16286.2", pause=0.05971380098649885),
        call(3, "pop", "a", pause=0.0005022962991237574, faults={1: "answer lost", 2: "reset after"}),
        call(4, "get_record", "job1", pause=0.002102332950470257),
        call(5, "set_if", "n", 1003, Seen("n"), pause=0.256723969720412),
        call(
            6,
            "get_or_set",
            "a",
            "ann 16286.4",
            pause=0.0023147917063367353,
            faults={2: "answer lost", 3: "request lost", 5: "reset after", 7: "reset after", 10: "reset after"},
        ),
        thread(1, "ann"),
        call(0, "find", pause=0.00020564212063903982),
        call(1, "add", "n", 1001, None, pause=0.009668292490888956),
        process(1, tracking="off", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "add", "n", 6001, None, pause=0.0004942989121998926),
        call(
            1,
            "get_or_set",
            "b",
            "ann 22560.2",
            pause=0.0007194042758234234,
            faults={1: "reset after", 5: "reset after"},
        ),
        call(2, "update_where", pause=1.5600922362342813),
        call(3, "pop", "n", pause=0.002160029472078703),
    )
