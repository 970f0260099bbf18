"""Runs that are written down: as a test that a person can read line by line.

The lines of a run are its processes, each followed by its threads, each followed by its calls. Which fault happens to
which request is written beside the call. Only delays are still drawn, from the seed. So a run that is written down
stays the same run whatever calls and faults are added to those that other runs are drawn from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from datastore.conformance.simulation.luck import Luck
from datastore.conformance.simulation.plans import CallPlan, Plan, ProcessPlan, Seen, ThreadPlan
from tests.simulation.playing import BACKENDS, Played, play

FOUND = Path(__file__).parent / "found"
"""Where the tests are."""

Faults: TypeAlias = Mapping[int, str]
"""What happens to which request of a call, counted from 1."""
Line: TypeAlias = tuple[ProcessPlan | ThreadPlan | CallPlan, Faults] | tuple[str, str]

_WIDTH = 120
_LONG = 60
"""Characters of a text that is written as a repetition, if it is one."""
_INDENT = " " * 8


def process(number: int, *, skew: float = 0.0, connecting: Faults | None = None, **options: Any) -> Line:
    """Return the line of a process.

    Args:
        number: Its number.
        skew: How far its clock is ahead, in seconds.
        connecting: What happens to the requests that connect it.
        **options: Those of its store.
    """
    return ProcessPlan(number, skew, options, ()), connecting or {}


def thread(number: int, user: str, namespace: str = "ns") -> Line:
    """Return the line of a thread of the last process."""
    return ThreadPlan(number, user, namespace, ()), {}


def call(number: int, name: str, *arguments: Any, pause: float, faults: Faults | None = None) -> Line:
    """Return the line of a call of the last thread, and of what happens to its requests.

    Args:
        number: Its place in its thread.
        name: Its name in `datastore.conformance.simulation.workload.KINDS`.
        *arguments: Its arguments.
        pause: How long its thread does nothing before it.
        faults: What happens to its requests.
    """
    return CallPlan(number, name, arguments, pause), faults or {}


def fault(request: str, what: str) -> Line:
    """Return the line of a fault that happens to a request of no call, such as that of a thread of the store's own."""
    return request, what


def plan_of(seed: str, slow: float, lines: Iterable[Line]) -> Plan:
    """Return the plan that lines stand for."""
    processes: list[ProcessPlan] = []
    faults: dict[str, str] = {}
    for one, its in lines:
        if isinstance(one, str):
            assert isinstance(its, str)
            faults[one] = its
            continue
        assert not isinstance(its, str)
        if isinstance(one, ProcessPlan):
            label = f"p{one.number}.open"
            processes.append(one)
        elif isinstance(one, ThreadPlan):
            label = ""
            processes[-1] = processes[-1]._replace(threads=(*processes[-1].threads, one))
        else:
            *others, last = processes[-1].threads
            label = f"p{processes[-1].number}.t{last.number}.{one.number}"
            last = last._replace(calls=(*last.calls, one))
            processes[-1] = processes[-1]._replace(threads=(*others, last))
        faults |= {f"{label}#{request}": what for request, what in its.items()}
    return Plan(seed, Luck({}, slow), tuple(processes), faults=faults)


def check(backend: str, seed: str, slow: float, *lines: Line) -> None:
    """Play a run that is written down, and check that all is well."""
    played = play(plan_of(seed, slow, lines), BACKENDS[backend])
    assert not played.wrong, played.story()
    assert not played.undecided


def lines_of(played: Played) -> list[str]:
    """Return a run line by line, each as Python."""
    left = dict(played.world.happened)

    def its(label: str) -> str:
        found = {int(request.rpartition("#")[2]): left[request] for request in left if request.startswith(f"{label}#")}
        for number in found:
            del left[f"{label}#{number}"]
        return repr(found).replace("'", '"') if found else ""

    lines = []
    for one in played.world.plan.processes:
        options = [f"{name}={_text(value)}" for name, value in one.options.items()]
        if one.skew:
            options.insert(0, f"skew={one.skew!r}")
        if faults := its(f"p{one.number}.open"):
            options.insert(0, f"connecting={faults}")
        lines.append(_line("process", [str(one.number), *options]))
        for two in one.threads:
            namespace = [] if two.namespace == "ns" else [_text(two.namespace)]
            lines.append(_line("thread", [str(two.number), _text(two.user), *namespace]))
            for three in two.calls:
                arguments = [str(three.number), _text(three.name), *map(_text, three.arguments)]
                arguments.append(f"pause={three.pause!r}")
                if faults := its(f"p{one.number}.t{two.number}.{three.number}"):
                    arguments.append(f"faults={faults}")
                lines.append(_line("call", arguments))
    return lines + [_line("fault", [_text(request), _text(what)]) for request, what in left.items()]


def as_test(played: Played, backend: str) -> str:
    """Return a run as a test, which a file of its own holds."""
    seed = played.world.plan.seed
    lines = lines_of(played)
    functions = [name for name in ("call", "fault", "process", "thread") if any(map(f"{name}(".__eq__, _begin(lines)))]
    title = f"Seed {seed} on {backend}: {'; '.join(played.wrong) or 'it went wrong once'}"
    what = f'"""{title}."""' if len(title) < _WIDTH - 10 else f'"""Seed {seed} on {backend}.\n\n{_wrapped(title)}\n"""'
    names = ", ".join(sorted(["Seen"] if any("Seen(" in line for line in lines) else []))
    seen = f"from datastore.conformance.simulation.plans import {names}\n" if names else ""
    return (
        f"{what}\n\n{seen}from tests.simulation.written import {', '.join(sorted(['check', *functions]))}\n\n\n"
        f"def test_all_is_well():\n    check(\n{_INDENT}{_text(backend)},\n{_INDENT}{_text(seed)},\n"
        f"{_INDENT}{played.world.plan.luck.slow!r},\n{''.join(f'{_INDENT}{line},{chr(10)}' for line in lines)}    )\n"
    )


def write_test(played: Played, backend: str, folder: Path = FOUND) -> Path:
    """Write a run as a test, and return the file."""
    file = folder / f"test_{backend}_{played.world.plan.seed}.py"
    file.write_text(as_test(played, backend))
    return file


def _begin(lines: Iterable[str]) -> set[str]:
    return {line[: line.index("(") + 1] for line in lines}


def _wrapped(text: str) -> str:
    import textwrap

    return textwrap.fill(text, _WIDTH)


def _text(value: Any) -> str:
    """Return a value as Python, in the quotes that the formatter wants."""
    if isinstance(value, str):
        period = (value + value).find(value, 1)
        if _LONG < len(value) > period:  # the content of a blob: a text several times
            return f"{_text(value[:period])} * {len(value) // period}"
        return repr(value) if '"' in value else '"' + repr(value)[1:-1].replace("\\'", "'") + '"'
    if isinstance(value, Seen):
        return f"Seen({_text(value.key)})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))}{',' * (len(value) == 1)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(name)}: {_text(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return repr(value)


def _line(name: str, arguments: list[str]) -> str:
    """Return a call of a function, on one line if it fits."""
    short = f"{name}({', '.join(arguments)})"
    if len(_INDENT) + len(short) + 1 <= _WIDTH:
        return short
    inner = f"{_INDENT}    "
    joined = ", ".join(arguments)
    if len(inner) + len(joined) <= _WIDTH:
        return f"{name}(\n{inner}{joined}\n{_INDENT})"
    lines = [one if len(inner) + len(one) < _WIDTH else _taller(one, inner) for one in arguments]
    return f"{name}(\n{''.join(f'{inner}{one},{chr(10)}' for one in lines)}{_INDENT})"


def _taller(argument: str, indent: str) -> str:
    """Return an argument that is a dict of faults with a line for each."""
    opening, _, rest = argument.partition("{")
    if not opening.endswith("="):
        return argument
    lines = (f"{indent}    {one},\n" for one in rest[:-1].split(", "))
    return f"{opening}{{\n{''.join(lines)}{indent}}}"
