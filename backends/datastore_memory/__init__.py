"""The memory backend, ``memory://``: everything is in one process, and is gone when the process ends. For tests.

It keeps documents as JSON text, so that values are copied exactly as on a real database. Everything means the same as
there, except that nothing persists and no other process can share it.
"""

from datastore_memory.backend import MemoryBackend, connect

__all__ = ["MemoryBackend", "connect"]
