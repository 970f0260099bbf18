"""The real servers that the tests run against: installed on first need, started once a session, ended by process id.

Each module of `SERVERS` has ``start()``, which installs and starts its server, and ``REMEDY``, the command that
installs what that needs.
"""

from tests.servers import couchdb, firestore

SERVERS = {"couchdb": couchdb, "firestore": firestore}
"""By the name that ``pytest.mark.server`` and the conformance report use."""
