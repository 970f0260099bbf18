"""What all tests use: the kit's report, the servers that some tests need, and what is faster when it is shared."""

import functools
import gc
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datastore.conformance.plugin import EXCUSED
from tests.servers import SERVERS
from tests.servers.installing import NotInstalledError

pytest.register_assert_rewrite(
    "tests.adapters.connections", "tests.adapters.damage", "tests.adapters.finding"
)  # these have tests, under other names
pytest_plugins = ["pytester", "tests.chance"]


BRIDGES = sorted(Path(__file__).parent.glob("bridges*"))
"""The tests of the bridges: a folder for each environment that their frameworks fit into together."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-servers", action="store_true", help="Leave out the tests that need a server, and say so.")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.no_servers:
        config.stash[EXCUSED] = dict.fromkeys(SERVERS, "left out, as --no-servers says")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the bridges where nobody names them: their frameworks are in an environment of their own."""
    return True if collection_path in BRIDGES and not _names(config, collection_path) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say of a run of all tests that the bridges are not among them."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        left_out = [folder.name for folder in BRIDGES if not _names(config, folder)]
        if left_out:
            folders = ", ".join(f"tests/{name}" for name in left_out)
            environments = ",".join(name.replace("_", "-") for name in left_out)
            terminalreporter.write_line(f"{folders} are not part of this run: `tox -e {environments}` runs them")


def _names(config: pytest.Config, folder: Path) -> bool:
    return any(
        folder in (path := Path(arg.partition("::")[0]).resolve()).parents or path == folder for arg in config.args
    )


@pytest.hookimpl(trylast=True)  # what -k and -m leave out needs no server
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the servers that the collected tests need (``pytest.mark.server(name)``).

    In CI a server that cannot be installed or started fails the run, unless it is a second version. On a person's
    machine the run goes on without it, and ends with a line that says what was not proven; so it does if it is told to
    leave them out.
    """
    needing: dict[str, list[pytest.Item]] = {}
    for item in items:
        for marker in item.iter_markers("server"):
            needing.setdefault(marker.args[0], []).append(item)
    with ThreadPoolExecutor(len(SERVERS)) as threads:  # together they take as long as the slowest of them
        reasons = list(threads.map(lambda name: _why_not(name, config), needing))
    for (name, its_items), reason in zip(needing.items(), reasons, strict=True):
        if reason is not None:
            excused = config.stash.setdefault(EXCUSED, {})
            excused[name] = reason
            if hasattr(config, "workeroutput"):
                config.workeroutput["excused"] = excused
            left_out = set(its_items)
            config.hook.pytest_deselected(items=its_items)
            items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """Keep the garbage collector from what was collected: half a million objects, which last as long as the run.

    To look through them takes it a quarter of a second each time, and some tests call it.
    """
    gc.collect()
    gc.freeze()


def _why_not(name: str, config: pytest.Config) -> str | None:
    """Start a server, or return why it is not there."""
    if config.option.no_servers:
        return config.stash[EXCUSED][name]
    if config.option.collectonly:
        return None
    try:
        SERVERS[name].start()
    except (NotInstalledError, RuntimeError, OSError) as error:
        if os.environ.get("CI") and not getattr(SERVERS[name], "optional", False):
            raise pytest.UsageError(f"the server for {name} cannot run: {error}") from error
        return f"{error}. To install its server: {SERVERS[name].REMEDY}"
    return None


@pytest.fixture(autouse=True, scope="session")
def _adapters_are_looked_up_once() -> Iterator[None]:
    """`datastore.connect` reads the metadata of all that is installed, which takes longer than most tests."""
    look_up = importlib.metadata.entry_points

    @functools.cache
    def looked_up(path: tuple[str, ...], group: str) -> importlib.metadata.EntryPoints:
        return look_up(group=group)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "entry_points", lambda *, group: looked_up(tuple(sys.path), group))
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    """Take over from a worker of pytest-xdist what it could not prove."""
    node.config.stash.setdefault(EXCUSED, {}).update(getattr(node, "workeroutput", {}).get("excused", {}))


@pytest.fixture
def reachable(tmp_path: Path) -> Path:
    """A directory that a user without privileges can reach."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.getuid() and directory.as_posix() != "/":
            directory.chmod(directory.stat().st_mode | 0o755)
    return tmp_path
