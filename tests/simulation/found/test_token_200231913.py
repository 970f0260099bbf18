"""Seed 200231913 on token: what had been listed was removed twice, since one lost write had made it twice."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "200231913",
        0.0,
        process(0, tracking="immediate", flush_interval=0.01),
        thread(0, "ann"),
        call(
            0,
            "update",
            "job2",
            "ann ca27f.1",
            pause=0.00022496591001930903,
            faults={2: "error after", 3: "answer late", 5: "answer lost", 6: "killed after"},
        ),
        call(
            2,
            "update",
            "job2",
            "ann ca27f.2",
            pause=0.0001255750606561305,
            faults={2: "answer lost", 3: "answer late", 4: "answer late"},
        ),
        process(1, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(
            1,
            "get_records",
            "list",
            "n",
            "job1",
            pause=0.0009591570379366007,
            faults={1: "error after", 2: "answer late", 3: "error after", 4: "made anew"},
        ),
        call(2, "claim", 0.01, pause=0.5587707775442544, faults={1: "request late"}),
        call(3, "claim", 60, pause=0.18922216931597952, faults={1: "answer late"}),
        thread(1, "ann"),
        call(0, "claim", 60, pause=0.00017527482329245326, faults={1: "answer late", 3: "request late"}),
        call(
            1,
            "delete_where",
            pause=0.7659288154338726,
            faults={2: "request late", 4: "error after", 5: "answer lost", 6: "error after"},
        ),
    )
