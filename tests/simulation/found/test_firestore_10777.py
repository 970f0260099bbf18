"""Seed 10777 on firestore: it went wrong once."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "firestore",
        "10777",
        0.0,
        process(0, skew=4.38042884524455, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "find", pause=0.0015462379390261257),
        call(1, "delete_many", "a", "n", "job2", pause=0.00046324377291436886),
        call(
            2, "get_or_set", "a", "ann 85d3b.1", pause=0.004615452635927951, faults={4: "answer late", 5: "answer late"}
        ),
        call(3, "set_if", "n", 7002, Seen("n"), pause=0.001442416171254957),
        call(
            4,
            "set_if",
            "job1",
            {"kind": "job", "name": "ann 85d3b.3", "n": 0},
            Seen("job1"),
            pause=0.0009009068153180642,
        ),
        thread(1, "ann"),
        call(0, "set", "n", 7001, 10, pause=0.6629230439438742, faults={1: "throttled"}),
        call(1, "get", "job2", pause=0.011611234652328457),
        call(2, "find_one_and_update", pause=0.0027264822681418873),
        call(3, "set_if", "a", "ann 07735.2", Seen("a"), pause=0.6230712262760834),
        call(4, "get", "n", pause=0.006314116754545525),
        process(1, skew=-4.084660046774538, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "set", "a", "ann cc87f.1", None, pause=1.7116147715665753),
        call(1, "set", "a", "ann cc87f.2", 0.01, pause=0.005415291601290316),
        call(2, "set_if", "n", 7003, Seen("n"), pause=0.000723209988455518),
        call(3, "pop", "a", pause=0.0077907139462858165, faults={1: "answer cut"}),
        thread(1, "ann"),
        call(0, "get_record", "b", pause=0.0031810999970504528),
        call(1, "get", "n", pause=0.0052784792456634895, faults={1: "request lost"}),
    )
