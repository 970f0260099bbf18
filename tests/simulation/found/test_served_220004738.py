"""Seed 220004738 on served: a gap: log_read(1, 2, False) of p1.t0 has numbers [3, 6]."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "served",
        "220004738",
        0.05,
        process(0, tracking="off", flush_interval=0.01),
        thread(0, "ann"),
        call(103, "log_append", "ann 382d4.4", "ann 382d4.5", pause=0.22728856703436648),
        thread(1, "ann"),
        call(1, "list_keys", pause=0.0004762973451535297),
        call(2, "count", pause=0.22271134344157553),
        process(1, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "get", "job2", pause=0.09948575082972295),
        call(1, "delete_where", pause=0.008142997796321265),
        call(2, "purge_expired", pause=0.0007646742714330651),
        call(3, "set", "job1", {"kind": "job", "name": "ann bc032.1", "n": 0}, None, pause=0.0011861664251187737),
        call(101, "log_read", 1, 2, False, pause=0.004837532160807342),
        thread(1, "ann"),
        call(0, "append", "list", "ann 90df9.1", pause=0.0008982994324219322),
        call(101, "log_read", 3, None, False, pause=0.0014373738198110513),
        call(102, "log_append", "ann 31480.2", "ann 31480.3", "ann 31480.4", pause=0.01123671983343643),
        process(2, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "pop", "n", pause=0.00018859438683247262),
        call(102, "log_append", "ann c168e.2", "ann c168e.3", pause=0.0025716398981117665),
        call(101, "log_append", "ann c168e.1", pause=0.006095844686662831),
        call(1, "pop", "b", pause=0.0011468954094901224),
        call(2, "set_if", "a", "ann 97d16.1", Seen("a"), pause=0.0002458398160287139),
        call(100, "log_trim", 6, pause=0.024572552178652392),
    )
