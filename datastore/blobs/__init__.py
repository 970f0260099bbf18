"""Blobs: bytes of any size, in parts, beside the records of a namespace. See ``docs/blobs.md``."""

from datastore.blobs.calls import Blobs
from datastore.blobs.heads import Blob

__all__ = ["Blob", "Blobs"]
