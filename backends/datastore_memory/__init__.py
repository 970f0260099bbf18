"""The memory backend, ``memory://``: everything in one process and gone with it. For tests.

It keeps documents as JSON text, so that values are copied exactly as on a real database, and means the same in all
else; only persistence and other processes are missing.
"""

from datastore_memory.backend import MemoryBackend, connect

__all__ = ["MemoryBackend", "connect"]
