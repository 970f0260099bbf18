"""What this process has last seen of the metadata of records, so that merging into it needs no read before the write.

It is only ever used together with the revision that it belongs to, as the condition of a write. So being out of date
costs a request, and nothing else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from datastore_dynamodb.codec import Attribute, Attributes, encode_metadata

_RECORDS = 1_000


class Seen:
    """The records seen last. Single operations of an ordered dictionary, which need no lock."""

    def __init__(self) -> None:
        self._items: OrderedDict[str, Attributes] = OrderedDict()

    def note(self, id: str, revision: str, expires_at: str | None, metadata: dict[str, Any]) -> None:
        """Note the state of a record whose value is not split."""
        item = {"revision": {"S": revision}, **encode_metadata(metadata)}
        if expires_at is not None:
            item["expiresAt"] = {"S": expires_at}
        self._items[id] = item
        if len(self._items) > _RECORDS:
            self._items.popitem(last=False)

    def take(self, id: str) -> Mapping[str, Attribute] | None:
        """Return what is known of a record and forget it: it is about to change."""
        return self._items.pop(id, None)
