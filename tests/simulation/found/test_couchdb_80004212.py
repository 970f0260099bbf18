"""Seed 80004212 on couchdb.

Seed 80004212 on couchdb: p1.open cannot connect: BackendUnusableError: http://couch.invalid:5984/db does not have what
this version asks for (404: missing): it is not CouchDB, or an index was removed. Connect again
"""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "80004212",
        0.2,
        process(
            1,
            connecting={3: "error before", 4: "reset before", 5: "answer late"},
            skew=-2.477093483253517,
            tracking="immediate",
            flush_interval=0.1,
        ),
        thread(1, "ann"),
        process(
            2,
            connecting={7: "reset before", 13: "reset before", 15: "reset before"},
            skew=1.0146860072749275,
            tracking="immediate",
            flush_interval=0.1,
        ),
        thread(0, "ann"),
        call(104, "blob_get", pause=0.9603879295797797),
        call(
            102,
            "blob_put",
            "ann cbb90.3",
            None,
            0,
            pause=0.0009879821610177305,
            faults={1: "made anew", 4: "error before", 6: "reset before", 8: "reset before"},
        ),
        call(
            100,
            "blob_put",
            "ann cbb90.1ann cbb90.1ann cbb90.1",
            None,
            3600,
            pause=1.1807936124219127,
            faults={3: "reset before", 5: "reset before", 9: "made anew"},
        ),
        call(101, "blob_put", "ann cbb90.2", None, 0.01, pause=0.00044965204554751957, faults={1: "made anew"}),
    )
