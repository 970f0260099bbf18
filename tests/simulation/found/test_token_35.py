"""Seed 35 on token.

Seed 35 on token: a damaged record: log_read(0, None, False) of audit.t0: the stored document 'ann%.:logs%3Ans:Q5xbDY-
kB2-kB2-kB2-kB2-kB23' is not one that the store wrote (it is not part of a log); mend it in the database, or remove it
with delete(); trimmed too many: log_trim(2) of p0.t0 says -2
"""

from tests.simulation.written import call, check, process, thread


def test_all_is_well():
    check(
        "token",
        "35",
        0.2,
        process(0, tracking="off", flush_interval=0.01),
        thread(0, "ann"),
        call(100, "log_trim", 2, pause=0.5914485109395656),
        process(1, tracking="off", flush_interval=0.1),
        thread(0, "ann"),
        call(100, "log_append", "ann 88ff2.1", "ann 88ff2.2", "ann 88ff2.3", pause=0.0007225814101524553),
        call(103, "log_append", "ann 88ff2.4", "ann 88ff2.5", "ann 88ff2.6", pause=0.0031755305669792654),
        call(101, "log_trim", 5, pause=3.3237386116456727e-05),
    )
