"""A database whose index of vectors lags behind."""

from dataclasses import replace

from datastore import BackendUnavailableError
from datastore.backend import Fields
from datastore.conformance.faults import Wrapped


class Lagging(Wrapped):
    """Has an index that returns the vectors with the least ids, without those that are `missing`."""

    def __init__(self, inner):
        super().__init__(inner)
        self.capabilities = replace(self.capabilities, nearest_at_once=20)
        self.for_the_index = {}
        self.missing = set()
        self.searches = 0
        self.fails = False

    def write(self, writes):
        vectors = {one.id: one.vector for one in writes if getattr(one, "vector", None) is not None}
        if vectors and self.fails:
            raise BackendUnavailableError("the connection was refused")
        self.for_the_index |= vectors
        return super().write(writes)

    def nearest(self, range, vector, number, metric):
        self.searches += 1
        there = [one.id for one in self.scan(range, Fields.KEY, 1_000).documents]
        return [id for id in there if id in self.for_the_index and id not in self.missing][:number]

    def ensure_vectors(self, range, dimensions):
        return f"vectors-{dimensions}"
