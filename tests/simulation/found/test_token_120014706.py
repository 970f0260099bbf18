"""A put with a ``ttl`` wrote its head at its second attempt, while somebody removed the parts as of an expired version.

Seed 120014706 on token: a damaged record: blob_get() of p0.t0: a part of the blob is missing:
'ann%.:blobs%3Ans:O54oNHxHGaxAKbBlGMRkG5p7B5l3Gn4AJnSGAn-kB2-kB2-k'; put the blob again
"""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "120014706",
        0.2,
        process(0, tracking="off", flush_interval=0.01),
        thread(0, "ann"),
        call(101, "blob_put", "ann a5f82.1ann a5f82.1ann a5f82.1", None, 3600, pause=0.012289491862038314),
        call(102, "blob_put", "ann a5f82.2" * 12, 1, 0.01, pause=2.010049440517402, faults={14: "answer late"}),
        call(103, "blob_get", pause=0.018853936996308763),
        process(1, tracking="off", flush_interval=0.01),
        thread(1, "ann"),
        call(1, "copy", pause=0.9285219801627509),
        call(102, "blob_put", "ann b1190.2", None, 3600, pause=0.7687136706365377),
        call(2, "first", pause=1.9945129464381888),
        call(100, "blob_delete", 0, pause=0.00014588969938370192, faults={11: "request late"}),
    )
