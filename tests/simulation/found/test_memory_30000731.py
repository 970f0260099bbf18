"""Seed 30000731 on memory.

Seed 30000731 on memory: copy() of p2.t1 raised AssertionError: the copy is not complete: Report(read=1, written=0,
replaced=0, unchanged=0, kept=0, expired=0, left_out=0, rejected=0, pruned=0, verified=0, ready=0, resumed=0, bytes=0,
digest='0000000000000000000000000000000000000000000000000000000000000000', counts={'failed': 1},
problems=[Problem(kind='failed', where='ann:ns:NF', text="the stored document 'ann:ns:NF' is not one that the store
wrote (updatedAt is not a time, which is written 2026-01-31T12:00:00.000000Z); mend it in the database, or remove it
with delete()")])
"""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "memory",
        "30000731",
        0.2,
        process(1, skew=0.17758448216063005, tracking="immediate", flush_interval=0.01),
        thread(1, "ann"),
        call(100, "fenced_set", 0.05, "a", "ann f7876.1", pause=0.000424270951017212),
        call(103, "fenced_delete", 10.0, "a", pause=1.276326852476308),
        process(2, skew=-1.7347778249379484, tracking="deferred", flush_interval=0.1),
        thread(1, "ann"),
        call(4, "copy", pause=2.530604002054831),
    )
