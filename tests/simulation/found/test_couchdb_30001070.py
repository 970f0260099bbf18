"""Seed 30001070 on couchdb: no order of the calls explains ann/ns/the blob."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "30001070",
        0.2,
        process(1, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "import", pause=0.0010482946182029105),
        call(1, "import", pause=0.6698395359145262),
        thread(1, "ann"),
        call(0, "import", pause=0.0008679410162643618),
        call(100, "blob_put", "ann b9a6d.1", None, 0.01, pause=0.00045681817777797984),
        call(101, "blob_delete", 0, pause=0.009764317740530543),
    )
