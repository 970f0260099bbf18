"""The viewer: pages on which a person sees what agents remember, and mends it. See ``docs/viewer.md``.

`create_app` returns an ASGI application, for a program of the host's; `serve` runs one for a person at this machine.
"""

from __future__ import annotations

from datastore.viewer.app import Authorise, Viewer, create_app
from datastore.viewer.serving import serve

__all__ = ["Authorise", "Viewer", "create_app", "serve"]
