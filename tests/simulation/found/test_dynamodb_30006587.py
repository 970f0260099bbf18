"""Seed 30006587 on dynamodb.

Seed 30006587 on dynamodb: a damaged record: blob_read(2.0) of p1.t0: a part of the blob is missing:
'ann%.:blobs%3Ans:O54oNHxcNqpIK_C9Hr4iKJslQaRrMrKdBa_bAn-kB2-kB2-k'; put the blob again
"""

from tests.simulation.written import call, check, fault, process, thread


def test_all_is_well():
    check(
        "dynamodb",
        "30006587",
        0.05,
        process(0, tracking="deferred", flush_interval=0.1),
        thread(0, "ann"),
        call(101, "blob_delete", 0, pause=2.0577537469324345),
        call(
            100,
            "run",
            0.05,
            "release",
            "ann 07e2c.1",
            "ann 07e2c.2",
            "ann 07e2c.3",
            pause=0.010799606448527503,
            faults={12: "throttled"},
        ),
        thread(1, "ann"),
        call(0, "increment", "n", 3, pause=0.591473678669646),
        call(
            102,
            "blob_put",
            "ann 8b662.4",
            None,
            3600,
            pause=0.0013073185333511992,
            faults={9: "answer lost", 18: "answer cut"},
        ),
        call(100, "run", 2.0, "release", "ann 8b662.1", "ann 8b662.2", "ann 8b662.3", pause=0.003447118158548935),
        call(1, "increment", "n", 1, pause=0.8460027202667111),
        call(103, "blob_delete", 0, pause=0.011389201729129722, faults={9: "throttled"}),
        process(1, tracking="off", flush_interval=0.01),
        thread(0, "ann"),
        call(
            100,
            "blob_put",
            "ann ef1b9.1" * 12,
            None,
            0,
            pause=0.00035655174935680223,
            faults={18: "answer cut"},
        ),
        call(1, "increment", "n", 3, pause=0.9572943047500614),
        call(4, "modify", "a", "ann 27976.1", pause=0.046402147074121956),
        call(101, "blob_read", 2.0, pause=0.12863689169234824, faults={2: "answer lost"}),
        process(2, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(102, "blob_put", "ann 6e157.2", None, 3600, pause=0.0019653717747790435, faults={2: "throttled"}),
        call(
            100,
            "blob_put",
            "ann 6e157.1" * 12,
            1,
            0.01,
            pause=0.0008919274301863289,
        ),
        fault("p1.t0.100+7#1", "answer cut"),
        fault("p1.t0.100+8#3", "request late"),
        fault("p2.t0.100+6#1", "answer lost"),
        fault("p2.t0.100+11#3", "answer lost"),
        fault("p0.t1.102+2#2", "answer cut"),
        fault("p0.t1.102+1#2", "answer lost"),
        fault("p2.t0.100+13#1", "request late"),
    )
