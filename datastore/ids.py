"""Record ids: ``<user>:<ns>:<b64key>``, and the id ranges that make every listing one contiguous read.

In user and namespace ``%``, ``:``, ``/``, control characters and a leading ``_`` are percent-encoded and nothing else
is. The key is base64 of its UTF-8 without padding, in the characters of URL-safe base64 (RFC 4648, section 5) *in ASCII
order*: ``-``, ``0`` to ``9``, ``A`` to ``Z``, ``_`` and ``a`` to ``z`` stand for 0 to 63. So an id has exactly two
colons, is legal in every database, decodes to exactly what went in, and no two (user, namespace, key) triples share
one.

Six bits at a time from the left, in characters that sort as their numbers do: ids of one namespace have the order of
their keys' UTF-8, which is the order of their code points. The keys with a prefix, and those between two keys, are
exactly one range of ids.
"""

from __future__ import annotations

import os
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import overload

from datastore.arguments import check_name
from datastore.errors import InvalidNameError
from datastore.frozen import NamedTuple

MAX_NAME_BYTES = 255
"""The longest user id, namespace or agent name, in bytes of its encoded UTF-8."""
MAX_KEY_BYTES = 512
"""The longest key, in bytes of UTF-8: ids then fit into Firestore's 1,500 bytes and a DynamoDB sort key's 1,024."""

# Control characters are Unicode's category Cc: C0, DEL and C1.
_ENCODED = re.compile(r"[%:/\x00-\x1f\x7f-\x9f]|\A_")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_IN_ORDER = bytes(sorted(_BASE64.translate(bytes.maketrans(b"+/", b"-_"))))
_TO_ORDERED = bytes.maketrans(_BASE64, _IN_ORDER)
_NO_DIGITS = b"=\n"  # what base64 has at its end beside digits
_FROM_ORDERED = bytes(_BASE64[_IN_ORDER.index(byte)] if byte in _IN_ORDER else 0 for byte in range(256))
"""Turns each byte that cannot be in an encoded key into a NUL, which is not base64."""
_NO_KEY = "no key is encoded like this"
_LONGEST = (MAX_KEY_BYTES * 4 + 2) // 3
"""The most characters of an encoded key."""
_PADDING = (b"", b"", b"==", b"=")
_LAST = (frozenset(_BASE64), frozenset[int](), frozenset(_BASE64[::16]), frozenset(_BASE64[::4]))
"""With which characters base64 can end, by how many more there are than a multiple of four."""
_ZEROS = (b"----", b"", b"--", b"-")
"""What fills up an encoded key with zeros, at least one of them, by how many characters are over."""
_FILL_BY_LAST = tuple(
    dict.fromkeys(bytes(last).translate(_TO_ORDERED), zeros) for last, zeros in zip(_LAST, _ZEROS, strict=True)
)
_FILL = (_FILL_BY_LAST * (_LONGEST // 4 + 1))[: _LONGEST + 1]
"""The same by how many characters there are, and by the last one."""
_MANY = 32  # keys are decoded together; it is the longer code, and of 8 it takes twice the time of one by one
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_AFTER_COLON = ";"  # ';' follows ':' in ASCII, so [x:, x;) holds exactly the ids that begin with x:


SYSTEM = "%."
"""Ends the user of a system record's id: no user id is encoded to that, so no agent's call leads to it, and no range of
a user's ids holds it."""


AREAS = ("blobs", "logs", "runs", "vectors")
"""What a namespace keeps beside its records. It lies among the system records of the user, each area of each namespace
apart from the others. Whoever may use the namespace may use its areas."""
_AREA = "%3A"  # a colon, encoded: kinds of system records of a user have none


class IdRange(NamedTuple):
    """The ids with ``start <= id < end``, by Unicode code point (which is also the order of their UTF-8 bytes).

    Either may be an id that a document has or any other text; a range whose end is not after its start is empty.
    """

    start: str
    end: str


EVERYTHING = IdRange("", "\U0010ffff" * (MAX_NAME_BYTES // 4 + 1))
"""The range of all ids of all users; its end is longer than the longest user id."""


class Name(NamedTuple):
    """The user id, the namespace and the key in an id."""

    user_id: str
    namespace: str
    key: str


def encode_name(name: str, parameter: str) -> str:
    """Return a user id or a namespace as it is written in an id.

    Args:
        name: The user id or namespace.
        parameter: Its name in errors.

    Raises:
        InvalidNameError: If it is not text, is empty, holds a lone surrogate, or is longer than 255 bytes encoded.
    """
    # What is no exact `str` may not even be hashable.
    return _encode_name(name if type(name) is str else check_name(name, parameter), parameter)


@lru_cache(1_024)  # a program uses few names, and each again and again
def _encode_name(name: str, parameter: str) -> str:
    encoded = _ENCODED.sub(_percent, check_name(name, parameter))
    if not encoded:
        raise InvalidNameError(f"{parameter} is empty; it needs at least one character")
    size = len(encoded.encode())
    if size > MAX_NAME_BYTES:
        raise InvalidNameError(
            f"{parameter} takes {size} bytes encoded, more than {MAX_NAME_BYTES} "
            "('%', ':', '/', control characters and a leading '_' take three)"
        )
    return encoded


def decode_name(encoded: str) -> str:
    """Return the name that `encode_name` encoded.

    Raises:
        UnicodeDecodeError: If it is not UTF-8 that is percent-encoded.
    """
    if "%" not in encoded:
        return encoded
    from urllib.parse import unquote  # here, because it is slow to import, and names seldom need it

    return unquote(encoded, errors="strict")


def encoded_size(name: str) -> int:
    """Return how many bytes a name takes in an id."""
    return len(_ENCODED.sub(_percent, name).encode())


def check_agent(agent: str) -> str:
    """Check an agent's name, text of 1 to 255 bytes of UTF-8, and return it.

    Raises:
        InvalidNameError: If it is not valid.
    """
    agent = check_name(agent, "agent")
    size = len(agent.encode())
    if not 1 <= size <= MAX_NAME_BYTES:
        raise InvalidNameError(f"agent takes {size} bytes; it must take 1 to {MAX_NAME_BYTES}")
    return agent


def encode_key(key: str, parameter: str = "key") -> str:
    """Return a key as it is written in an id; ``parameter`` is its name in errors.

    Raises:
        InvalidNameError: If it is not text, is empty, holds a lone surrogate, or is longer than 512 bytes of UTF-8.
    """
    if type(key) is not str:  # a subclass can have its own `encode`
        key = check_name(key, parameter)
    try:
        utf8 = key.encode()
    except UnicodeEncodeError:
        utf8 = check_name(key, parameter).encode()  # raises an error that says what is wrong
    if 0 < len(utf8) <= MAX_KEY_BYTES:
        return b2a_base64(utf8).translate(_TO_ORDERED, _NO_DIGITS).decode()  # `ordered`, without a call: `get` is here
    raise InvalidNameError(f"{parameter} takes {len(utf8)} bytes of UTF-8; it must take 1 to {MAX_KEY_BYTES}")


def decode_key(encoded: str) -> str:
    """Return the key that `encode_key` encoded.

    Raises:
        ValueError: If no key is encoded like this.
    """
    return _decoded(encoded.encode("ascii").translate(_FROM_ORDERED))  # text is translated far more slowly than bytes


class IdLines(Sequence[str]):
    """Ids as a database sent them, one after another, taken apart only when one of them is asked for.

    A listing of keys needs none: `decode_keys` takes them all together.

    Args:
        ids: The ids, in UTF-8. None of them holds a line break.
    """

    __slots__ = ("_ids", "_number", "lines")

    def __init__(self, ids: Sequence[bytes]) -> None:
        self.lines = b"\n".join(ids)
        self._number = len(ids)
        self._ids: list[str] | None = None

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        return self._all()[place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __repr__(self) -> str:
        return f"IdLines({self._all()!r})"

    def _all(self) -> list[str]:
        if self._ids is None:
            self._ids = self.lines.decode().split("\n") if self._number else []
        return self._ids


def decode_keys(ids: Sequence[str], start: int = 0) -> list[str]:
    """Return the keys that `encode_key` encoded, in less time than one by one.

    Args:
        ids: Texts that end with the encoded keys, and begin alike.
        start: Where these begin.

    Raises:
        ValueError: If no key is encoded like one of them.
    """
    if len(ids) >= _MANY:
        lines = ids.lines if isinstance(ids, IdLines) else "\n".join(ids).encode()
        return _decode_lines(lines, len(ids), start)
    keys = []
    for id in ids:  # as `decode_key`, without calls
        base64 = id[start:].encode("ascii").translate(_FROM_ORDERED)
        over = len(base64) & 3
        if not 0 < len(base64) <= _LONGEST or base64[-1] not in _LAST[over]:
            raise ValueError(_NO_KEY)
        keys.append(a2b_base64(base64 + _PADDING[over], strict_mode=True).decode())
    return keys


def _decode_lines(lines: bytes, number: int, start: int) -> list[str]:
    length = lines.index(b"\n")
    # A line break of an id that is no record's may be at another place: there it is no character of a key.
    if len(lines) + 1 == number * (length + 1) and lines[length :: length + 1] == b"\n" * (number - 1):
        return _decode_alike(lines, number, len(lines[:length].decode()[:start].encode()), length)
    beginning = lines[:length].decode()[:start].encode()
    some = lines[len(beginning) :].split(b"\n" + beginning)
    if len(some) != number:
        raise ValueError(_NO_KEY)
    # All of them are one text of base64: each is filled up with zeros, and its last character says that there are no
    # other bits before these.
    try:
        fills = [_FILL[len(one)][one[-1]] for one in some]
    except (KeyError, IndexError):
        raise ValueError(_NO_KEY) from None
    parts = some + fills
    parts[::2], parts[1::2] = some, fills
    utf8 = a2b_base64(b"".join(parts).translate(_FROM_ORDERED), strict_mode=True)
    # A fill is as many bytes as characters, but the longest: four characters are three bytes.
    if utf8.count(0) == sum(map(len, fills)) - fills.count(_ZEROS[0]):  # no key has a zero
        return list(filter(None, utf8.decode().split("\0")))
    return [decode_key(one.decode()) for one in some]


def _decode_alike(lines: bytes, number: int, start: int, end: int) -> list[str]:
    """Return keys of one length, such as numbered ones: as one text of base64, each is filled up with zeros, too.

    Args:
        lines: Lines of one length.
        number: How many.
        start: Where the key begins in each.
        end: Where each ends.
    """
    size = end - start
    if size & 3 == 1 or not 0 < size <= _LONGEST:
        raise ValueError(_NO_KEY)
    filled = size + (-size & 3 or 4)
    text = bytearray(b"-") * (filled * number)
    for at in range(size):  # the first characters of all keys, then the second ones: there are more keys than those
        text[at::filled] = lines[start + at :: end + 1]
    utf8 = a2b_base64(text.translate(_FROM_ORDERED), strict_mode=True)
    step, length = len(utf8) // number, size * 3 // 4
    if any(utf8[at::step] != bytes(number) for at in range(length, step)):
        raise ValueError(_NO_KEY)
    zeros = step - length
    if utf8.count(0) == number * zeros:  # no key has a zero: this takes a fifth of the time
        return utf8.decode()[:-zeros].split("\0" * zeros)
    return [utf8[at : at + length].decode() for at in range(0, len(utf8), step)]


def _decoded(base64: bytes) -> str:
    """Return the key for base64 without padding, after `_FROM_ORDERED`."""
    over = len(base64) & 3
    # Bits that are left over must be zero: otherwise several spellings would stand for the same key.
    if not 0 < len(base64) <= _LONGEST or base64[-1] not in _LAST[over]:
        raise ValueError(_NO_KEY)
    return a2b_base64(base64 + _PADDING[over], strict_mode=True).decode()


def names_of_all(ids: Sequence[str]) -> Sequence[tuple[str, str, str]]:
    """Return the user id, the namespace and the key in each id, in less time than one by one.

    Raises:
        ValueError: If one of them is not the id of a record.
    """
    if not ids:
        return []
    prefix, _ = split_id(ids[0])
    start = len(prefix)
    alike = [id[start:] for id in ids if id.startswith(prefix)]
    if len(alike) != len(ids):  # of several namespaces
        prefixes, _, encoded = zip(*[id.rpartition(":") for id in ids], strict=True)
        return [(*decode_prefix(prefix), key) for prefix, key in zip(prefixes, decode_keys(encoded), strict=True)]
    user_id, namespace = decode_prefix(prefix[:-1])
    return [(user_id, namespace, key) for key in decode_keys(alike)]


def split_id(id: str) -> tuple[str, str]:
    """Return what the ids of a namespace begin with, and the encoded key.

    Raises:
        ValueError: If there is no colon in it.
    """
    colon = id.rindex(":") + 1
    return id[:colon], id[colon:]


def encode_earlier_key(key: str) -> str:
    """Return a key as it stood in an id of the earlier format (`datastore.formats`): URL-safe base64, padded."""
    return _url_safe(key.encode())


def decode_earlier_key(encoded: str) -> str:
    """Return the key that `encode_earlier_key` encoded.

    Raises:
        ValueError: If ``encoded`` is not base64 of UTF-8.
    """
    return a2b_base64(encoded.encode("ascii").translate(_FROM_URL_SAFE)).decode()


def new_key(prefix: str) -> str:
    """Return a prefix and 128 random bits as 22 URL-safe characters."""
    # The module secrets does the same, but importing it takes a quarter as long as importing this package.
    return prefix + _url_safe(os.urandom(16)).rstrip("=")


def encode_id(user_id: str, namespace: str, key: str) -> str:
    """Return the id of a record, as the database holds it.

    Raises:
        InvalidNameError: If one of the three is not valid; the message names it.
    """
    beginning = namespace_prefix(encode_name(user_id, "user_id"), encode_name(namespace, "namespace"))
    return beginning + encode_key(key)


def decode_id(id: str) -> Name:
    """Return the user id, namespace and key of an id.

    Raises:
        ValueError: If it is not the id of a record; databases may also hold other documents.
    """
    prefix, _, key = id.rpartition(":")
    user_id, namespace = decode_prefix(prefix)
    return Name(user_id, namespace, decode_key(key))


@lru_cache(1_024)  # ids are listed in order, so that many in a row begin alike
def decode_prefix(prefix: str) -> tuple[str, str]:
    """Return the user id and the namespace of the ids that begin with a prefix, which is without its last colon.

    Raises:
        ValueError: If no ids of a namespace begin with it.
    """
    user, namespace = prefix.split(":")
    names = decode_name(user), decode_name(namespace)
    if encode_name(names[0], "user_id") != user or encode_name(names[1], "namespace") != namespace:
        raise ValueError("no ids begin like this")
    return names


def is_id(text: str) -> bool:
    """Return whether a text is the id of a record."""
    try:
        decode_id(text)
    except ValueError:
        return False
    return True


def user_prefix(encoded_user: str) -> str:
    """Return the beginning of all ids of a user."""
    return encoded_user + ":"


def namespace_prefix(encoded_user: str, encoded_namespace: str) -> str:
    """Return the beginning of all ids of a namespace."""
    return f"{encoded_user}:{encoded_namespace}:"


def key_range(namespace: str, prefix: str | None = None, start: str | None = None, end: str | None = None) -> IdRange:
    """Return the range of a namespace that holds every key with a prefix, from one key up to another, and no other.

    Args:
        namespace: The result of `namespace_prefix`.
        prefix: The beginning of the keys; ``None`` or ``""`` for all of them.
        start: The first key, inclusive; it need not exist.
        end: The first key that is not meant any more; it need not exist.

    Raises:
        InvalidNameError: If one of them is not text or longer than a key can be.
    """
    if prefix is None and start is None and end is None:
        return _whole(namespace)
    # What is no exact `str` may not even be hashable.
    if type(prefix) is not str and prefix is not None:
        prefix = check_name(prefix, "prefix")
    if type(start) is not str and start is not None:
        start = check_name(start, "start")
    if type(end) is not str and end is not None:
        end = check_name(end, "end")
    return _key_range(namespace, prefix, start, end)


@lru_cache(256)  # what a program polls it asks for again and again
def _key_range(namespace: str, prefix: str | None, start: str | None, end: str | None) -> IdRange:
    low, high = _whole(namespace)
    if prefix is not None:
        first, after = _beginning(prefix)
        if first:
            low, high = namespace + first, namespace + after
    if start is not None:
        low = max(low, namespace + ordered(_bound(start, "start")))
    if end is not None:
        high = min(high, namespace + ordered(_bound(end, "end")))
    return IdRange(low, max(low, high))


@lru_cache(1_024)
def _whole(namespace: str) -> IdRange:
    """Return the range of a namespace."""
    return IdRange(namespace, namespace[:-1] + _AFTER_COLON)


def namespace_range(
    encoded_user: str,
    prefix: str | None,
    start: str | None = None,
    end: str | None = None,
    parameter: str = "prefix",
) -> IdRange:
    """Return the range of a user that holds every namespace with a prefix, from one namespace up to another.

    Args:
        encoded_user: The user, as `encode_name` writes it.
        prefix: The beginning of the namespaces; ``None`` or ``""`` for all of them.
        start: The first namespace, inclusive; it need not exist.
        end: The first namespace that is not meant any more; it need not exist.
        parameter: The name of ``prefix`` in errors.

    Raises:
        InvalidNameError: If one of them is not text or longer than a namespace can be.
    """
    user = user_prefix(encoded_user)
    beginning = check_name("" if prefix is None else prefix, parameter)
    low, high = beginning_with(user + (encode_name(beginning, parameter) if beginning else ""))
    if start is not None:
        low = max(low, namespace_prefix(encoded_user, encode_name(start, "start")))
    if end is not None:
        high = min(high, namespace_prefix(encoded_user, encode_name(end, "end")))
    return IdRange(low, max(low, high))


def namespace_order(namespace: str) -> str:
    """Return by what namespaces are sorted: the order in which ids have them, each with the colon after it."""
    return encode_name(namespace, "namespace") + ":"


def system_prefix(encoded_user: str, kind: str) -> str:
    """Return the beginning of the ids of a user's system records of one kind, such as ``"leases"``.

    No agent's key or namespace leads there, and no range of the user's ids holds them (`SYSTEM`).
    """
    return namespace_prefix(encoded_user + SYSTEM, kind)


def system_range(encoded_user: str) -> IdRange:
    """Return the range of all system records of a user."""
    return beginning_with(user_prefix(encoded_user + SYSTEM))


@lru_cache(1_024)
def area_prefix(namespace: str, area: str) -> str:
    """Return the beginning of the ids in one of the `AREAS` of a namespace.

    Args:
        namespace: The result of `namespace_prefix`.
        area: Which of them.
    """
    user, name, _ = namespace.split(":")
    return f"{user}{SYSTEM}:{area}{_AREA}{name}:"


def area_range(encoded_user: str, area: str) -> IdRange:
    """Return the range of one of the `AREAS`, in all namespaces of a user."""
    return beginning_with(f"{user_prefix(encoded_user + SYSTEM)}{area}{_AREA}")


def area_ranges(range: IdRange) -> list[IdRange]:
    """Return the ranges of ids in each of the `AREAS` of the namespaces in a range of one user's ids."""
    user, _, start = range.start.partition(":")
    _, colon, end = range.end.partition(":")
    prefixes = [f"{user}{SYSTEM}:{area}{_AREA}" for area in AREAS]
    return [IdRange(prefix + start, prefix + end if colon else beginning_with(prefix).end) for prefix in prefixes]


def home_of(id: str) -> str | None:
    """Return what the ids of the namespace begin with in one of whose `AREAS` an id lies; ``None`` if it lies in none.

    Args:
        id: An id, or the beginning of the ids of an area.
    """
    user, _, rest = id.partition(":")
    if not user.endswith(SYSTEM):
        return None
    area, mark, rest = rest.partition(_AREA)
    return namespace_prefix(user.removesuffix(SYSTEM), rest.partition(":")[0]) if mark and area in AREAS else None


def stored_name(id: str) -> Name:
    """Return the names that the document of a record has in its fields, or that of what lies in one of the `AREAS`.

    Raises:
        ValueError: If it is neither.
    """
    home = home_of(id)
    if home is None:
        return decode_id(id)
    user_id, namespace, key = decode_id(home + id.rpartition(":")[2])
    return Name(user_id, f"{area_of(id)}:{namespace}", key)


def home_name(id: str, namespace: str) -> str:
    """Return the namespace that a record is in, or beside which something lies, from its `stored_name`."""
    return namespace.partition(":")[2] if is_system(id) else namespace


def area_of(id: str) -> str:
    """Return in which of the `AREAS` of its namespace an id lies (`home_of`)."""
    return id.partition(":")[2].partition(_AREA)[0]


def is_system(id: str) -> bool:
    """Return whether an id is that of a system record."""
    return id.partition(":")[0].endswith(SYSTEM)


def without_system(ids: Sequence[str]) -> Sequence[str]:
    """Return the ids that are not those of system records."""
    some = SYSTEM + ":" in "\n".join(ids)  # in one look: there are hardly ever any
    return [id for id in ids if not is_system(id)] if some else ids


def is_any_id(text: str) -> bool:
    """Return whether a text is the id of a record or of a system record."""
    home = home_of(text)
    if home is not None:
        return is_id(home + text.rpartition(":")[2])
    user, colon, rest = text.partition(":")
    if user == SYSTEM:  # it is of no user
        user = "u"
    return is_id(user.removesuffix(SYSTEM) + colon + rest)


def after_user(id: str) -> str:
    """Return the first possible id after all ids of the user of ``id``."""
    return id.partition(":")[0] + _AFTER_COLON


def is_of_one_user(range: IdRange) -> bool:
    """Return whether a range lies within the ids of one user, or within the system records of one."""
    return ":" in range.start and range.end <= after_user(range.start)


def namespace_of(id: str) -> str:
    """Return what the ids of the namespace of ``id`` begin with."""
    return id[: id.rindex(":") + 1]


def after_namespace(id: str) -> str:
    """Return the first possible id after the namespace of ``id``."""
    return id[: id.rindex(":")] + _AFTER_COLON


def _url_safe(some: bytes) -> str:
    return b2a_base64(some, newline=False).translate(_TO_URL_SAFE).decode("ascii")


def ordered(utf8: bytes) -> str:
    """Return bytes in base64 that sorts as they do."""
    return b2a_base64(utf8).translate(_TO_ORDERED, _NO_DIGITS).decode()


@lru_cache(1_024)  # a program uses few prefixes, and each again and again
def _beginning(prefix: str) -> tuple[str, str]:
    """Return with what the encoded keys with a prefix begin, and the first possible one after them."""
    utf8 = _bound(prefix, "prefix")
    return (ordered(utf8), ordered(utf8[:-1] + bytes([utf8[-1] + 1]))) if utf8 else ("", "")  # no byte of UTF-8 is 255


def _bound(key: str, parameter: str) -> bytes:
    utf8 = check_name(key, parameter).encode()
    if len(utf8) > MAX_KEY_BYTES:
        raise InvalidNameError(f"{parameter} takes {len(utf8)} bytes of UTF-8, more than the {MAX_KEY_BYTES} of a key")
    return utf8


@lru_cache(1_024)
def beginning_with(text: str) -> IdRange:
    """Return the range of all texts that begin with ``text``: up to its successor by code point."""
    last = ord(text[-1]) + 1
    if last == ord("/"):
        last += 1  # no id holds a slash, and Firestore takes none at the end of a range
    if 0xD800 <= last <= 0xDFFF:
        last = 0xE000  # surrogates are not characters
    if last > 0x10FFFF:
        return IdRange(text, beginning_with(text[:-1]).end)
    return IdRange(text, text[:-1] + chr(last))


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


@lru_cache(256)
def scope_of(range: IdRange) -> tuple[str, str] | None:
    """Return the user id and the namespace of a range; ``None`` if it is not within a single namespace."""
    user, colon, rest = range.start.partition(":")
    namespace, second, _ = rest.partition(":")
    if not colon or not second:
        return None
    prefix = f"{user}:{namespace}"
    if range.end != f"{prefix};" and not range.end.startswith(f"{prefix}:"):
        return None
    return decode_name(user), decode_name(namespace)
