"""The page about the server shows every limit with its default, and every parameter of an application."""

import inspect
import re
import shutil
import subprocess
from dataclasses import fields

import pytest

from datastore.server import ConnectionLimits, ServerLimits, create_app
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs/server.md"
ROWS = re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \| ([^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("limits", [ServerLimits, ConnectionLimits], ids=lambda one: one.__name__)
def test_every_limit_is_there_with_its_default(limits):
    shown = {name: default.replace(",", "") for name, _, default in ROWS}
    expected = {field.name: str(field.default) for field in fields(limits)}
    assert {name: shown.get(name) for name in expected} == expected


def test_every_parameter_of_an_application_is_there():
    shown = {name for first, second, _ in ROWS for name in (first, second)}
    assert set(inspect.signature(create_app).parameters) - {"store"} <= shown


def test_the_unit_is_one_that_systemd_takes(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("not installed here: systemd-analyze")
    (unit,) = blocks(PAGE, "ini")
    program = "/bin/true"  # what it starts need not be there
    text = re.sub(r"^ExecStart=\S+ (.*)$", rf"ExecStart={program} \1", unit.text, flags=re.MULTILINE)
    path = tmp_path / "datastore.service"
    path.write_text(text)
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True)
    said = [line for line in checked.stderr.splitlines() if "datastore.service" in line]
    assert said == []
