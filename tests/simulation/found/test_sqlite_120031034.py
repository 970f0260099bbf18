"""Seed 120031034 on sqlite: an interrupt arrived in what happens later, where nobody has the baton."""

from tests.simulation.written import call, check, fault, process, thread


def test_all_is_well():
    check(
        "sqlite",
        "120031034",
        0.05,
        process(0, connecting={1: "killed then"}, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(
            0,
            "set_many",
            ("job2", {"kind": "job", "name": "ann ad1ac.1", "n": 0}),
            ("n", 7002),
            ("a", "ann ad1ac.3"),
            ("list", ["ann ad1ac.4"]),
            ("job1", {"kind": "job", "name": "ann ad1ac.5", "n": 0}),
            pause=0.0014767871706152095,
        ),
        call(
            1,
            "set_many",
            ("b", "ann ad1ac.6"),
            ("n", 1007),
            pause=0.0008036369566151551,
            faults={2: "interrupted", 3: "interrupted"},
        ),
        call(
            2,
            "set_many",
            ("list", ["ann ad1ac.8"]),
            ("job2", {"kind": "job", "name": "ann ad1ac.9", "n": 0}),
            ("job1", {"kind": "job", "name": "ann ad1ac.10", "n": 0}),
            ("a", "ann ad1ac.11"),
            ("b", "ann ad1ac.12"),
            ("n", 2013),
            pause=0.003238025927948478,
            faults={1: "interrupted"},
        ),
        call(
            3,
            "set_many",
            ("list", ["ann ad1ac.14"]),
            ("job2", {"kind": "job", "name": "ann ad1ac.15", "n": 0}),
            ("n", 4016),
            ("b", "ann ad1ac.17"),
            ("job1", {"kind": "job", "name": "ann ad1ac.18", "n": 0}),
            ("a", "ann ad1ac.19"),
            pause=0.0011724827809823223,
        ),
        process(1, connecting={3: "power lost"}, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(
            0,
            "set_many",
            ("list", ["ann 4e921.1"]),
            ("a", "ann 4e921.2"),
            ("job2", {"kind": "job", "name": "ann 4e921.3", "n": 0}),
            pause=0.0019129234326225764,
            faults={1: "killed then"},
        ),
        fault("p0.open1#14", "killed then"),
        fault("p0.open2#2", "killed before"),
        fault("p1.open2#3", "power lost"),
    )
