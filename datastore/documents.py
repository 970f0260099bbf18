"""Stored documents that the store did not write: hand-edited, foreign, damaged, or on their way in from elsewhere.

Only this module defines what a sound document is. `check` is called wherever a whole document is returned or moved. A
read of values alone does not pay for it: decoding a damaged value fails by itself, and only then the document is
examined.

If a damaged document is asked for by its key, a `DamagedRecordError` with its id is raised. Listings leave it out with
a warning, so that one damaged record does not make the others unreadable. No message quotes what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, TypeVar

from datastore.backend import BareDocuments, Document, DocumentPage, EntryDocuments
from datastore.errors import DamagedRecordError, DataStoreError, InvalidValueError, logger
from datastore.frozen import NamedTuple
from datastore.ids import MAX_NAME_BYTES, Name, decode_id, decode_key, decode_prefix, names_of_all, stored_name
from datastore.times import parse_time, parse_times
from datastore.values import MAX_METADATA_BYTES, UnreadableError, encode, encode_parsed

T = TypeVar("T")

MAX_COUNT = 2**53
"""The largest access count that an import accepts: every database, even in JavaScript, counts exactly up to it."""
MANY = 8
"""So many documents are decoded together, in less time than one by one."""
TOGETHER = 32
"""So many are checked together, and made into records: with 16 that takes a tenth more time than one by one."""
_MAX_STORED_COUNT = 2**63 - 1  # a stored count may exceed the other bound by accesses after the import
MAX_REVISION_BYTES = 64
"""The longest revision, in bytes of UTF-8. The store's own revisions take 24."""

UNDECODABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""The exceptions with which decoding a document may fail that the store did not write."""

NO_TIME = "expiresAt is no time"
NO_KEY = "no key has this id"
_NO_TIME = "is not a time, which is written 2026-01-31T12:00:00.000000Z"
_NO_AGENT = f"is not an agent's name, text of 1 to {MAX_NAME_BYTES} bytes, nor empty for the host"


def is_time(text: object) -> bool:
    """Return whether something is a time as `datastore.times` writes it, on a day that exists."""
    try:
        parse_time(text)
    except (ValueError, TypeError):
        return False
    return True


def check(document: Document) -> Document:
    """Check the provenance, the revision, the expiry and the metadata of a whole document, and return it.

    The id and the value are not checked: the id was asked for, and the value has been decoded.

    Raises:
        DamagedRecordError: If one of them is not valid.
    """
    problem = _problem(document, _MAX_STORED_COUNT)
    if problem is not None:
        raise damaged(document.id, problem)
    return document


def check_moved(document: Document) -> str:
    """Check everything about a document that is to be written as it is, and return its value's JSON text.

    Raises:
        DamagedRecordError: If something is not valid.
    """
    problem = _problem(document, MAX_COUNT)
    if problem is None and name_in(document.id) is None:
        problem = "its id is not one"
    if problem is not None:
        raise damaged(document.id, problem)
    try:
        encode(document.metadata, "metadata", MAX_METADATA_BYTES)
        return encode(document.value)
    except DataStoreError as error:
        raise damaged(document.id, error.message) from None


class Sound(NamedTuple):
    """A document that is to be written as it is, and in which everything was checked."""

    document: Document
    name: tuple[str, str, str]
    """The user id, the namespace and the key in its id."""
    json: str
    """The JSON text of its value."""


def check_all_moved(
    documents: Sequence[Document], names: Sequence[tuple[str, str, str]] | None = None, *, parsed: bool = False
) -> tuple[list[Sound], list[DamagedRecordError]]:
    """Check documents as `check_moved` does, in less time than one by one.

    Args:
        documents: The documents.
        names: The names in their ids, if they have been decoded.
        parsed: Whether their values were parsed (`datastore.backend.Capabilities.parsed_values`).

    Returns:
        The sound ones, in order, and an error for each of the others.
    """
    sound: list[Sound] = []
    broken: list[DamagedRecordError] = []
    if are_sound(documents, MAX_COUNT):
        try:
            names = names_of_all([document.id for document in documents]) if names is None else names
            return list(map(encoded, documents, names, repeat(encode_parsed if parsed else encode))), broken
        except (DataStoreError, ValueError):
            pass  # the closer look finds out which one, and why
    for document in documents:
        try:
            json = check_moved(document)
            sound.append(Sound(document, stored_name(document.id), json))
        except DamagedRecordError as error:
            broken.append(error)
    return sound, broken


def from_fields(name: tuple[str, str, str], id: str, fields: Mapping[str, Any]) -> Sound:
    """Return the document for parsed fields that have the names in the docs, and may have any type.

    Args:
        name: The user id, the namespace and the key in the id.
        id: The id.
        fields: The fields, as a parser of JSON returned them.

    Raises:
        InvalidValueError, ValueTooLargeError: If a field is missing or not valid; nothing is quoted.
    """
    document = unchecked(id, fields)
    problem = _problem(document, MAX_COUNT)
    if problem is not None:
        raise InvalidValueError(problem)
    return encoded(document, name, encode_parsed)


def unchecked(id: str, fields: Mapping[str, Any]) -> Document:
    """Return the document for fields as `from_fields` does, but without looking at what is in them.

    Raises:
        InvalidValueError: If a field is missing.
    """
    try:
        metadata = fields["metadata"]
        return Document(
            id, fields["createdAt"], fields["revision"], fields.get("expiresAt"), fields["value"],
            {} if metadata is None else metadata, fields["createdByAgent"], fields["updatedAt"], fields["accessCount"],
            fields.get("lastAccessedByAgent"), fields.get("lastAccessedAt"), fields.get("updatedByAgent"),
        )  # fmt: skip
    except KeyError as error:
        missing = error.args[0]
    raise InvalidValueError(f"has no field {missing!r}")


def encoded(document: Document, name: tuple[str, str, str], encode: Callable[..., str]) -> Sound:
    """Return a document whose other fields are sound, with its value encoded.

    Args:
        document: The document.
        name: The user id, the namespace and the key in its id.
        encode: Checks and encodes values: `datastore.values.encode`, or `encode_parsed` for parsed ones.

    Raises:
        InvalidValueError, ValueTooLargeError: If the value or the metadata cannot be stored.
    """
    if document.metadata:
        encode(document.metadata, "metadata", MAX_METADATA_BYTES)
    return Sound(document, name, encode(document.value))


def damaged(id: str, problem: str | None = None) -> DamagedRecordError:
    """Return the error for a damaged document.

    Args:
        id: The document's id.
        problem: What is wrong; it must not quote anything that is stored.
    """
    what = f"the stored document {id!r} is not one that the store wrote"
    return DamagedRecordError(
        f"{what}{f' ({problem})' if problem else ''}; mend it in the database, or remove it with delete()", id=id
    )


def foreign(id: str) -> DamagedRecordError:
    """Return the error for a document that has no revision: the store never wrote it.

    It belongs to somebody else, so calls that remove a whole range (`clear`, `forget`, a purge) leave it.
    """
    return DamagedRecordError(
        f"the stored document {id!r} was written by another program (it has no revision); bring the documents of that "
        "program into a place of their own with 'datastore import-legacy', or remove this one with delete()",
        id=id,
        foreign=True,
    )


def decoded(id: str, decode: Callable[[], T]) -> T:
    """Decode a document and return the result.

    Raises:
        DamagedRecordError: If decoding fails; the original error, which may quote the document, is not chained.
    """
    try:
        return decode()
    except UNDECODABLE as error:
        problem = reason(error)
    raise damaged(id, problem)


def reason(error: Exception) -> str:
    """Return why decoding a document failed with one of `UNDECODABLE`, without quoting anything of the document."""
    if isinstance(error, UnreadableError):
        return f"it holds {error}"
    if isinstance(error, KeyError):
        return "a field is missing, or has the wrong type"
    return f"decoding it failed with {type(error).__name__}"


def key_of(id: str) -> str:
    """Return the key in an id that was listed.

    Raises:
        DamagedRecordError: If it is not the id of a record.
    """
    try:
        prefix, _, key = id.rpartition(":")
        decode_prefix(prefix)
        return decode_key(key)
    except ValueError:
        raise damaged(id, NO_KEY) from None


@lru_cache(1_024)  # what a program polls is read again and again, and to look names up takes a quarter of the time
def names_of(id: str) -> tuple[str, str, str]:
    """Return the user id, the namespace and the key in an id that was listed.

    Raises:
        DamagedRecordError: If it is not the id of a record.
    """
    try:
        prefix, _, key = id.rpartition(":")
        return *decode_prefix(prefix), decode_key(key)
    except ValueError:
        raise damaged(id, NO_KEY) from None


def name_of(id: str) -> Name | None:
    """Return the names in an id; ``None`` if it is not an id of the store."""
    try:
        return decode_id(id)
    except ValueError:
        return None


def name_in(id: str) -> Name | None:
    """Return the names in the id of what is moved: a record, or what lies beside (`datastore.ids.stored_name`)."""
    try:
        return stored_name(id)
    except ValueError:
        return None


def fields_of(document: Document) -> dict[str, Any]:
    """Return what a filter on metadata and provenance is about, of a whole document."""
    return {
        "key": key_of(document.id),
        "metadata": document.metadata or {},
        "createdByAgent": document.created_by_agent,
        "updatedByAgent": document.updated_by_agent,
        "lastAccessedByAgent": document.last_accessed_by_agent,
        "accessCount": document.access_count,
        "createdAt": document.created_at,
        "updatedAt": document.updated_at,
        "lastAccessedAt": document.last_accessed_at,
        "revision": document.revision,
        "expiresAt": document.expires_at,
    }


def skip(error: DamagedRecordError) -> None:
    """Log that a document was left out of a listing, or of what is done for all."""
    logger().warning("a listing leaves out a damaged record: %s", error.message)


def sound_of(
    ids: Iterable[str], read: Callable[[Sequence[str]], Mapping[str, T]]
) -> tuple[Mapping[str, T], Sequence[str]]:
    """Return what can be read of documents, so that one that is damaged does not stop what is done for all.

    Args:
        ids: The ids.
        read: Reads those under some ids, and raises the error of one that is damaged.

    Returns:
        What was read by its id, and the ids without those of damaged ones, which are logged.

    Requests: those of ``read``, and as many for each that is damaged.
    """
    left = list(ids)
    while True:
        try:
            return read(left), left
        except DamagedRecordError as error:
            if error.id not in left:
                raise
            left.remove(error.id)
            skip(error)


def made_of(documents: Iterable[Document], make: Callable[[Document], T]) -> Iterator[T]:
    """Yield what is made of documents; those of which it cannot be made are left out with a warning."""
    for document in documents:
        try:
            made = make(document)
        except DamagedRecordError as error:
            skip(error)
        else:
            yield made


def checked(page: DocumentPage) -> DocumentPage:
    """Check the documents of a page of whole ones; return it with the unsound ones among the damaged ones."""
    if len(page.documents) < TOGETHER:
        if not [one for one in page.documents if _problem(one, _MAX_STORED_COUNT) is not None]:
            return page
    elif are_sound(page.documents):
        return page
    documents, broken = list[Document](), list(page.damaged)
    for document in page.documents:
        try:
            documents.append(check(document))
        except DamagedRecordError as error:
            broken.append(error)
    return DocumentPage(documents, page.after, broken)


def expires(documents: Sequence[Document]) -> bool:
    """Return whether any document has an expiry: only then it matters what time it is."""
    if type(documents) is BareDocuments:
        return documents.expiries is not None
    if type(documents) is EntryDocuments:
        return documents.can_expire
    for one in documents:  # noqa: SIM110 - any() over a generator takes three times as long
        if one.expires_at is not None:
            return True
    return False


def living(page: DocumentPage, now: str) -> DocumentPage:
    """Return a page without expired documents; those whose expiry is not a time are among the damaged ones."""
    documents = page.documents
    if type(documents) is BareDocuments and documents.expiries is None:
        return page
    try:
        live = [one for one in documents if one.expires_at is None or one.expires_at > now]
        return DocumentPage(live, page.after, page.damaged)
    except TypeError:
        pass  # this is rare; only then each document is checked
    live, broken = [], list(page.damaged)
    for one in documents:
        try:
            if one.expires_at is None or one.expires_at > now:
                live.append(one)
        except TypeError:
            broken.append(damaged(one.id, NO_TIME))
    return DocumentPage(live, page.after, broken)


def split(
    stored: Iterable[T], id_of: Callable[[T], str], decode: Callable[[T], Document]
) -> tuple[list[Document], Sequence[DamagedRecordError]]:
    """Return the documents that could be decoded, and the errors for those that could not."""
    documents, broken = list[Document](), list[DamagedRecordError]()
    for one in stored:
        try:
            documents.append(decode(one))
        except DamagedRecordError as error:
            broken.append(error)
        except UNDECODABLE as error:
            broken.append(damaged(id_of(one), reason(error)))
    return documents, broken


def are_sound(documents: Sequence[Document], most: int = _MAX_STORED_COUNT) -> bool:
    """Return whether all documents are certainly sound, by what `check` asks of one.

    They are looked at by column, which takes a quarter of the time: what many have in common is looked at once. A few
    are not looked at.

    Args:
        documents: The documents.
        most: The largest access count.
    """
    if len(documents) < TOGETHER:
        return False
    _, created, revisions, expiries, _, metadata, creators, updated, counts, accessors, accessed, writers = zip(
        *documents, strict=True
    )
    try:
        return (
            None not in (times := {*created, *updated})
            and len(parse_times(times | {*expiries, *accessed} - {None})) > 0
            and set(map(type, revisions)) == {str}
            and 0 < min(map(len, revisions)) <= max(map(len, revisions)) <= MAX_REVISION_BYTES
            and "".join(revisions).isascii()
            and None not in creators
            and all(_is_text(name, MAX_NAME_BYTES) for name in {*creators, *writers} - {None, ""})
            and all(_is_text(name, MAX_NAME_BYTES) for name in {*accessors} - {None})
            and set(map(type, counts)) == {int}
            and 0 <= min(counts) <= max(counts) <= most
            and set(map(type, metadata)) == {dict}
        )
    except (TypeError, ValueError):  # values of a type that is in none of them
        return False


def _problem(document: Document, most: int) -> str | None:
    _, created_at, revision, expires_at, _, metadata, creator, updated_at, count, accessor, accessed_at, writer = (
        document
    )
    try:  # as `is_time` does, without a call for each
        parse_time(created_at)
        parse_time(updated_at)
        if expires_at is not None:
            parse_time(expires_at)
        if accessed_at is not None:
            parse_time(accessed_at)
    except (ValueError, TypeError):
        return _without_time(document)
    if not _is_text(revision, MAX_REVISION_BYTES):
        return f"revision is not text of 1 to {MAX_REVISION_BYTES} bytes"
    if creator != "" and not _is_text(creator, MAX_NAME_BYTES):
        return f"createdByAgent {_NO_AGENT}"
    if writer is not None and writer != "" and writer != creator and not _is_text(writer, MAX_NAME_BYTES):
        return f"updatedByAgent {_NO_AGENT}"
    if accessor is not None and not _is_text(accessor, MAX_NAME_BYTES):
        return f"lastAccessedByAgent {_NO_AGENT}"
    if type(count) is not int or not 0 <= count <= most:
        return f"accessCount is not a whole number from 0 to {most:,}"
    if type(metadata) is not dict:
        return "metadata is not an object"
    return None


def _without_time(document: Document) -> str:
    """Return which time of a document is none."""
    if not is_time(document.created_at):
        return f"createdAt {_NO_TIME}"
    if not is_time(document.updated_at):
        return f"updatedAt {_NO_TIME}"
    if document.expires_at is not None and not is_time(document.expires_at):
        return f"expiresAt {_NO_TIME}"
    return f"lastAccessedAt {_NO_TIME}"


def _is_text(text: object, most: int) -> bool:
    if type(text) is not str or not 0 < len(text) <= most:
        return False
    try:
        return text.isascii() or len(text.encode()) <= most
    except UnicodeEncodeError:
        return False
