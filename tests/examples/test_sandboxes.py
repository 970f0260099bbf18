"""The example with two agents in sandboxes: the hostile one gets nothing, and the other one goes on working."""

import sys

import pytest

from tests.docs.pages import ROOT

EXAMPLE = ROOT / "examples/sandboxes"


@pytest.fixture
def host(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import host  # of the example, which is not a package

    yield host
    for name in ("host", "sandbox"):
        sys.modules.pop(name, None)


def test_a_hostile_agent_in_a_sandbox_gets_nothing(host):
    import sandbox

    if sandbox.bubblewrap() is None:
        pytest.skip("not installed here, or not allowed: bubblewrap")
    report = host.run()
    assert report.sandboxed
    assert (report.got, report.open, report.damage, report.failures) == ([], [], [], [])
    assert len(report.tried) > 100
    assert report.rounds > 0


def test_a_hostile_agent_in_a_plain_process_gets_nothing_through_the_store(host, capsys):
    report = host.run(plain=True)
    assert (report.got, report.damage, report.failures) == ([], [], [])
    assert report.rounds > 0
    # That it finds these shows that it looks where something is: in a sandbox it looks there as well.
    assert set(report.open) >= {"the files of the host", "a service of the host on loopback"}
    host.show(report)
    assert "got: nothing\ndamage: nothing\nfailures: nothing\nopen, because" in capsys.readouterr().out


def test_what_was_got_is_found_wherever_it_stands(host):
    lines = [
        {"kind": "store", "tried": "a", "got": f"{{'secret': '{host.CANARY}'}}"},
        {"kind": "store", "tried": "b", "stopped_by": "QueryError", "said": f"not {host.CANARY}"},
        {"kind": "system", "tried": "c", "got": host.CANARY},
        {"kind": "store", "tried": "d", "got": "nothing"},
        {"kind": "end", "token_file_is_there": False},
    ]
    plain, sandboxed = host.Report(sandboxed=False), host.Report(sandboxed=True)
    host.judge(plain, lines)
    host.judge(sandboxed, lines)
    assert (plain.got, plain.open) == (["a", "b"], ["c"])
    assert (sandboxed.got, sandboxed.open) == (["a", "b", "c"], [])
    assert not plain.is_sound
