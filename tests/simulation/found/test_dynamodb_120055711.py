"""Seed 120055711 on dynamodb: a head in parts, as none is elsewhere, had expired by the clock of another process."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "dynamodb",
        "120055711",
        0.2,
        process(0, skew=-4.485119345105026, tracking="immediate", flush_interval=0.1),
        thread(0, "ann"),
        call(100, "blob_read", 0.05, pause=2.0498237639992736),
        process(1, skew=2.4043405481729065, tracking="off", flush_interval=0.1),
        thread(0, "ann"),
        call(101, "blob_put", "ann 1f3a7.2", None, 0, pause=0.0014046294545873128),
        call(100, "blob_put", "ann 1f3a7.1", 1, 0, pause=0.007583000605021682),
    )
