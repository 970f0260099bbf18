"""Whether a key of which nothing is known is likely to exist, so that a write is one request more often than two."""

from __future__ import annotations

from datastore.turns import keep_newest

_MOST_NAMESPACES = 2_000


class Guesses:
    """Goes by each namespace's last surprise.

    Where keys are new, new ones take one request (a create); where they exist, they take two (a read, and an update);
    where the guess is wrong it takes one more, once.
    """

    def __init__(self) -> None:
        self._full: dict[str, bool] = {}

    def likely(self, id: str) -> bool:
        """Return whether to expect a document under an id of which nothing is known."""
        return _namespace(id) in self._full

    def learn(self, id: str, existed: bool) -> None:
        """Take note of what such an id turned out to be."""
        namespace = _namespace(id)
        if not existed:  # which is what is expected of a namespace that is not noted
            self._full.pop(namespace, None)
        elif namespace not in self._full:
            self._full[namespace] = True
            keep_newest(self._full, _MOST_NAMESPACES)


def _namespace(id: str) -> str:
    return id[: id.rindex(":") + 1]
