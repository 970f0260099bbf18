"""Seed 90005089 on sqlite: no order of the calls explains ann/ns/the text t1."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "sqlite",
        "90005089",
        0.2,
        process(1, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(201, "find_records_by", {"n": {"$gte": 0}}, pause=0.0004695014866750242),
        call(301, "memory_add", "t1", "ann 4485e.1", 1, pause=0.002390974060323639),
        call(302, "memory_search", "ann 4485e.2", 1, True, pause=0.0006680143868160017),
        call(1, "purge_expired", pause=0.0038437971492158813, faults={3: "clock jump", 4: "clock jump"}),
        thread(1, "ann"),
        call(0, "add", "a", "ann 1a63b.1", None, pause=0.0003605960073117432),
        call(203, "update", "job1", "ann d2365.1", pause=0.003919457830595699, faults={3: "clock jump"}),
        call(305, "memory_search", "ann 9d424.5", 1, True, pause=0.0002738126601257335),
        process(2, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(201, "ensure_index", "n", pause=1.7109394068643877, faults={3: "interrupted"}),
        call(302, "memory_delete", "t1", pause=0.008320537886930695),
    )
