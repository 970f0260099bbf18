"""The command itself: exit codes, errors in one line, interruption, and what it needs installed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import datastore
from datastore.cli import demo as demonstration
from datastore.cli.app import app
from tests.patience import PATIENCE


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "datastore.cli", *map(str, arguments)],
        capture_output=True,
        env={**os.environ, **environment},
        encoding="utf-8",
        timeout=PATIENCE,
    )


def test_it_runs_twice_as_a_process_and_remembers(project):
    first, second = run("demo", project), run("demo", project)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stderr == second.stderr == ""
    assert "Run the same command again" in first.stdout
    assert "It remembered: 5 of 5 files" in second.stdout


def test_its_output_is_plain_where_there_is_no_terminal(project):
    assert "\x1b" not in run("demo", project, TERM="dumb").stdout


def test_names_that_the_output_cannot_show_are_written_as_escapes(project):
    (project / "größe [bold]\x1b[31m\n.md").write_text("# 漢字\n" * 900)
    result = run("demo", project, PYTHONIOENCODING="ascii", COLUMNS="200")
    assert result.returncode == 0, result.stderr
    assert r"gr\xf6\xdfe [bold]\x1b[31m\n.md" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "cannot read the directory nowhere: No such file or directory"),
        (["file"], "cannot read the directory file: Not a directory"),
        (["--url", "nosql://x"], "no backend serves nosql://"),
        (["--url", "sqlite:///nowhere/x.db"], "nowhere does not exist; create it first"),
        (["--url", "sqlite:///file"], "file is not a SQLite database; it was left untouched"),
        (["--url", "nonsense"], "the database URL is not of the form scheme://..."),
        (["--user", ""], "--user is empty"),
        (["--name", "n" * 300], "namespace takes"),
    ],
)
def test_an_error_is_one_line_and_exit_code_1(own_directory, arguments, message):
    (own_directory / "file").write_text("text")
    result = CliRunner().invoke(app, ["demo", *arguments])
    assert result.exit_code == 1
    assert result.stderr.startswith("datastore: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_bad_directory_leaves_no_file_behind(own_directory):
    run("demo", "nowhere")
    assert not list(own_directory.iterdir())


def test_no_secret_of_the_url_is_shown(project):
    result = run("demo", project, "--url", "couch://ann:secret@host/db")
    assert result.returncode == 1
    assert "secret" not in result.stdout + result.stderr


def test_an_interruption_keeps_what_is_stored_and_exits_with_130(project, monkeypatch, demo):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demonstration, "make_summaries", interrupt)
        output = demo(project, exit_code=130)
    assert "interrupted; what was stored so far is kept" in output
    output = demo(project)
    assert "5 unchanged" in output
    assert "5 built" in output


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
def test_control_c_ends_the_process_without_a_traceback(tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(3_000):
        (many / f"{number}.py").write_text(f"def function_{number}():\n    pass\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "datastore.cli", "demo", str(many)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    # When it is at work: earlier it may be in the middle of an import, and where a signal interrupts code that is given
    # to exec() as text, Python ends the process by that signal in the end, whoever has caught the exception.
    log = tmp_path / "here/agent_data_store.db-wal"
    while not (log.exists() and log.stat().st_size > 200_000) and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, stderr
    assert b"Traceback" not in stderr


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_its_extra_it_says_what_to_install(package):
    blocked = f"import sys; sys.modules[{package!r}] = None; from datastore.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 2
    assert result.stderr == f"datastore: {package} is not installed: pip install 'agent-datastore[cli]'\n"


def test_importing_the_package_imports_neither_typer_nor_rich():
    check = "import sys, datastore, datastore.cli; print({'typer', 'rich', 'click', 'pydantic'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=PATIENCE)
    assert result.stdout == "set()\n", result.stderr


def test_help_and_version():
    assert "demo" in run("--help").stdout
    shown = " ".join(run("demo", "--help", COLUMNS="200").stdout.split())
    assert "$AGENT_DATASTORE_URL, else sqlite:///agent_data_store.db" in shown
    assert run("--version").stdout.startswith("agent-datastore ")


COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands]


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_h_is_help_everywhere(command):
    long, short = (CliRunner().invoke(app, [*command, option]) for option in ("--help", "-h"))
    assert long.exit_code == short.exit_code == 0
    assert long.stdout == short.stdout
    assert "Usage: " in long.stdout


def test_the_commands_are_those_of_the_guide():
    guide = (Path(__file__).parents[2] / "docs/cli.md").read_text()
    for command in COMMANDS:
        assert re.search(rf"`(datastore )?{command}\b", guide), command


@pytest.mark.parametrize("module", ["datastore", "datastore.cli"])
def test_python_m_is_the_command(module):
    result = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, timeout=PATIENCE
    )
    assert result.stdout.startswith("agent-datastore ")


def test_an_unknown_option_is_exit_code_2():
    assert run("demo", "--nonsense").returncode == 2


def test_a_value_of_another_kind_in_its_own_records_is_an_error_and_no_traceback(project, demo):
    with datastore.connect() as store:
        store.agent("demo", "test", "analysis:bookshop").set("runs", "many")
    output = demo(project, exit_code=1)
    assert "the stored value is text; only a number can be incremented" in output
