"""The real servers that the tests run against: installed on first need, started once a session, ended by process id.

Each of `SERVERS` has ``start()``, which installs and starts its server, and ``REMEDY``, the command that
installs what that needs. One that is ``optional`` may be missing in CI, too: the run says so.
"""

from tests.servers import couchdb, debian, dynamodb, firestore, postgresql, redis

SERVERS = {
    "couchdb": couchdb,
    "dynamodb": dynamodb.MINISTACK,
    "dynamodb-dynalite": dynamodb.DYNALITE,
    "firestore": firestore,
    "pgbouncer": debian.PGBOUNCER,
    "postgresql": postgresql,
    "postgresql-15": debian.POSTGRESQL_15,
    "redis": redis,
}
"""By the name that ``pytest.mark.server`` and the conformance report use."""
