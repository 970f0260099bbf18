"""By which names a server is called: what a browser sends that was led here has another one."""

from __future__ import annotations

from collections.abc import Collection

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""The hosts that a server on loopback or on a Unix socket answers to."""


def names(hosts: Collection[str] | None) -> frozenset[str] | None:
    """Return names of hosts as `answers_to` takes them; ``None`` for any."""
    return None if hosts is None else frozenset(host.lower() for host in hosts)


def answers_to(hosts: frozenset[str] | None, header: bytes | None) -> bool:
    """Return whether a server answers to what is in ``Host``, whatever the port: DNS rebinding brings a strange one."""
    if hosts is None:
        return True
    host = (header or b"").decode("latin-1").lower()
    return (host if host.endswith("]") else host.rpartition(":")[0] or host) in hosts
