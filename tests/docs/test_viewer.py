"""The page about the viewer shows every parameter of an application, and which script it ships."""

import hashlib
import inspect
import re
from importlib.resources import files

from datastore.viewer import create_app
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs/viewer.md").read_text(encoding="utf-8")


def test_every_parameter_of_an_application_is_there():
    shown = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert shown == set(inspect.signature(create_app).parameters) - {"store"}


def test_the_script_is_the_one_that_is_named():
    script = files("datastore.viewer").joinpath("static/htmx.min.js").read_bytes()
    assert hashlib.sha256(script).hexdigest() in PAGE
    (version,) = re.findall(rb'version:"([\d.]+)"', script)
    assert f"htmx.org) {version.decode()}" in PAGE
    assert b"Permission to use" in files("datastore.viewer").joinpath("static/htmx.LICENSE.txt").read_bytes()
