"""The keys of what is kept for runs, and the names in them.

Names are percent-encoded as in ids (`datastore.ids`), so none has a ``/``, and no two runs share a key.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import NamedTuple

from datastore.arguments import as_number, as_seconds, as_text, check_name, is_a, shown
from datastore.documents import NO_KEY, damaged, is_time
from datastore.errors import InvalidNameError, InvalidValueError, kind_of
from datastore.ids import decode_key, decode_name, encode_name, split_id

MAX_NAME_BYTES = 200
"""The longest id of a run and the longest name, in bytes as in an id: two of them and a time fit into a key."""
_NUMBER = 12  # digits
MOST: int = 10**_NUMBER
"""More entries than any journal has."""
_AFTER = "0"  # follows "/" in ASCII: [x/, x0) are the keys that begin with x/
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhdw])")
ANSWER, CHILD = "s", "c"
"""What a run can wait for: an answer of this name, or the end of this child. The letter stands before the name."""


class KeyRange(NamedTuple):
    """The keys with ``start <= key < end``."""

    start: str
    end: str


class Hint(NamedTuple):
    """What the key of a hint says: from a time on a run may go on, because of what it waits for, or by itself."""

    time: str
    run: str
    event: str | None


def check_run(id: str, parameter: str = "id") -> str:
    """Return the id of a run as it is in keys, or another name that keys have.

    Raises:
        InvalidNameError: If it is not text of 1 to 200 bytes as in an id.
    """
    encoded = encode_name(id, parameter)
    if (size := len(encoded.encode())) > MAX_NAME_BYTES:
        raise InvalidNameError(f"{parameter} takes {size} bytes encoded, more than {MAX_NAME_BYTES}")
    return encoded


def check_step(name: str) -> str:
    """Return the name of a step as an exact `str`.

    Raises:
        InvalidNameError: If it is not text of 1 to 200 bytes of UTF-8.
    """
    name = check_name(name, "name")
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
        raise InvalidNameError(f"name takes {len(name.encode())} bytes; it must take 1 to {MAX_NAME_BYTES}")
    return name


def duration(time: float | timedelta | str, parameter: str) -> float | timedelta:
    """Return a time that may be text such as ``"21d"``, ``"12h"``, ``"30m"``, ``"45s"`` or ``"2w"``.

    Raises:
        InvalidValueError: If it is not such a time; a number is checked where it is added to the clock.
    """
    if is_a(time, str):
        if (found := _DURATION.fullmatch(as_text(time))) is None:
            raise InvalidValueError(
                f"{parameter} is {shown(as_text(time))}; give seconds, a timedelta, or text such as '21d' or '30m'"
            )
        return float(found[1]) * _UNITS[found[2]]
    return time  # type: ignore[return-value]  # `is_a` does not narrow what is left


def seconds(time: float | timedelta, parameter: str) -> float:
    """Return seconds from zero on.

    Raises:
        InvalidValueError: If it is anything else.
    """
    number = as_seconds(time) if is_a(time, timedelta) else as_number(time)
    if number is None:
        raise InvalidValueError(f"{parameter} is {kind_of(time)}; give seconds as a number, or a timedelta")
    if not 0 <= number < 1e9:
        raise InvalidValueError(f"{parameter} is {shown(number)}; it must be from 0 to 1e9 seconds")
    return float(number)


def is_run(value: object) -> bool:
    """Return whether something is the id of a run, or another name, as it is in keys."""
    try:
        return is_a(value, str) and check_run(run_of(as_text(value))) == value
    except (InvalidNameError, ValueError):
        return False


def is_event(value: object) -> bool:
    """Return whether something names what a run waits for, as hints do."""
    return type(value) is str and value[:1] in (ANSWER, CHILD) and is_run(value[1:])


def key_of(id: str) -> str:
    """Return the key in the id of a record of an area.

    Raises:
        DamagedRecordError: If no key has this id.
    """
    try:
        return decode_key(split_id(id)[1])
    except ValueError:
        raise damaged(id, NO_KEY) from None


def run_in(id: str) -> str:
    """Return the run, as in keys, that the key of a record ends with.

    Args:
        id: The record's id.

    Raises:
        DamagedRecordError: If it ends with none.
    """
    if is_run(run := key_of(id).rpartition("/")[2]):
        return run
    raise damaged(id, "it does not lead to a run")


def head(run: str) -> str:
    """Return the key of a run's head."""
    return f"h/{run}"


def heads() -> KeyRange:
    """Return the keys of all heads."""
    return KeyRange("h/", "h" + _AFTER)


def run_of(key: str) -> str:
    """Return the id of the run in the key of a head, an end or an expiry: its last part."""
    return decode_name(key.rpartition("/")[2])


def entry(run: str, number: int) -> str:
    """Return the key of an entry of the journal."""
    return f"j/{run}/{number:0{_NUMBER}d}"


def entries(run: str, after: int, last: int | None = None) -> KeyRange:
    """Return the keys of the entries after one number, up to another."""
    return KeyRange(entry(run, after + 1), f"j/{run}{_AFTER}" if last is None else entry(run, last + 1))


def number_of(id: str) -> int:
    """Return the number of an entry.

    Args:
        id: That of its record.

    Raises:
        DamagedRecordError: If it is not the key of an entry.
    """
    digits = key_of(id)[-_NUMBER:]
    if digits.isdecimal() and digits.isascii():
        return int(digits)
    raise damaged(id, "it is not an entry of a run")


def answer(run: str, name: str) -> str:
    """Return the key of the answer of an encoded name."""
    return f"s/{run}/{name}"


def answers(run: str) -> KeyRange:
    """Return the keys of all answers to a run."""
    return KeyRange(f"s/{run}/", f"s/{run}{_AFTER}")


def hint(time: str, run: str, event: str | None = None) -> str:
    """Return the key of a hint; ``event`` is `ANSWER` or `CHILD` with the encoded name."""
    return f"w/{time}/{run}" if event is None else f"w/{time}/{run}/{event}"


def hints(until: str) -> KeyRange:
    """Return the keys of the hints up to a time."""
    return KeyRange("w/", f"w/{until}{_AFTER}")


def hint_of(id: str) -> Hint:
    """Return what the key of a hint says.

    Args:
        id: That of its record.

    Raises:
        DamagedRecordError: If it is not the key of a hint.
    """
    match key_of(id).split("/"):
        case [_, time, run] if is_time(time) and is_run(run):
            return Hint(time, run, None)
        case [_, time, run, event] if is_time(time) and is_run(run) and is_event(event):
            return Hint(time, run, event)
    raise damaged(id, "it does not lead to a run")


def listed(status: str, run: str) -> str:
    """Return the key that lets lists of a status look for a run."""
    return f"l/{status}/{run}"


def all_listed(status: str) -> KeyRange:
    """Return the keys of all runs that lists of a status look for."""
    return KeyRange(f"l/{status}/", f"l/{status}{_AFTER}")


def checkpointed(time: str, run: str) -> str:
    """Return the key that says when a run made a checkpoint."""
    return f"k/{time}/{run}"


def checkpoints(until: str) -> KeyRange:
    """Return the keys of the checkpoints up to a time."""
    return KeyRange("k/", f"k/{until}{_AFTER}")


def pruned(run: str) -> str:
    """Return the key that says which entry of a run is the first that is left, besides that it began."""
    return f"p/{run}"


def child(run: str, child: str) -> str:
    """Return the key that says that a child needs a run's entries."""
    return f"c/{run}/{child}"


def children(run: str) -> KeyRange:
    """Return the keys of all children of a run."""
    return KeyRange(f"c/{run}/", f"c/{run}{_AFTER}")


def ended(time: str, run: str) -> str:
    """Return the key that says when a run ended."""
    return f"d/{time}/{run}"


def expired(time: str, run: str) -> str:
    """Return the key that says when the ttl of a run that ended is over."""
    return f"x/{time}/{run}"


def ends(until: str, kind: str) -> KeyRange:
    """Return the keys of the ends (``"d"``) or expiries (``"x"``) up to a time."""
    return KeyRange(f"{kind}/", f"{kind}/{until}{_AFTER}")
