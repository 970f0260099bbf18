"""Seed 60006277 on token.

Seed 60006277 on token: delete_many('job1', 'b', 'job2', 'a', 'n', 'list') of p0.t0 counted 3, which cannot be: 4 to 6
"""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "60006277",
        0.2,
        process(0, skew=0.8900097084438787, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(
            0,
            "add_many",
            ("list", ["ann 72162.1"]),
            ("b", "ann 72162.2"),
            ("a", "ann 72162.3"),
            ("job2", {"kind": "job", "name": "ann 72162.4", "n": 0}),
            pause=0.004129267086758598,
        ),
        call(
            1,
            "delete_many",
            "job1",
            "b",
            "job2",
            "a",
            "n",
            "list",
            pause=0.0009391126004687282,
            faults={2: "error after", 3: "answer late", 6: "answer late"},
        ),
        process(1, skew=-2.705113257944969, tracking="immediate", flush_interval=0.01),
        thread(0, "ann"),
        call(
            0,
            "add",
            "list",
            ["ann fc76d.1"],
            0.01,
            pause=1.3772603088638065,
            faults={1: "reset after", 2: "request lost"},
        ),
    )
