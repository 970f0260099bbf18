"""What holds for all tests: the kit's report, and the servers that some of them need."""

import os

import pytest

from datastore.conformance.plugin import EXCUSED
from tests.servers import SERVERS
from tests.servers.installing import NotInstalledError

pytest_plugins = ["pytester"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the servers that the collected tests need (``pytest.mark.server(name)``).

    In CI a server that cannot be installed or started fails the run. On a person's machine the run goes on without it,
    and ends with a line that says what was not proven.
    """
    needing: dict[str, list[pytest.Item]] = {}
    for item in items:
        for marker in item.iter_markers("server"):
            needing.setdefault(marker.args[0], []).append(item)
    for name, its_items in needing.items():
        try:
            SERVERS[name].start()
        except (NotInstalledError, RuntimeError, OSError) as error:
            if os.environ.get("CI"):
                raise pytest.UsageError(f"the server for {name} cannot run: {error}") from error
            excused = config.stash.setdefault(EXCUSED, {})
            excused[name] = f"{error}. To install its server: {SERVERS[name].REMEDY}"
            if hasattr(config, "workeroutput"):
                config.workeroutput["excused"] = excused
            config.hook.pytest_deselected(items=its_items)
            items[:] = [item for item in items if item not in its_items]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    """Take over from a worker of pytest-xdist what it could not prove."""
    node.config.stash.setdefault(EXCUSED, {}).update(getattr(node, "workeroutput", {}).get("excused", {}))
