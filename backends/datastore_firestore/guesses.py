"""Whether an unknown key is likely to exist, so that a write more often takes one request instead of two."""

from __future__ import annotations

from datastore.turns import keep_newest

_MOST_NAMESPACES = 2_000


class Guesses:
    """Expects of each namespace what its last surprise showed.

    Where keys are new, a write takes one request (a create). Where they exist, it takes two (a read and an update). A
    wrong guess costs one more, once.
    """

    def __init__(self) -> None:
        self._full: dict[str, bool] = {}

    def likely(self, id: str) -> bool:
        """Return whether to expect a document under an id of which nothing is known."""
        return _namespace(id) in self._full

    def learn(self, id: str, existed: bool) -> None:
        """Take note whether a document existed under such an id."""
        namespace = _namespace(id)
        if not existed:  # this is the default for a namespace
            self._full.pop(namespace, None)
        elif namespace not in self._full:
            self._full[namespace] = True
            keep_newest(self._full, _MOST_NAMESPACES)


def _namespace(id: str) -> str:
    return id[: id.rindex(":") + 1]
