"""Seed 2376 on token: it went wrong once."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "2376",
        0.2,
        process(0, skew=3.9048919545657306, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(
            0,
            "set_many",
            ("n", 3001),
            ("job2", {"kind": "job", "name": "ann f947c.2", "n": 0}),
            pause=0.006984381622067921,
        ),
        call(1, "get_many", "a", "b", "job1", pause=0.0023638687112119998),
        call(2, "update_where", pause=0.00026847246193056695),
        call(3, "increment", "n", 3, pause=0.002336674290488885),
        call(4, "clear", pause=0.0013119022988238027, faults={2: "answer late", 3: "answer late"}),
        process(1, skew=-4.922362266737261, tracking="deferred", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "update_where", pause=0.5157453148702172),
        call(
            1,
            "set_many",
            ("a", "ann 7805d.1"),
            ("job2", {"kind": "job", "name": "ann 7805d.2", "n": 0}),
            pause=0.2825342272951217,
        ),
        call(2, "increment", "n", 1, pause=0.0002334246718752506),
        call(3, "set", "a", "ann 7805d.3", None, pause=0.0015407746559189743),
        call(4, "claim", 5, pause=0.001717247857962206),
        call(
            5,
            "add",
            "job2",
            {"kind": "job", "name": "ann 7805d.4", "n": 0},
            None,
            pause=3.3749399594474645,
            faults={1: "reset before"},
        ),
    )
