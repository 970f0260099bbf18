"""What an administrator should know of a Redis server: above all, whether what it acknowledges outlives it."""

from __future__ import annotations

from typing import Any

from datastore.administration import REPLICA, Diagnostic, clocks, either
from datastore.errors import DataStoreError
from datastore_redis.client import Session

_KEEP = "set appendonly yes (and appendfsync always to lose nothing at all)"


def examine(session: Session, now: float) -> list[Diagnostic]:
    """See `Backend.examine`.

    Requests: 1.
    """
    asked = [("CONFIG", "GET", name) for name in ("appendonly", "appendfsync", "save", "maxmemory-policy")]
    information, time, *answers = session.try_all([("INFO",), ("TIME",), *asked])
    told = _information(information)
    appends, syncs, saves, policy = map(_setting, answers)
    findings = [_version(told)]
    if not isinstance(time, DataStoreError):
        findings.append(clocks(now, int(time[0]) + int(time[1]) / 1e6))
    findings.append(_durability(appends or {"1": "yes", "0": "no"}.get(told.get("aof_enabled", "")), syncs, saves))
    policy = policy or told.get("maxmemory_policy")
    if policy is not None:
        kept = "nothing is evicted when the memory is full: writes are refused"
        evicted = f"it removes records when its memory is full ({policy})"
        findings.append(either(policy == "noeviction", kept, evicted, "maxmemory-policy noeviction"))
    if told.get("role") == "slave":
        findings.append(REPLICA)
    return findings


def _version(told: dict[str, str]) -> Diagnostic:
    version = told.get("valkey_version") or told.get("redis_version", "")
    text = f"{'Valkey' if 'valkey_version' in told else 'Redis'} {version or 'of an unknown version'}"
    major = version.partition(".")[0]
    old = major.isdecimal() and int(major) < 6
    return either(not old, text, text, "upgrade to Redis 7 or Valkey 8")


def _durability(appends: str | None, syncs: str | None, saves: str | None) -> Diagnostic:
    if appends == "yes":
        lost = {"always": "", "everysec": ", up to a second of them", "no": ", up to half a minute of them"}
        how = f"appendonly is on (appendfsync {syncs or 'unknown'}): a crash loses no acknowledged writes"
        return Diagnostic(True, how + lost.get(syncs or "", " that were synced"))
    if appends is None:
        return Diagnostic(True, "cannot tell whether appendonly is on: these credentials may not ask")
    text = "appendonly is off: a crash loses every write since the last snapshot"
    return Diagnostic(
        False, text if saves else "appendonly is off, and no snapshot is made: a restart loses everything", _KEEP
    )


def _setting(answer: Any) -> str | None:
    """Return what a setting is; ``None`` if these credentials may not ask, or the service hides it."""
    return answer[1].decode() if isinstance(answer, list) and len(answer) == 2 else None


def _information(answer: Any) -> dict[str, str]:
    if isinstance(answer, DataStoreError):
        return {}
    lines = answer.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
