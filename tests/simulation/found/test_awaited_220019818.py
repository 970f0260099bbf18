"""Seed 220019818 on awaited: too long: log_read(1, None, False) of p0.t1 took 39.9 s."""

from tests.simulation.written import call, check, fault, process, thread


def test_all_is_well():
    check(
        "awaited",
        "220019818",
        0.0,
        process(0, skew=3.699527834618996, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(100, "run", 2.0, "leave", "ann 2f4d7.1", "ann 2f4d7.2", "ann 2f4d7.3", pause=0.0009587139334823195),
        call(102, "blob_put", "ann 2f4d7.4" * 12, None, 3600, pause=0.003441016449816719),
        thread(1, "ann"),
        call(103, "fenced_set", 10.0, "a", "ann 0ca28.4", pause=0.118133974081958),
        call(102, "log_read", 1, None, False, pause=0.39132885641377657),
        fault("p0.datastore-asynchronous.4#2", "request lost"),
        fault("p0.datastore-asynchronous.4#3", "request lost"),
        fault("p0.datastore-asynchronous.4#5", "request late"),
        fault("p0.datastore-asynchronous.4#6", "request late"),
        fault("p0.datastore-asynchronous.4#17", "request lost"),
        fault("p0.datastore-asynchronous.4#19", "error before"),
        fault("p0.datastore-asynchronous.4#22", "answer lost"),
        fault("p0.datastore-asynchronous.4#25", "answer lost"),
        fault("p0.datastore-asynchronous.4#26", "request late"),
        fault("p0.datastore-asynchronous.4#30", "request late"),
        fault("p0.datastore-asynchronous.4#31", "throttled"),
        fault("p0.datastore-asynchronous.4#32", "request lost"),
        fault("p0.datastore-asynchronous.4#35", "request lost"),
        fault("p0.datastore-asynchronous.4#37", "request late"),
        fault("p0.datastore-asynchronous.4#39", "request lost"),
        fault("p0.datastore-asynchronous.4#41", "request lost"),
    )
