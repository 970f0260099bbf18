"""What an administrator should know of a PostgreSQL database: above all, whether what it acknowledges outlives it."""

from __future__ import annotations

from datastore.adapters.vectors import examined
from datastore.administration import REPLICA, Diagnostic, clocks
from datastore_postgresql.client import Session
from datastore_postgresql.schema import TABLE
from datastore_postgresql.vectors import INDEX_OF


def examine(session: Session, schema: str, now: float) -> list[Diagnostic]:
    """See `Backend.examine`.

    Requests: 1.
    """
    ((version, time, fsync, commits, replica, refuses, unfinished, vectors),) = session.ask(
        """
        SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8,
            current_setting('fsync'), current_setting('synchronous_commit'), pg_is_in_recovery(),
            current_setting('default_transaction_read_only'),
            ARRAY(SELECT i.relname::text FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
                JOIN pg_class AS c ON c.oid = x.indrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE n.nspname = %s AND c.relname = %s AND NOT x.indisvalid ORDER BY 1),
            ARRAY(SELECT i.relname::text FROM pg_class AS i JOIN pg_namespace AS n ON n.oid = i.relnamespace
                WHERE n.nspname = %s AND starts_with(i.relname, %s) ORDER BY 1)""",
        (schema, TABLE, schema, INDEX_OF),
    )
    findings = [Diagnostic(True, f"PostgreSQL {version.partition(' ')[0]}"), clocks(now, time)]
    if fsync == "off":
        findings.append(Diagnostic(False, "fsync is off: a crash of the machine may damage everything", "fsync = on"))
    elif commits == "off":
        lost = "synchronous_commit is off: a crash loses acknowledged writes of up to three times wal_writer_delay"
        findings.append(Diagnostic(False, lost, "synchronous_commit = on, for this role or for all"))
    else:
        findings.append(Diagnostic(True, "a crash loses no acknowledged writes"))
    if replica:
        findings.append(REPLICA)
    elif refuses == "on":
        reads = "default_transaction_read_only is on: it takes no writes"
        findings.append(Diagnostic(False, reads, "or open it with mode=ro"))
    findings.append(examined(vectors, needs=", with pgvector"))
    findings += [
        Diagnostic(False, f"the index {name} was not finished, and helps no query", "declare it again")
        for name in unfinished
    ]
    return findings
