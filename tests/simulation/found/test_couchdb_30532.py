"""Seed 30532 on couchdb: no order of the calls explains ann/ns/job2."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "30532",
        0.2,
        process(0, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(2, "set", "job2", {"kind": "job", "name": "ann adf06.1", "n": 0}, 0.01, pause=0.00011301590817605721),
        thread(1, "ann"),
        call(1, "increment", "n", 1, pause=0.0014177206871809965),
        call(3, "clear", pause=0.008760707477427174),
        process(2, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(1, "list_keys", pause=0.0023085003582433063),
    )
