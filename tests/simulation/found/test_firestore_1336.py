"""Seed 1336 on firestore.

Seed 1336 on firestore: a damaged record: blob_get() of audit.t0: a part of the blob is missing:
'ann%.:blobs%3Ans:O54oNHxoSn8jOMZkKq_eIMCFOI4kOaGDHZWrAn-kB2-kB2-k'; put the blob again
"""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "firestore",
        "1336",
        0.0,
        process(0, skew=2.409850410115296, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(102, "run", 0.05, "release", "ann 3870b.2", pause=1.3674068232870318),
        call(100, "blob_delete", 0, pause=0.00520798566530038),
        thread(1, "ann"),
        call(101, "blob_put", "ann 33d6f.1", None, 0.01, pause=0.0002549216770824077, faults={4: "answer late"}),
    )
