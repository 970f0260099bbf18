"""Seed 120013833 on firestore: a write under a lease is three calls, and each had its own time."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "firestore",
        "120013833",
        0.2,
        process(0, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(
            0,
            "get_or_set",
            "a",
            "ann 1861d.1",
            pause=0.1803945484567911,
            faults={4: "error after", 5: "answer late", 8: "request late"},
        ),
        call(100, "fenced_set", 2.0, "a", "ann f2cd7.1", pause=0.006532213819448018),
        process(1, tracking="deferred", flush_interval=0.01),
        thread(1, "ann"),
        call(
            101,
            "fenced_set",
            10.0,
            "a",
            "ann 83f53.1",
            pause=0.0064961411251301905,
            faults={
                1: "answer late",
                2: "error after",
                3: "answer late",
                5: "throttled",
                6: "throttled",
                7: "request late",
                9: "throttled",
                12: "request late",
                13: "answer late",
                14: "answer late",
                15: "answer late",
            },
        ),
    )
