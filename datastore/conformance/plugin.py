"""The pytest plugin: it prints the report, and fails a complete run that leaves out a declared backend.

Load it in the top-level ``conftest.py`` (``pytest_plugins = ["datastore.conformance.plugin"]``), and declare in the ini
file which backends must run::

    [tool.pytest.ini_options]
    conformance_backends = ["memory", "sqlite"]

A run is complete if nothing narrows it: no ``-k``, ``-m``, ``--lf`` or similar option, and no paths unless they contain
all of ``testpaths``. A run of only some tests never fails for this.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest

from datastore.conformance.harness import Harness
from datastore.conformance.report import BackendReport, Result, debts, left_out, table
from datastore.conformance.suite import kit_tests
from datastore.conformance.topic import NOT_APPLICABLE, Topic

EXCUSED = pytest.StashKey[dict[str, str]]()
"""In ``config.stash``: the declared backends that cannot run on this machine, each with the reason and the remedy.

They do not make the run fail, but it ends with a line for each. In CI, ``conftest.py`` should leave this empty.
"""
_PROPERTY = "conformance"
_LOSES = "conformance-loses"
_EXAMPLES = "conformance-examples"
_MANY = "conformance-many"
_LEFT_OUT = pytest.StashKey[tuple[str, str, str]]()
"""In an item's stash, if its harness leaves out its topic: the backend, the topic and the reason."""
_NARROWING = ("keyword", "markexpr", "lf", "stepwise", "deselect", "ignore", "ignore_glob", "collectonly")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option."""
    parser.addini("conformance_backends", "Backends on which a complete run must run the whole kit.", "args")


def pytest_configure(config: pytest.Config) -> None:
    """Start the report."""
    config.pluginmanager.register(_Conformance(config), "conformance-report")


class _Conformance:
    """Follows one run of pytest."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._reports: dict[str, BackendReport] = {}
        self._loses: dict[str, dict[str, str]] = {}
        self._left_out: dict[str, dict[str, tuple[str, int]]] = {}
        self._examples: dict[str, int] = {}
        self._many: dict[str, int] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Mark the tests of the kit with properties that their results carry even to another process."""
        topic = getattr(item, "cls", None)
        if not isinstance(topic, type) or not issubclass(topic, Topic) or not hasattr(topic, "harness"):
            return
        name = cast(pytest.Function, item).originalname
        kit = kit_tests().get(name)
        if kit is not None:
            item.extra_keyword_matches.add(kit[0])
            original = cast(pytest.Function, item).function is kit[1]
            item.user_properties.append((_PROPERTY, [topic.harness.name, name, original]))
            if kit[0] == "properties" and topic.harness.loses:
                item.user_properties.append((_LOSES, [topic.harness.name, dict(topic.harness.loses)]))
            if kit[0] == "properties" and topic.harness.examples != Harness.examples:
                item.user_properties.append((_EXAMPLES, [topic.harness.name, topic.harness.examples]))
            if kit[0] == "listings" and topic.harness.many != Harness.many:
                item.user_properties.append((_MANY, [topic.harness.name, topic.harness.many]))
            if kit[0] in topic.harness.left_out:
                item.stash[_LEFT_OUT] = (topic.harness.name, kit[0], topic.harness.left_out[kit[0]])

    @pytest.hookimpl(trylast=True)  # what -k and -m leave out is not left out by a harness
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Take out the tests of topics that a harness leaves out, and note how many there are."""
        taken = [item for item in items if _LEFT_OUT in item.stash]
        for item in taken:
            backend, topic, reason = item.stash[_LEFT_OUT]
            topics = self._left_out.setdefault(backend, {})
            topics[topic] = (reason, topics.get(topic, (reason, 0))[1] + 1)
        if taken:
            items[:] = [item for item in items if _LEFT_OUT not in item.stash]
            config.hook.pytest_deselected(items=taken)
            if hasattr(config, "workeroutput"):
                config.workeroutput["conformance-left-out"] = self._left_out

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over from a worker of pytest-xdist what was left out; each has collected the same tests."""
        self._left_out.update(getattr(node, "workeroutput", {}).get("conformance-left-out", {}))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the result of a test."""
        for name, value in report.user_properties:
            if name == _PROPERTY:
                backend, test, original = cast(tuple[str, str, bool], value)
                of_backend = self._report(backend)
                if not original:
                    of_backend.replaced.add(test)
                of_backend.add(test, report.nodeid, _result(report))
                _shorten(report)
            elif name == _LOSES:
                backend, members = cast(tuple[str, dict[str, str]], value)
                self._loses[backend] = members
            elif name == _EXAMPLES:
                backend, number = cast(tuple[str, int], value)
                self._examples[backend] = number
            elif name == _MANY:
                backend, number = cast(tuple[str, int], value)
                self._many[backend] = number

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
        """Fail the run if a declared backend is not proven, and say so at the very end, where nobody overlooks it."""
        for backend, topics in self._left_out.items():
            self._report(backend).left_out = topics
        excused = self._config.stash.get(EXCUSED, {})
        owed: list[str] = []
        counted = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
        if exitstatus in counted and not session.shouldstop and not session.shouldfail and _is_complete(self._config):
            declared = [name for name in self._config.getini("conformance_backends") if name not in excused]
            owed = list(debts(declared, self._reports))
            if owed:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        yield
        reporter: pytest.TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            for line in [*owed, *(f"{name}: {reason}" for name, reason in excused.items())]:
                reporter.write_line(f"CONFORMANCE NOT PROVEN: {line}", red=True, bold=True)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the report."""
        if self._reports:
            terminalreporter.section("conformance")
            for line in table(list(self._reports.values())):
                terminalreporter.write_line(line)
            for line in left_out(list(self._reports.values())):
                terminalreporter.write_line(line)
            for backend, members in self._loses.items():
                for member, reason in members.items():
                    terminalreporter.write_line(f"{backend}: no generated value has a member {member!r}: {reason}")
            for backend, number in self._examples.items():
                usual = Harness.examples
                terminalreporter.write_line(f"{backend}: {number} generated examples of each property, not {usual}")
            for backend, number in self._many.items():
                terminalreporter.write_line(f"{backend}: the largest test has {number:,} records, not {Harness.many:,}")

    def _report(self, backend: str) -> BackendReport:
        if backend not in self._reports:
            tests = {test: topic for test, (topic, _) in kit_tests().items()}
            self._reports[backend] = BackendReport(backend, tests)
        return self._reports[backend]


def _result(report: pytest.TestReport) -> Result:
    if report.outcome != "skipped":
        return report.outcome
    # A test that is expected to fail is reported as skipped, but its reason is not where the reason of a skip is.
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    return "not applicable" if f"Skipped: {NOT_APPLICABLE}" in reason else "skipped"


def _shorten(report: pytest.TestReport) -> None:
    """Let pytest fold all tests that lack the same ability into one line of its summary."""
    if isinstance(report.longrepr, tuple) and NOT_APPLICABLE in report.longrepr[2]:
        report.longrepr = (report.nodeid.partition("::")[0], 1, report.longrepr[2])


def _is_complete(config: pytest.Config) -> bool:
    """Return whether a run was meant to run every test."""
    if hasattr(config, "workerinput") or any(getattr(config.option, name, None) for name in _NARROWING):
        return False  # (a worker of pytest-xdist runs only some of the tests; its controller sees all results)
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return True
    given = [(config.invocation_params.dir / argument).resolve() for argument in config.args]
    needed = [(config.rootpath / path).resolve() for path in config.getini("testpaths") or ["."]]
    return all(any(_holds(path, place) for place in given) for path in needed)


def _holds(path: Path, place: Path) -> bool:
    return place == path or place in path.parents
