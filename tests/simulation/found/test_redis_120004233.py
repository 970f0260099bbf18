"""Seed 120004233 on redis: a pop removed a record twice, which a write without an answer had made twice."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "redis",
        "120004233",
        0.0,
        process(0, tracking="immediate", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "modify", "a", "ann d6a58.1", pause=0.3577685996106314),
        call(3, "claim", 5, pause=1.1840129265038402, faults={2: "answer late"}),
        call(4, "set_if", "a", "ann d6a58.4", Seen("a"), pause=0.0005606896007480897),
        thread(1, "ann"),
        call(0, "set_if", "n", 2001, Seen("n"), pause=1.8840173295052665),
        call(
            5,
            "pop",
            "a",
            pause=0.4745417222739406,
            faults={
                1: "read-only",
                2: "answer late",
                5: "answer late",
                6: "partly done",
                7: "answer cut",
                8: "partly done",
                9: "server clock jump",
            },
        ),
        process(2, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(1, "claim", 60, pause=0.029616397565868362, faults={1: "answer late"}),
        call(6, "pop", "a", pause=0.0004183006615043312),
        thread(1, "ann"),
        call(
            2,
            "set_many",
            ("a", "ann 7cd1e.2"),
            ("b", "ann 7cd1e.3"),
            ("job1", {"kind": "job", "name": "ann 7cd1e.4", "n": 0}),
            ("job2", {"kind": "job", "name": "ann 7cd1e.5", "n": 0}),
            pause=0.5253933941823151,
            faults={2: "read-only", 4: "answer late"},
        ),
    )
