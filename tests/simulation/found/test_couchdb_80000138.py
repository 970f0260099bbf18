"""Seed 80000138 on couchdb: no order of the calls explains ann/ns/list."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "80000138",
        0.0,
        process(0, skew=0.33189675384661044, tracking="off", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "find_records", pause=0.0009224785877439076, faults={1: "error before"}),
        call(1, "get_records", "b", "job2", pause=0.00528032459844981),
        call(4, "namespace_stats", pause=0.004521852902195887),
        call(5, "append", "list", "ann 36814.2", pause=0.0010931729028054611),
        process(1, skew=-0.6404312929181444, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(2, "set", "list", ["ann b3140.2"], None, pause=0.0017762821224887957),
        thread(1, "ann"),
        call(
            0,
            "touch",
            "list",
            1,
            pause=0.00282067352232469,
            faults={1: "error after", 3: "error after", 5: "error before"},
        ),
    )
