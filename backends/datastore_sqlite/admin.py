"""What there is to say about a file of the store."""

from __future__ import annotations

import shutil
import sqlite3

from datastore.administration import Diagnostic
from datastore_sqlite.client import Connection, Settings
from datastore_sqlite.schema import MIGRATIONS, TABLE

_LOW_SPACE = 100_000_000
_LONG_LOG = 100_000_000


def examine(connection: Connection, settings: Settings) -> list[Diagnostic]:
    """See `Backend.examine`; checking the file reads all of it."""
    findings = [Diagnostic(True, f"SQLite {sqlite3.sqlite_version}")]
    (check,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    findings.append(
        Diagnostic(True, "the file is sound")
        if check == "ok"
        else Diagnostic(False, f"the file is damaged: {check}", "restore a backup, or use .recover of sqlite3")
    )
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    findings.append(Diagnostic(True, f"its schema is {version}, of {len(MIGRATIONS)} known here"))
    (unnamed,) = connection.execute(f"SELECT count(*) FROM {TABLE} WHERE _id >= x''").fetchone()
    if unnamed:
        remedy = f"no call of the store meets them; DELETE FROM {TABLE} WHERE typeof(_id) <> 'text' removes them"
        findings.append(Diagnostic(False, f"{unnamed:,} rows have an _id that is no text", remedy))
    if settings.path is None:
        return findings
    # SQLite sees no log beside a file that it reads as one that nothing changes.
    (journal,) = ("wal",) if settings.log is not None else connection.execute("PRAGMA journal_mode").fetchone()
    findings.append(
        Diagnostic(True, "it has a write-ahead log: readers do not wait for writers")
        if journal == "wal"
        else Diagnostic(
            False, f"its journal mode is {journal}", "put it on a local disk; network disks cannot share a log"
        )
    )
    log = settings.path.with_name(settings.path.name + "-wal")
    if log.exists() and log.stat().st_size > _LONG_LOG:
        size = log.stat().st_size
        findings.append(
            Diagnostic(False, f"its log has grown to {size:,} bytes", "some process reads for very long; end it")
        )
    free = shutil.disk_usage(settings.path.parent).free
    findings.append(
        Diagnostic(
            free > _LOW_SPACE, f"{free:,} bytes are free on its disk", "" if free > _LOW_SPACE else "free some space"
        )
    )
    return findings
