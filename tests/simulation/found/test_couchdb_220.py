"""Seed 220 on couchdb: it went wrong once."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "220",
        0.0,
        process(0, skew=-3.0881749529395885, tracking="deferred", flush_interval=0.1),
        thread(0, "ben"),
        call(0, "get_many", "job2", "a", "b", "n", "job1", pause=0.000252633136140107),
        call(1, "set", "a", "ben 9a34e.1", 1, pause=0.0038634455665989493),
        call(2, "get", "n", pause=0.0014384668979989525),
        thread(1, "ben"),
        call(0, "get", "job2", pause=0.0019315969983355915),
        call(1, "get", "job1", pause=0.08778458927085156),
        process(1, skew=-1.9115864468347574, tracking="immediate", flush_interval=1.0),
        thread(0, "ben"),
        call(0, "clear", pause=0.00033726838541545037),
        call(1, "get_many", "job1", "a", "b", "n", "job2", pause=1.6293053004421292),
        call(2, "list_keys", pause=0.003832354319946258),
        call(3, "add", "job1", {"kind": "job", "name": "ben eb52c.1", "n": 0}, 1, pause=1.6958604498072845),
        call(4, "delete_if", "job2", Seen("job2"), pause=3.2632552058067885),
        call(5, "set", "a", "ben eb52c.2", 0.01, pause=0.0002881173129919548),
        call(6, "delete_many", "job2", "job1", "n", "b", "a", pause=0.5974386548640549),
        thread(1, "ben"),
        call(0, "get", "n", pause=0.0003877955968530098),
        call(1, "add", "n", 4001, 10, pause=0.003470162925355211),
        call(2, "get", "job2", pause=0.004418851360822406),
        call(3, "get_many", "job2", "n", "b", "a", pause=0.0004978370454653127),
        call(4, "add", "b", "ben bc4a2.2", 1, pause=0.0007777824411991859),
    )
