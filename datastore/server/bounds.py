"""What one call may ask of the host's embedder and of its memory, whatever the token says: refused before it waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datastore.arguments import as_int
from datastore.errors import InvalidValueError, QueryError
from datastore.memory.splitting import MOST_PARTS
from datastore.server.settings import ServerLimits
from datastore.wire.calls import IN_STEPS, Call


def check_bounds(call: Call, arguments: Mapping[str, Any], limits: ServerLimits) -> None:
    """Refuse arguments of a call of ``data_store.memory`` that ask for too much; the call says what else is wrong.

    Raises:
        InvalidValueError, QueryError: If they do. The message names the parameter.
    """
    if call.name not in IN_STEPS["memory"]:
        return
    namespaces = arguments.get("namespaces")
    guaranteed = list(namespaces.values()) if type(namespaces) is dict else []
    wanted = [as_int(number) or 0 for number in (arguments.get("n"), *guaranteed)]
    if max(wanted[0], sum(number for number in wanted[1:] if number > 0)) > limits.nearest:
        raise QueryError(
            f"n asks for more than {limits.nearest:,.0f} matches, which is what this server returns at once"
        )
    for name in ("texts", "namespaces"):
        given = arguments.get(name)
        if (type(given) is list or type(given) is dict) and len(given) > limits.texts:
            raise InvalidValueError(
                f"{name} has {len(given):,}, and this server takes {limits.texts:,.0f} at once; give some at a time"
            )
    parts = _parts(arguments)
    if parts > limits.texts:
        raise InvalidValueError(
            f"split makes up to {parts:,} parts, and this server takes {limits.texts:,.0f} at once; let them be "
            "larger, or give some texts at a time"
        )


def _parts(arguments: Mapping[str, Any]) -> int:
    """Return how many parts a call's texts may be split into, as it asks for; 0 if it does not."""
    split, given = arguments.get("split"), arguments.get("texts")
    if type(split) is not dict:
        return 0
    size, overlap = as_int(split.get("size")) or 1, as_int(split.get("overlap")) or 0
    texts = [arguments.get("text"), *(given.values() if type(given) is dict else given if type(given) is list else ())]
    values = [text.get("value") if type(text) is dict else text for text in texts]
    step = max(size - overlap, 1)
    return sum(min(len(value) // step + 1, MOST_PARTS) for value in values if type(value) is str)
