"""Seed 120000827 on redis: a killed call's request found what the server had forgotten by then."""

from tests.simulation.written import call, check, fault, process, thread


def test_all_is_well():
    check(
        "redis",
        "120000827",
        0.0,
        process(0, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(2, "add", "list", ["ann 2a2e0.2"], 1, pause=0.02704336198414992, faults={1: "clock jump"}),
        call(
            100,
            "run_result",
            pause=0.06857193275269083,
            faults={1: "reset before", 2: "answer lost", 3: "killed before"},
        ),
        call(
            4,
            "add_many",
            ("n", 5009),
            ("job2", {"kind": "job", "name": "ann 2a2e0.10", "n": 0}),
            ("job1", {"kind": "job", "name": "ann 2a2e0.11", "n": 0}),
            ("b", "ann 2a2e0.12"),
            ("list", ["ann 2a2e0.13"]),
            pause=0.0007140456039640135,
            faults={1: "killed after"},
        ),
        thread(1, "ann"),
        call(1, "add", "job1", {"kind": "job", "name": "ann b1940.2", "n": 0}, 0.01, pause=0.0014652877885673063),
        call(2, "claim", 0.01, pause=0.0005477138586741063, faults={1: "killed after"}),
        fault("p0.open1#1", "answer lost"),
    )
