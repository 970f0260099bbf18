"""Starts a program in a sandbox: bubblewrap where it works, and otherwise a plain process."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import datastore

HERE = Path(__file__).resolve().parent
PACKAGE = Path(datastore.__file__).resolve().parent


@functools.cache
def bubblewrap() -> str | None:
    """Return the path of bubblewrap; ``None`` if it is not installed, or may not make sandboxes here."""
    path = shutil.which("bwrap")
    if path is None:
        return None
    tried = subprocess.run(
        [path, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"],
        capture_output=True,
        timeout=60,
    )
    return path if tried.returncode == 0 else None


def start(
    program: str, *arguments: str, socket: Path, own: Path, descriptors: tuple[int, ...] = (), plain: bool = False
) -> subprocess.Popen[str]:
    """Start one of the programs beside this file.

    Args:
        program: Its name.
        arguments: What it is given.
        socket: The directory with the store's socket: all that it needs of the host.
        own: A directory of its own. In the sandbox it is ``/own``.
        descriptors: Open files that it inherits.
        plain: Whether to start it as a plain process even if there is bubblewrap.
    """
    wrapper = None if plain else bubblewrap()
    # Not a single variable of the host: whatever stands there can be read by every tool that the agent starts.
    if wrapper is None:
        command = [sys.executable, str(HERE / program), *arguments, str(socket), str(own)]
        environment = {"PYTHONPATH": str(PACKAGE.parent), "PATH": os.defpath}
    else:
        walls = [
            "--unshare-all",  # other processes, the network, users and mounts are out of sight
            "--die-with-parent",
            "--new-session",
            "--clearenv",
            *("--proc", "/proc"),
            *("--dev", "/dev"),
            *("--tmpfs", "/tmp"),
            *("--ro-bind", str(socket), "/store"),
            *("--bind", str(own), "/own"),
            *("--ro-bind", str(HERE), "/agents"),
            *("--ro-bind", str(PACKAGE), "/package/datastore"),
            *("--setenv", "PYTHONPATH", "/package"),
            *("--setenv", "PATH", os.defpath),
            *("--chdir", "/own"),
        ]
        command = [
            wrapper,
            *_system(),
            *walls,
            "--",
            sys.executable,
            f"/agents/{program}",
            *arguments,
            "/store",
            "/own",
        ]
        environment = {}
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=descriptors,
        cwd=own,
    )


def _system() -> list[str]:
    """Return what shows the sandbox the system's libraries and this Python, to be read only."""
    shown = []
    for path in ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", sys.base_prefix, sys.prefix):
        if Path(path).is_symlink():
            shown += ["--symlink", str(Path(path).readlink()), path]
        elif Path(path).exists():
            shown += ["--ro-bind", path, path]
    return shown
