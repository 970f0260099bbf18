"""``datastore runs``: what it shows, ends and lets go on."""

import json

import pytest
from typer.testing import CliRunner

import datastore
from datastore.cli.app import app

URL = "sqlite:///agents.db"


@pytest.fixture
def runs():
    with datastore.connect(URL) as store:
        runs = store.agent("ann", "worker").runs
        with runs.start("asks") as run:
            run.step("draft", str)
            run.wait_for("approval")
        with pytest.raises(datastore.StepFailedError), runs.start("breaks") as run:
            run.step("fetch", open, "/nowhere")
        yield runs


def run(*arguments, exit_code=0):
    result = CliRunner().invoke(app, ["runs", *arguments, "--url", URL, "--user", "ann"])
    assert result.exit_code == exit_code, result.output
    return result.output


def test_listing_names_what_each_run_waits_for(runs):
    lines = run("list").splitlines()
    assert [line.split()[:3] for line in lines[2:]] == [
        ["asks", "waiting", "approval"],
        ["breaks", "failed", "FileNotFoundError"],
    ]
    assert json.loads(run("list", "--status", "waiting", "--json"))["waitingFor"] == "approval"
    assert run("list", "-n", "other") == "there are no runs\n"


def test_showing_begins_at_the_end(runs):
    shown = run("show", "asks").splitlines()
    assert shown[0] == "asks is waiting, waits for 'approval'"
    assert [line.split()[:3] for line in shown[3:]] == [["2", "wait", "approval"], ["1", "step", "draft"]]
    found = json.loads(run("show", "breaks", "--limit", "2", "--json"))
    assert [(one["kind"], one["agent"]) for one in found["history"]] == [("end", "worker"), ("failed", "worker")]
    assert "no run with this id" in run("show", "nobody", exit_code=4)


def test_cancelling_and_retrying(runs):
    assert "cancelled asks" in run("cancel", "asks")
    assert "nothing can be added" in run("cancel", "asks", exit_code=1)
    assert "goes on" in run("retry", "breaks")
    assert runs.due() == ["breaks"]
    assert runs.get("asks").status == "cancelled"
    assert "no run with this id" in run("retry", "nobody", exit_code=4)
