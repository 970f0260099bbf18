"""Memory by meaning: texts with vectors, and the search for those that are nearest. See ``docs/memory.md``."""

from datastore.memory.calls import Memory
from datastore.memory.embedding import Embedder
from datastore.memory.items import Match, MemoryItem, Part
from datastore.memory.splitting import Splitter

__all__ = ["Embedder", "Match", "Memory", "MemoryItem", "Part", "Splitter"]
