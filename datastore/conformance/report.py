"""The report: what each backend has proven, by topic, and what a declared backend has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Result: TypeAlias = Literal["passed", "failed", "not applicable", "skipped"]
Level: TypeAlias = Literal["full", "core", "partial", "failed"]

_WORST_FIRST: tuple[Result, ...] = ("failed", "skipped", "not applicable", "passed")
_MANY = 5
"""The most missing tests that a line names; it only counts the others."""


@dataclass
class BackendReport:
    """The results of one backend.

    Attributes:
        name: The name of its harness.
        tests: The tests of the kit by name, each with its topic.
        results: The results by test, and by the node id of each of its cases.
        replaced: Tests of the kit that were replaced by others of the same name.
        left_out: The topics that the harness leaves out, each with the reason and the number of cases.
    """

    name: str
    tests: Mapping[str, str]
    results: dict[str, dict[str, Result]] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)
    left_out: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, test: str, case: str, result: Result) -> None:
        """Note a result. Of several results of one case (set-up, call, teardown), the worst counts."""
        cases = self.results.setdefault(test, {})
        cases[case] = min(result, cases.get(case, "passed"), key=_WORST_FIRST.index)

    def count(self, topic: str | None = None) -> Counter[Result]:
        """Return the number of cases by result, for one topic or for all."""
        return Counter(
            result
            for test, cases in self.results.items()
            for result in cases.values()
            if topic is None or self.tests.get(test) == topic
        )

    def missing(self) -> list[str]:
        """Return the tests of the kit that should have run and did not."""
        return [test for test in self.expected() if not self._ran(test)]

    def expected(self) -> list[str]:
        """Return the tests of the kit that should run: all but those of the topics that are left out."""
        return [test for test, topic in self.tests.items() if topic not in self.left_out]

    @property
    def level(self) -> Level:
        """The level of conformance that the backend has reached."""
        counted = self.count()
        if counted["failed"]:
            return "failed"
        if self.missing() or self.left_out:
            return "partial"
        return "core" if counted["not applicable"] else "full"

    def _ran(self, test: str) -> bool:
        cases = self.results.get(test, {})
        return bool(cases) and "skipped" not in cases.values() and test not in self.replaced


def table(reports: list[BackendReport]) -> Iterator[str]:
    """Yield the lines of the report: a column for each backend, and a row for each topic."""
    topics = list(dict.fromkeys(topic for report in reports for topic in report.tests.values()))
    rows = [["topic", *(report.name for report in reports)]]
    rows += [[topic, *(_cell_of(report, topic) for report in reports)] for topic in topics]
    rows += [["all", *(_cell(report.count()) for report in reports)]]
    rows += [["level", *(report.level for report in reports)]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def left_out(reports: list[BackendReport]) -> Iterator[str]:
    """Yield a line for each reason for which a harness leaves out topics."""
    for report in reports:
        by_reason: dict[str, list[str]] = {}
        for topic in dict.fromkeys(report.tests.values()):
            if topic in report.left_out:
                by_reason.setdefault(report.left_out[topic][0], []).append(topic)
        for reason, topics in by_reason.items():
            number = sum(report.left_out[topic][1] for topic in topics)
            yield f"{report.name}: {number} tests of {', '.join(topics)} are left out: {reason}"


def debts(declared: list[str], reports: Mapping[str, BackendReport]) -> Iterator[str]:
    """Yield a line for each declared backend that did not run completely."""
    for name in declared:
        report = reports.get(name)
        if report is None or not report.results:
            yield f"{name} is declared in conformance_backends, and not one test of the kit ran on it"
            continue
        missing = report.missing()
        if missing:
            names = ", ".join(missing[:_MANY]) + (f" and {len(missing) - _MANY} more" if len(missing) > _MANY else "")
            expected = len(report.expected())
            which = f"the {expected} tests of its topics" if report.left_out else f"the kit's {expected} tests"
            yield f"{name} ran {expected - len(missing)} of {which}; missing: {names}"


def _cell_of(report: BackendReport, topic: str) -> str:
    return "left out" if topic in report.left_out else _cell(report.count(topic))


def _cell(counted: Counter[Result]) -> str:
    parts = [f"{counted['passed']} passed"] if counted["passed"] else []
    parts += [f"{counted[result]} {result}" for result in ("failed", "not applicable", "skipped") if counted[result]]
    return ", ".join(parts) or "-"
