"""Seed 2726 on firestore: it went wrong once."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "firestore",
        "2726",
        0.0,
        process(0, tracking="immediate", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "delete", "job1", pause=0.0012873090975324053, faults={1: "request late"}),
        call(
            1,
            "add_many",
            ("job2", {"kind": "job", "name": "ann fd14b.1", "n": 0}),
            ("b", "ann fd14b.2"),
            ("job1", {"kind": "job", "name": "ann fd14b.3", "n": 0}),
            ("n", 3004),
            ("a", "ann fd14b.5"),
            pause=0.0024713763324020637,
            faults={1: "answer lost", 3: "request late", 4: "error after", 5: "answer lost"},
        ),
        call(2, "delete_if", "a", Seen("a"), pause=8.150074678873636e-05),
        call(
            3,
            "claim",
            5,
            pause=0.0032503938109190184,
            faults={
                1: "answer cut",
                3: "throttled",
                4: "throttled",
                6: "reset after",
                7: "error after",
                8: "request late",
                9: "answer lost",
            },
        ),
        call(
            4,
            "add_many",
            ("job1", {"kind": "job", "name": "ann fd14b.6", "n": 0}),
            ("job2", {"kind": "job", "name": "ann fd14b.7", "n": 0}),
            ("b", "ann fd14b.8"),
            ("a", "ann fd14b.9"),
            ("n", 5010),
            pause=0.47083014234678133,
            faults={1: "answer lost", 3: "throttled", 4: "request late", 5: "request late"},
        ),
        process(1, tracking="immediate", flush_interval=0.1),
        thread(0, "ann"),
        call(
            0,
            "set",
            "a",
            "ann df967.1",
            1,
            pause=0.0007973167949494834,
            faults={
                1: "answer cut",
                2: "request late",
                3: "answer lost",
                4: "answer lost",
                6: "throttled",
                7: "answer lost",
                8: "request late",
                9: "request late",
            },
        ),
        call(1, "pop", "n", pause=0.004167803046012691, faults={2: "answer cut"}),
        call(
            2,
            "pop",
            "b",
            pause=0.015491368716251999,
            faults={
                1: "answer cut",
                2: "throttled",
                3: "reset after",
                5: "error after",
                6: "throttled",
                7: "answer lost",
            },
        ),
        call(3, "delete_many", "a", "b", pause=0.0008525529749617343),
    )
