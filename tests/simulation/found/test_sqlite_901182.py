"""Seed 901182 on sqlite: no order of the calls explains ann/ns/job2."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "sqlite",
        "901182",
        0.05,
        process(0, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(
            3,
            "set_many",
            ("list", ["ann 134d4.1"]),
            ("job2", {"kind": "job", "name": "ann 134d4.2", "n": 0}),
            ("job1", {"kind": "job", "name": "ann 134d4.3", "n": 0}),
            pause=0.7015110293741121,
        ),
        call(5, "delete_many", "n", "job2", "a", "b", pause=0.00205843449155159),
        call(
            6,
            "delete_many",
            "list",
            "n",
            "job1",
            "a",
            "job2",
            "b",
            pause=0.002354338040944675,
            faults={2: "interrupted", 3: "power lost"},
        ),
    )
