"""Seed 73897 on token.

Seed 73897 on token: too many accesses: 2 of job1 are counted, and there were 1 to 1; too many accesses: 2 of list are
counted, and there were 1 to 1
"""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "73897",
        0.2,
        process(1, skew=2.788893564089169, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(1, "get_records", "n", "b", "list", "job1", pause=0.00040122793553554014),
        call(2, "import", pause=0.0011650296082092422),
        thread(1, "ann"),
        call(
            1,
            "set_many",
            ("a", "ann cffe8.1"),
            ("job1", {"kind": "job", "name": "ann cffe8.2", "n": 0}),
            ("job2", {"kind": "job", "name": "ann cffe8.3", "n": 0}),
            ("list", ["ann cffe8.4"]),
            ("b", "ann cffe8.5"),
            pause=0.00022088924526605656,
        ),
        call(2, "get_many", "job1", "list", "a", "n", pause=0.000113536508437329),
    )
