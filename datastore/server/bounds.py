"""What one call may ask of the host's embedder and of its memory, whatever the token says: refused before it waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datastore.arguments import as_int
from datastore.errors import InvalidValueError, QueryError
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
