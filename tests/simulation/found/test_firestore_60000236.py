"""Seed 60000236 on firestore: namespace_stats() of p0.t0 counted 1, which cannot be: 5 to 5."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "firestore",
        "60000236",
        0.2,
        process(0, skew=-0.8816227136393051, tracking="off", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "namespace_stats", pause=0.0014199384318857827, faults={1: "error before", 2: "answer cut"}),
        call(
            1,
            "add_many",
            ("n", 9001),
            ("job2", {"kind": "job", "name": "ann c0347.2", "n": 0}),
            ("list", ["ann c0347.3"]),
            ("a", "ann c0347.4"),
            ("job1", {"kind": "job", "name": "ann c0347.5", "n": 0}),
            pause=0.00010900872284231065,
        ),
        call(3, "namespace_stats", pause=0.0006273227502044967, faults={1: "answer cut"}),
    )
