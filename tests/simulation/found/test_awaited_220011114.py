"""Seed 220011114 on awaited: too long: modify('b', 'ann c17d0.1') of p0.t1 took 35.1 s."""

from tests.simulation.written import call, check, fault, process, thread


def test_all_is_well():
    check(
        "awaited",
        "220011114",
        0.0,
        process(0, skew=-1.3505155035904206, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "get_record", "n", pause=0.0016503663352543674),
        call(1, "iter_records", pause=0.011178170198421253),
        thread(1, "ann"),
        call(0, "modify", "b", "ann c17d0.1", pause=0.00654209098056206),
        process(1, skew=1.0070195152531962, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        thread(1, "ann"),
        call(0, "add", "b", "ann 41dac.1", 0.01, pause=0.003533355871264007),
        fault("p0.datastore-asynchronous.4#1", "request late"),
        fault("p0.datastore-asynchronous.4#4", "request late"),
        fault("p0.datastore-asynchronous.4#5", "request late"),
        fault("p0.datastore-asynchronous.4#7", "request late"),
        fault("p0.datastore-asynchronous.4#8", "request late"),
        fault("p0.datastore-asynchronous.4#10", "request lost"),
        fault("p0.datastore-asynchronous.4#11", "request late"),
    )
