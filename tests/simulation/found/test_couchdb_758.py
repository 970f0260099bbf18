"""Seed 758 on couchdb: no order of the calls explains ann/ns/job1."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "758",
        0.0,
        process(0, skew=-3.754367736657339, tracking="immediate", flush_interval=1.0),
        thread(1, "ann"),
        call(0, "add", "job1", {"kind": "job", "name": "ann 022fb.1", "n": 0}, None, pause=0.025231619422566985),
        process(1, skew=-1.296575850396473, tracking="off", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "add", "job1", {"kind": "job", "name": "ann 74b80.1", "n": 0}, None, pause=0.013380019442504245),
        process(2, skew=1.7799153535167767, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "get_many", "b", "a", "job1", pause=0.01430917686559265),
        call(1, "clear", pause=0.002224873205282361),
    )
