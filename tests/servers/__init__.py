"""The real servers that the tests run against: installed on first need, started once a session, ended by process id.

Each of `SERVERS` has ``start()``, which installs and starts its server, and ``REMEDY``, the command that
installs what that needs. A browser is one of them: the tests of the viewer's pages need it.
"""

from tests.servers import chromium, couchdb, dynamodb, firestore, postgresql, redis

SERVERS = {
    "chromium": chromium,
    "couchdb": couchdb,
    "dynamodb": dynamodb.MINISTACK,
    "dynamodb-dynalite": dynamodb.DYNALITE,
    "firestore": firestore,
    "postgresql": postgresql,
    "redis": redis,
}
"""By the name that ``pytest.mark.server`` and the conformance report use."""
