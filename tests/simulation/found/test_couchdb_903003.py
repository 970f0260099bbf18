"""Seed 903003 on couchdb: count() of p1.t0 counted 1, which cannot be: 0 to 0."""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "couchdb",
        "903003",
        0.05,
        process(1, skew=1.0999263391877818, tracking="deferred", flush_interval=0.01),
        thread(0, "ben"),
        call(1, "count", pause=0.00011512086797817078),
        process(2, skew=-0.6437124413333191, tracking="immediate", flush_interval=0.1),
        thread(0, "ben"),
        call(0, "set", "b", "ben ebe56.1", 1, pause=0.09146590171580439),
    )
