"""Seed 200067985 on token: an import wrote over what a slow call had written, by the times of their beginnings."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "200067985",
        0.2,
        process(0, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(2, "modify", "a", "ann 8ba88.1", pause=0.008568274464897946, faults={1: "answer late"}),
        call(3, "import", pause=0.0005594001824666725, faults={7: "error before"}),
        process(2, tracking="deferred", flush_interval=0.01),
        thread(0, "ann"),
        call(
            1,
            "set_many",
            ("n", 9001),
            ("job1", {"kind": "job", "name": "ann 8eab7.2", "n": 0}),
            ("job2", {"kind": "job", "name": "ann 8eab7.3", "n": 0}),
            ("list", ["ann 8eab7.4"]),
            ("a", "ann 8eab7.5"),
            pause=0.9570660081478206,
            faults={1: "answer late"},
        ),
        call(3, "import", pause=0.005462465993939724),
    )
