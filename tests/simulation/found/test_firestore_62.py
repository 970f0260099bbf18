"""Seed 62 on firestore: it went wrong once."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "firestore",
        "62",
        0.0,
        process(0, skew=-1.4914376266442444, tracking="immediate", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "modify", "b", "ann bb052.1", pause=0.1683834768189326, faults={2: "request late"}),
        call(
            1,
            "set_many",
            ("b", "ann bb052.2"),
            ("job1", {"kind": "job", "name": "ann bb052.3", "n": 0}),
            ("n", 8004),
            ("job2", {"kind": "job", "name": "ann bb052.5", "n": 0}),
            ("a", "ann bb052.6"),
            pause=0.01102700217939092,
        ),
        call(2, "get_record", "job1", pause=0.00939949321131645),
        call(3, "touch", "a", 1, pause=0.008973445231225884, faults={1: "answer cut", 2: "request lost"}),
        call(
            4,
            "set",
            "n",
            1007,
            1,
            pause=0.18216407892215095,
            faults={1: "error before", 3: "request lost", 4: "request lost"},
        ),
        call(5, "touch", "n", 0.01, pause=2.0239387668425657),
    )
