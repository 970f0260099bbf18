"""Seed 75090 on dynamodb.

Seed 75090 on dynamodb: too long: set_many(('b', 'ann 2e213.2'), ('list', ['ann 2e213.3']), ('n', 1004), ('job1',
{'kind': 'job', 'name': 'ann 2e213.5', 'n': 0})) of p0.t1 took 35.7 s
"""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "dynamodb",
        "75090",
        0.0,
        process(0, skew=-1.8615538958681932, tracking="off", flush_interval=0.1),
        thread(1, "ann"),
        call(
            3,
            "set_many",
            ("b", "ann 2e213.2"),
            ("list", ["ann 2e213.3"]),
            ("n", 1004),
            ("job1", {"kind": "job", "name": "ann 2e213.5", "n": 0}),
            pause=0.0004183243648036092,
            faults={
                2: "request lost",
                3: "answer late",
                4: "request lost",
                6: "not connected",
                8: "not connected",
                9: "throttled",
                11: "throttled",
                12: "request lost",
                13: "answer late",
                15: "answer late",
                18: "request lost",
            },
        ),
    )
