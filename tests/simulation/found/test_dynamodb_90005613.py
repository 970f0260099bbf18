"""Seed 90005613 on dynamodb: clear() of p0.t0 counted 2, which cannot be: 3 to 3."""

from datastore.conformance.simulation.plans import Seen
from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "dynamodb",
        "90005613",
        0.0,
        process(0, tracking="immediate", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "get_records", "n", "job1", "a", "list", "b", "job2", pause=0.001083023052047436),
        call(1, "set_if", "a", "ann daa3e.1", Seen("a"), pause=0.00021465983809149314),
        call(2, "increment", "n", 2, pause=0.003016929516203247),
        call(3, "update_where", pause=0.004441607177929035),
        call(4, "clear", pause=0.002972004496860918),
        process(1, tracking="immediate", flush_interval=0.1),
        thread(0, "ann"),
        call(0, "add", "a", "ann c8202.1", None, pause=0.00165404887297311),
        process(2, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(0, "set", "list", ["ann 83fdf.1"], 0.01, pause=0.0043113688604369095),
        call(1, "increment", "n", 2, pause=8.965834641979271e-05),
        call(2, "list_namespaces", pause=0.0001025373962203443),
        call(
            3,
            "add_many",
            ("a", "ann 83fdf.2"),
            ("list", ["ann 83fdf.3"]),
            ("job2", {"kind": "job", "name": "ann 83fdf.4", "n": 0}),
            ("n", 9005),
            ("job1", {"kind": "job", "name": "ann 83fdf.6", "n": 0}),
            ("b", "ann 83fdf.7"),
            pause=0.00943394376740902,
        ),
    )
