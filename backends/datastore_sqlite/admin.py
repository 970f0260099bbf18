"""What an administrator should know of a store's file."""

from __future__ import annotations

import shutil
import sqlite3

from datastore.administration import Diagnostic, either
from datastore_sqlite.client import Connection, Settings
from datastore_sqlite.schema import MIGRATIONS, TABLE

_LOW_SPACE = 100_000_000
_LONG_LOG = 100_000_000


def examine(connection: Connection, settings: Settings) -> list[Diagnostic]:
    """See `Backend.examine`. Checking the file means reading all of it."""
    findings = [Diagnostic(True, f"SQLite {sqlite3.sqlite_version}")]
    (check,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    repaired = "restore a backup, or use .recover of sqlite3"
    findings.append(either(check == "ok", "the file is sound", f"the file is damaged: {check}", repaired))
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    findings.append(Diagnostic(True, f"its schema is version {version}; the newest known here is {len(MIGRATIONS)}"))
    (unnamed,) = connection.execute(f"SELECT count(*) FROM {TABLE} WHERE _id >= x''").fetchone()
    if unnamed:
        remedy = f"no call of the store finds them; DELETE FROM {TABLE} WHERE typeof(_id) <> 'text' removes them"
        findings.append(Diagnostic(False, f"{unnamed:,} rows have an _id that is not text", remedy))
    if settings.path is None:
        return findings
    # For a file that SQLite reads as one that nothing changes, it reports no write-ahead log.
    (journal,) = ("wal",) if settings.log is not None else connection.execute("PRAGMA journal_mode").fetchone()
    logged = "it has a write-ahead log: readers do not wait for writers"
    moved = "put it on a local disk; network disks cannot share a log"
    findings.append(either(journal == "wal", logged, f"its journal mode is {journal}", moved))
    log = settings.path.with_name(settings.path.name + "-wal")
    if log.exists() and log.stat().st_size > _LONG_LOG:
        size = log.stat().st_size
        findings.append(
            Diagnostic(False, f"its log has grown to {size:,} bytes", "some process reads for very long; end it")
        )
    free = shutil.disk_usage(settings.path.parent).free
    space = f"{free:,} bytes are free on its disk"
    findings.append(either(free > _LOW_SPACE, space, space, "free some space"))
    return findings
