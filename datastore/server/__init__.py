"""The server: a store for agents in sandboxes, which have nothing but a token. See ``docs/server.md``.

`create_app` returns an ASGI application, and `serve` runs it. The protocol is that of `datastore.wire`.
"""

from __future__ import annotations

from datastore.server.app import create_app
from datastore.server.protocol import ConnectionLimits
from datastore.server.serving import serve
from datastore.server.settings import ServerLimits

__all__ = ["ConnectionLimits", "ServerLimits", "create_app", "serve"]
