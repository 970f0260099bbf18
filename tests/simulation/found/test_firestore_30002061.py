"""Seed 30002061 on firestore.

Seed 30002061 on firestore: a damaged record: blob_get() of audit.t0: a part of the blob is missing:
'ann%.:blobs%3Ans:O54oNHxZBLKgT_0EQLshHoxsSKd5Ha8AHqGbAn-kB2-kB2-k'; put the blob again
"""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "firestore",
        "30002061",
        0.05,
        process(0, skew=-0.1280879434769968, tracking="off", flush_interval=0.1),
        thread(0, "ann"),
        call(
            104,
            "blob_delete",
            0,
            pause=0.011057189819625222,
            faults={1: "error after", 2: "partly done", 3: "error after", 4: "request late", 13: "error after"},
        ),
        process(1, skew=3.531229038170032, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(
            102,
            "blob_put",
            "ann 5c1e8.1" * 12,
            None,
            0.01,
            pause=0.0001999267565761506,
            faults={3: "answer late", 6: "answer late", 9: "error after"},
        ),
    )
