"""Seed 220007786 on awaited: p2'.datastore-asynchronous raised RuntimeError: release unlocked lock."""

from tests.simulation.written import call, check, fault, process, thread


def test_all_is_well():
    check(
        "awaited",
        "220007786",
        0.2,
        process(2, skew=4.599262137711587, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "update_where", pause=0.7775661971543033),
        call(1, "get", "list", pause=0.00035832550690530077),
        thread(1, "ben"),
        call(0, "find_records", pause=0.0032847239463340717),
        call(1, "get", "b", pause=0.0015041972829796053),
        call(2, "get", "n", pause=0.0017517412552909045),
        call(3, "get", "job2", pause=0.013080722041251245),
        call(4, "update_where", pause=0.3765640238062964),
        call(5, "fork", "child", pause=5.988744196181657e-05),
        fault("p2.datastore-asynchronous.4#2", "throttled"),
        fault("p2.datastore-asynchronous.4#4", "interrupted"),
        fault("p2.datastore-asynchronous.4#5", "killed after"),
        fault("p2'.datastore-asynchronous.4#1", "request lost"),
        fault("p2'.datastore-asynchronous.5#2", "request late"),
        fault("p2'.datastore-asynchronous.5#3", "throttled"),
        fault("p2'.datastore-asynchronous.5#4", "request late"),
        fault("p2'.datastore-asynchronous.5#5", "request lost"),
    )
