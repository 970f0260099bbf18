"""The real servers that the tests run against: installed on first need, started once a session, ended by process id.

Each of `SERVERS` has ``start()``, which installs and starts its server, and ``REMEDY``, the command that
installs what that needs. A browser is one of them: the tests of the viewer's pages need it. One that is
``optional`` may be missing in CI, too: the run says so.
"""

from tests.servers import chromium, couchdb, debian, dynamodb, firestore, postgresql, redis

SERVERS = {
    "chromium": chromium,
    "couchdb": couchdb,
    "dynamodb": dynamodb.MINISTACK,
    "dynamodb-dynalite": dynamodb.DYNALITE,
    "firestore": firestore,
    "pgbouncer": debian.PGBOUNCER,
    "postgresql": postgresql,
    "postgresql-15": debian.POSTGRESQL_15,
    "redis": redis,
    "redis-debian": debian.REDIS,
}
"""By the name that ``pytest.mark.server`` and the conformance report use."""
