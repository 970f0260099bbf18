"""The browser for the tests of the viewer's pages, and the checker of accessibility that runs in it.

On Linux both come from npm, pinned. Elsewhere the browser is one that is installed.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass, field

from tests.servers.installing import NotInstalledError, browser

REMEDY = (
    "install Node.js 20 and `pip install --group test`; on other systems than Linux on x86-64 also Google Chrome or "
    "Chromium, or name one: AGENT_DATASTORE_TEST_CHROMIUM=/path/to/chromium"
)
NAMED = "AGENT_DATASTORE_TEST_CHROMIUM"
_INSTALLED = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


@dataclass
class Browser:
    """A browser that Playwright can start."""

    program: str
    environment: dict[str, str] = field(default_factory=dict)


def start() -> None:
    """Install the browser and the checker if they are not there. Each test session starts the browser itself."""
    if importlib.util.find_spec("playwright") is None:
        raise NotInstalledError("Playwright is needed, which drives the browser")
    found()
    axe()


@functools.cache
def found() -> Browser:
    """Return the browser."""
    named = os.environ.get(NAMED)
    if named:
        return Browser(named)
    if sys.platform == "linux" and platform.machine() == "x86_64":
        folder = browser()
        return Browser(
            str(folder / "chromium"), {"LD_LIBRARY_PATH": str(folder / "lib"), "FONTCONFIG_PATH": str(folder / "fonts")}
        )
    for name in _INSTALLED:
        path = shutil.which(name)
        if path is not None:
            return Browser(path)
    raise NotInstalledError("there is no Chromium or Google Chrome")


@functools.cache
def axe() -> str:
    """Return the script of the checker, axe-core."""
    return (browser() / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
