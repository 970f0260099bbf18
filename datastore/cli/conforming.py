"""The command ``conformance``: runs the kit on a user's own database, and touches nothing that is in it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
import uuid
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from datastore.backend import Fields
from datastore.cli.running import INCOMPLETE, JsonOption, fail, in_one_line, print_json, resolve, shown
from datastore.cli.show import printable
from datastore.connecting import beside, connect
from datastore.moving.emptying import URL_OF_SCRATCH, before_everything, drop
from datastore.moving.pages import pages

_TESTS = """
from datastore.conformance import ConformanceSuite
from datastore.conformance.scratch import ScratchHarness

class TestConformance(ConformanceSuite):
    harness = ScratchHarness
"""


def conformance(
    url: Annotated[str, typer.Argument(metavar="URL", help="A store; its records are not touched.")],
    select: Annotated[
        str | None, typer.Option("-k", metavar="EXPRESSION", help="Only some tests, as pytest selects them.")
    ] = None,
    scratch: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An empty store for the tests.", show_default="one beside the store"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run the conformance kit on your database, in a scratch area beside the store, and print its report.

    It takes minutes, and it costs money on a database that charges by the
    request. It needs pytest, hypothesis and the extra regex.
    """
    with in_one_line("interrupted; the scratch area may still be there"):
        try:
            pytest, *_ = map(import_module, ("pytest", "hypothesis", "re2"))
        except ModuleNotFoundError as error:
            fail(f"{error.name} is not installed: pip install pytest hypothesis 'agent-datastore[regex]'")
        text = resolve(url)
        place = scratch_of(text) if scratch is None else resolve(scratch)
        with _made(place):
            os.environ[URL_OF_SCRATCH] = place
            report, code, output = _run(pytest, select, quiet=json)
        if report is None:
            fail(f"no test ran ({'; '.join(output.splitlines()[-3:])})")
        counts = report.count()
        failed = sorted(name for name, cases in report.results.items() if "failed" in cases.values())
        if json:
            print_json(
                {"url": shown(text), "level": report.level, "passed": counts["passed"], "failed": failed}
                | {"notApplicable": counts["not applicable"], "notRun": len(report.missing())}
            )
        else:
            typer.echo(printable(f"{shown(text)}: level {report.level}"))
        if failed or code not in (0, 1):
            fail(f"{len(failed):,} tests of the kit failed", INCOMPLETE)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(conformance)


def scratch_of(url: str) -> str:
    """Return the URL of a scratch area beside a store: a file, database, table or collection of another name.

    Raises:
        ConfigurationError: If the URL is not valid.
    """
    location, question, query = url.partition("?")
    query = re.sub(r"(^|&)(create|mode)=[^&]*", "", query).strip("&")
    return beside(location + (question + query if query else ""), f"_conformance_{uuid.uuid4().hex[:8]}")


@contextlib.contextmanager
def _made(url: str) -> Iterator[None]:
    """Make a scratch area, which must be empty, and remove what is left of it afterwards."""
    with connect(url, tracking="off") as store:
        # Whatever is there counts, also tokens, what has expired, and what another program has written: in the end the
        # whole database is removed.
        if any(page.scanned for page in pages(store, fields=Fields.KEY)):
            fail(f"{shown(url)} is not empty; give the URL of an empty store")
    try:
        yield
    finally:
        with connect(url, tracking="off", clock=before_everything) as store:
            drop(store)


def _run(pytest: Any, select: str | None, *, quiet: bool) -> tuple[Any, int, str]:
    """Run the kit in this process; return the report of the backend, pytest's exit code, and what it printed."""
    found: list[Any] = []

    class Collector:
        @staticmethod
        def pytest_sessionfinish(session: Any) -> None:
            plugin = session.config.pluginmanager.get_plugin("conformance-report")
            found.extend(plugin._reports.values())

    with tempfile.TemporaryDirectory(prefix="datastore-conformance-") as folder:
        (Path(folder) / "test_kit.py").write_text(_TESTS)
        (Path(folder) / "pytest.ini").write_text("[pytest]\n")
        arguments = [folder, "--rootdir", folder, "-q", "-p", "no:cacheprovider", "-p", "datastore.conformance.plugin"]
        arguments += ["-c", str(Path(folder) / "pytest.ini"), "--tb=short", "--no-header", "--disable-warnings"]
        arguments += ["-k", select] if select else []
        captured = io.StringIO()
        with contextlib.redirect_stdout(captured if quiet else sys.stdout):
            code = int(pytest.main(arguments, plugins=[Collector()]))
    return (found[0] if found else None), code, captured.getvalue()
