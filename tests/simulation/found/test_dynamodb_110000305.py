"""Seed 110000305 on dynamodb: p0.datastore-leases raised AssertionError: only a task can wait."""

from tests.simulation.written import call, check, fault, process, thread


def test_all_is_well():
    check(
        "dynamodb",
        "110000305",
        0.2,
        process(0, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(
            101,
            "run",
            0.05,
            "release",
            "ann 0e743.4",
            pause=0.0003628107584624749,
            faults={1: "answer lost", 6: "answer lost", 8: "request late", 9: "made anew", 16: "request late"},
        ),
        call(
            100,
            "run",
            0.05,
            "leave",
            "ann 0e743.1",
            "ann 0e743.2",
            "ann 0e743.3",
            pause=0.2785572615660202,
            faults={7: "request late"},
        ),
        process(1, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(
            100,
            "run",
            0.05,
            "release",
            "ann 4179f.1",
            pause=0.0034894940335362303,
            faults={3: "request lost", 4: "request late", 5: "answer lost", 9: "killed before"},
        ),
        fault("p0.datastore-leases#3", "request late"),
    )
