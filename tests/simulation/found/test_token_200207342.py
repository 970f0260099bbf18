"""Seed 200207342 on token: a record was looked at again, as counts were being written, and each look had 30 s."""

from tests.simulation.written import call, check, fault, process, thread


def test_all_is_well():
    check(
        "token",
        "200207342",
        0.0,
        process(0, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(1, "get_or_set", "a", "ann 5a404.1", pause=0.25600046962048917),
        thread(1, "ann"),
        call(
            0,
            "add_many",
            ("n", 6001),
            ("a", "ann 8cdc9.2"),
            ("job1", {"kind": "job", "name": "ann 8cdc9.3", "n": 0}),
            ("job2", {"kind": "job", "name": "ann 8cdc9.4", "n": 0}),
            pause=0.00016025317026523714,
        ),
        call(
            6,
            "get_record",
            "job2",
            pause=0.001375420494738538,
            faults={
                1: "request lost",
                2: "answer late",
                4: "answer late",
                5: "error after",
                6: "throttled",
                7: "error after",
                8: "answer late",
                10: "request lost",
                11: "throttled",
                12: "answer lost",
                13: "error after",
                14: "error after",
                15: "error after",
                16: "reset after",
                17: "throttled",
                18: "reset after",
                19: "request lost",
            },
        ),
        fault("p0.datastore-access#2", "throttled"),
        fault("p0.datastore-access#4", "reset before"),
        fault("p0.datastore-access#6", "throttled"),
        fault("p0.datastore-access#8", "throttled"),
        fault("p0.datastore-access#9", "request lost"),
    )
