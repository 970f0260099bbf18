"""Seed 766 on dynamodb: it went wrong once."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "dynamodb",
        "766",
        0.05,
        process(0, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "add", "a", "ann 9e0c8.1", 1, pause=0.002318273411711927),
        call(1, "clear", pause=0.004325661417846346, faults={2: "answer late"}),
        call(2, "get", "b", pause=1.66859040797191, faults={1: "reset after"}),
        call(3, "clear", pause=1.3186779767706904),
        thread(1, "ann"),
        call(
            0,
            "get_or_set",
            "b",
            "ann 9f965.1",
            pause=0.0010161134171245392,
            faults={2: "error before", 7: "reset after"},
        ),
        call(1, "delete_where", pause=7.846962483664019e-05),
        call(2, "add", "job2", {"kind": "job", "name": "ann 9f965.2", "n": 0}, 10, pause=0.9219766040728671),
        call(3, "get_or_set", "a", "ann 9f965.3", pause=0.9410873996558293, faults={1: "reset after"}),
        call(4, "update_where", pause=2.880802928962169, faults={2: "reset after", 3: "not connected"}),
        process(1, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "get_or_set", "a", "ann 8711f.1", pause=0.6287157645864898, faults={3: "reset before"}),
        call(1, "get", "job2", pause=0.0011981654321103024),
        call(2, "get", "job1", pause=1.2021108541937664),
        call(3, "delete_where", pause=0.001917918797214254, faults={2: "reset after", 3: "not connected"}),
        call(
            4,
            "add",
            "job2",
            {"kind": "job", "name": "ann 8711f.2", "n": 0},
            0.01,
            pause=6.120739020136568e-05,
            faults={1: "request late"},
        ),
        call(5, "add", "job2", {"kind": "job", "name": "ann 8711f.3", "n": 0}, None, pause=5.246892584590202e-05),
    )
