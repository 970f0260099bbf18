"""Seed 120052461 on redis: a delete of a blob had no answer, looked again, and took what was put since."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "redis",
        "120052461",
        0.05,
        process(0, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(
            0,
            "set_many",
            ("a", "ann 72969.1"),
            ("n", 5002),
            ("list", ["ann 72969.3"]),
            ("job1", {"kind": "job", "name": "ann 72969.4", "n": 0}),
            pause=0.41231061327426677,
        ),
        call(100, "blob_get", pause=0.007231715238281358),
        call(102, "blob_put", "ann c6945.1", None, 0.01, pause=0.010993665969964948),
        process(1, tracking="immediate", flush_interval=0.01),
        thread(1, "ann"),
        call(1, "purge_expired", pause=0.00021767106259446765),
        call(100, "blob_delete", 0, pause=0.004313402020734323, faults={3: "clock jump", 4: "answer late"}),
        process(2, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(101, "blob_put", "ann 3dde4.2" * 12, None, 0, pause=2.3148271170928823e-05),
    )
