"""JSON as a person types it, at a command line or into a form, and as records are given to a person."""

from __future__ import annotations

import json
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

from datastore.errors import InvalidValueError
from datastore.values import article, decode, encode

if TYPE_CHECKING:
    from datastore.record import Record


def parse_json(name: str, text: str, remedy: str = "") -> Any:
    """Return the value of JSON text, which may hold integers of any size."""
    try:
        return decode(" " + text)
    except JSONDecodeError as error:  # its position counts the space
        said: Exception = JSONDecodeError(error.msg, text, error.pos - 1)
    except (ValueError, RecursionError) as error:
        said = error
    raise InvalidValueError(f"{name} is not JSON ({said}){remedy}") from None


def parse_object(name: str, text: str) -> dict[str, Any]:
    """Return the object of JSON text."""
    found = parse_json(name, text)
    if not isinstance(found, dict):
        raise InvalidValueError(f"{name} is {article(found)}; it must be a JSON object, such as '{{\"a\": 1}}'")
    return found


def record_json(record: Record) -> str:
    """Return a record as JSON on one line, with integers of any size."""
    fields: dict[str, Any] = record.model_dump(mode="json", exclude={"value"})
    return f'{json.dumps(fields, ensure_ascii=False)[:-1]}, "value": {encode(record.value).strip()}}}'
