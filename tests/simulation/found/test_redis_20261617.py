"""Seed 20261617 on redis.

Seed 20261617 on redis: delete_where_by({'$or': [{'kind': 'job'}, {'n': {'$gte': 5}}]}) of p1.t0 counted 1, which cannot
be: 0 to 0
"""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "redis",
        "20261617",
        0.05,
        process(1, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(200, "delete_where_by", {"$or": [{"kind": "job"}, {"n": {"$gte": 5}}]}, pause=0.0035592319115442753),
        thread(1, "ann"),
        call(
            204,
            "set",
            "job2",
            {"kind": "job", "name": "ann c3d7c.3", "n": 0},
            None,
            pause=0.0025420158959422717,
            faults={1: "read-only"},
        ),
    )
