"""The vector vault: texts by number, with metadata, and those that are most like a question.

Its calls are those of a hosted product, as its users write them. They are made of calls of an agent's store and of its
`datastore.memory.Memory`, and of nothing else. A call is a generator of such calls, each a function of the store. So it
is the same whether they are made in this thread, or awaited (`datastore.asynchronous.vector_vault`).

The number of an item is its place in the log `LOG` of the namespace, from 0 on. The log also tells which items may have
no vector yet: an item is appended to it before its record is written. `VectorVault.get_vectors` trims it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias

from datastore.arguments import as_bool, as_dict, as_int, as_text, check_name, is_a, is_mapping, iterating, shown
from datastore.entries import Entry
from datastore.errors import DataStoreError, InvalidValueError, UnsupportedError, kind_of
from datastore.memory.splitting import LARGEST, SMALLEST, Splitter
from datastore.memory.vectors import packed
from datastore.scope import OfOneProcess
from datastore.values import check_metadata, checked

if TYPE_CHECKING:
    from datastore.memory.calls import Vector
    from datastore.record import Record

LOG = "vector_vault"
"""The log that numbers the items of a vault."""
GRACE = 3_600.0
"""For how many seconds an item that was given a number, and has no record, is waited for: until one that much later."""
_DIGITS = 12
_AT_ONCE = 1_000  # items that are looked at together

Item: TypeAlias = dict[str, Any]
"""``data``, the text; ``metadata``; and ``distance``, if it was asked for."""
Asking: TypeAlias = Generator[Callable[[Any], Any], Any, Any]
"""A call: it yields functions of an agent's store, and is sent what these return."""

NOT_HERE: Mapping[str, str] = {
    name: reason
    for names, reason in (
        (
            ("get_chat", "get_chat_stream", "print_stream", "cloud_stream", "get_tokens"),
            "a vault stores and finds texts; ask a model with what get_similar returns",
        ),
        (
            ("save_custom_prompt", "fetch_custom_prompt", "save_personality_message", "fetch_personality_message"),
            "a vault has no prompts and personalities, for it talks to no model; store texts with data_store.set",
        ),
        (
            ("run_flow", "stream_flow"),
            "a vault runs no flows; data_store.runs keeps the steps of a program that can be resumed",
        ),
        (
            (
                *("create_storage_dir", "create_storage_item", "list_storage_labels"),
                *("get_storage_item", "update_storage_item", "delete_storage_dir"),
            ),
            "a vault has no files; data_store.blobs has",
        ),
        (("create_vault",), "a vault is there as soon as it holds an item"),
        (("remap_item_numbers",), "the number of an item stays what it is"),
    )
    for name in names
}
"""What the hosted product has, and this has not: the reason, and what to use instead."""


class Store(Protocol):
    """What a `VectorVault` needs to know of an agent's store; the functions that it is given know the calls."""

    @property
    def namespace(self) -> str:
        """See `datastore.AgentDataStore.namespace`."""

    def use_namespace(self, namespace: str) -> Store:
        """See `datastore.AgentDataStore.use_namespace`."""


class VectorVault(OfOneProcess):
    """Texts of one user in named vaults, and the search by meaning. From ``data_store.vector_vault(name)``.

    A vault is a namespace of the user, and an item is a record of it with the text as its value: every call of
    `AgentDataStore` and of `Memory` works with them. Items are numbered from 0 on, and a number is never given again.
    What is added is kept at once. See ``docs/vector-vault.md``.

    Calls raise what those of `AgentDataStore` and `Memory` raise, and `UnsupportedError` if something is asked for that
    is no matter of storage: chat, flows, prompts.
    """

    __slots__ = ("_name", "_store")

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = store.use_namespace(name).namespace

    @property
    def name(self) -> str:
        """The name of the vault."""
        return self._name

    def add(
        self,
        text: str,
        meta: dict[str, Any] | None = None,
        name: str | None = None,
        split: bool = False,
        split_size: int = 1_000,
    ) -> int:
        """Store a text as a new item, without a vector: `get_vectors` makes that.

        Args:
            text: The text.
            meta: What to keep with it, an object of up to 16,000 bytes.
            name: Short for ``{"name": name}`` in the metadata.
            split: Whether to split a long text into parts, each of which gets a vector of its own; without it, as the
                host's embedder does.
            split_size: The most characters of a part.

        Returns:
            The number of the item.

        Raises:
            InvalidValueError: If ``text`` or ``name`` is no text, ``meta`` no object of JSON values, or ``split_size``
                not from 16 to 1,000,000.

        Requests: those of ``log_append``, and those of ``add``: 2 on steady state.
        """
        return self._follow(adding(self._name, text, meta, name, None, split, split_size))  # type: ignore[no-any-return]

    def add_item_with_vector(
        self, text: str, vector: Vector, meta: dict[str, Any] | None = None, name: str | None = None
    ) -> int:
        """Store a text as a new item, with a vector that is given.

        Args:
            text: The text.
            vector: Its vector, as in `Memory.add`.
            meta: As `add`.
            name: As `add`.

        Returns:
            The number of the item.

        Raises:
            InvalidValueError: As `add`; also if the vector is none.
            EmbedderError: If the vault has vectors of another model.

        Requests: those of ``log_append`` and of `Memory.add`.
        """
        return self._follow(adding(self._name, text, meta, name, vector))  # type: ignore[no-any-return]

    def add_n_save(
        self,
        text: str,
        meta: dict[str, Any] | None = None,
        name: str | None = None,
        split: bool = False,
        split_size: int = 1_000,
    ) -> int:
        """Do what `add`, `get_vectors` and `save` do, and return the number of the item.

        Args:
            text: As `add`.
            meta: As `add`.
            name: As `add`.
            split: As `add`.
            split_size: As `add`.

        Requests: those of `add` and of `get_vectors`.
        """
        return self._follow(adding_all(self._name, text, meta, name, split, split_size))  # type: ignore[no-any-return]

    def get_vectors(self) -> int:
        """Make the vectors of all items that have none yet, in batches, whoever added them; return how many.

        If it is interrupted, what was made is kept, and the next call makes the others.

        Raises:
            EmbedderError: If the embedder fails, or the vault has vectors of another model.
            ConfigurationError: If the host has given no embedder.

        Requests: those of ``log_read``, 2 if there is nothing to do. Otherwise also those of `Memory.embed` and of
        ``log_trim``.
        """
        return self._follow(getting_vectors(self._name))  # type: ignore[no-any-return]

    def save(self) -> None:
        """Do nothing: what was added was kept at once.

        Requests: 0.
        """

    def get_similar(
        self, text: str, n: int = 4, include_distances: bool = False, vault: str | None = None
    ) -> list[Item]:
        """Return the items that are most like a text, and count an access for each.

        Args:
            text: The text.
            n: The most items to return.
            include_distances: Whether to return the ``distance`` of each.
            vault: The vault to search; ``None`` for this one.

        Returns:
            The items, the nearest first: ``{"data": text, "metadata": {...}}``. The metadata are those that were given,
            and ``item_id``, ``name``, ``created``, ``updated`` and ``time``; of a text in parts also ``part``: the
            ``start``, the ``end`` and the ``text`` of the nearest one.

        Raises:
            QueryError, EmbedderError, ConfigurationError: As `Memory.search`.

        Requests: those of `Memory.search`.
        """
        return self._follow(getting_similar(self._in(vault), text, n, include_distances))  # type: ignore[no-any-return]

    def get_items_by_vector(
        self, vector: Vector, n: int = 4, include_distances: bool = False, vault: str | None = None
    ) -> list[Item]:
        """Return the items whose vectors are nearest to one, and count an access for each.

        Args:
            vector: The vector.
            n: As `get_similar`.
            include_distances: As `get_similar`.
            vault: As `get_similar`.

        Raises:
            InvalidValueError: If it is no vector.

        Requests: those of `Memory.search`.
        """
        return self._follow(getting_nearest(self._in(vault), vector, n, include_distances))  # type: ignore[no-any-return]

    def get_similar_from_vaults(
        self, text: str, n: int = 4, vaults: str | Iterable[str] | Mapping[str, int | None] | None = None
    ) -> list[Item]:
        """Return the items of several vaults that are most like a text, with their distances.

        Args:
            text: The text.
            n: The most items to return, of all vaults together; it becomes the sum of the guaranteed places if that
                is more.
            vaults: The names of the vaults, or one name; or how many places each is guaranteed, by its name, such as
                ``{"legal_docs": 3, "engineering": None}``, where ``None`` is for none.

        Returns:
            The items, the nearest first. ``metadata["vault"]`` says where each is.

        Raises:
            InvalidValueError: If ``vaults`` is none of these, or empty. A vault that cannot be searched is an error.

        Requests: those of `Memory.search_across`.
        """
        return self._follow(getting_from_vaults(text, n, vaults))  # type: ignore[no-any-return]

    def get_items(self, ids: Iterable[int | str], vault: str | None = None) -> list[Item | None]:
        """Return items by their numbers, in order; ``None`` in the place of one that is not there.

        Args:
            ids: The numbers: the ``item_id`` of the metadata.
            vault: The vault; ``None`` for this one.

        Requests: those of ``get_records``.
        """
        return self._follow(getting_items(self._in(vault), ids))  # type: ignore[no-any-return]

    def edit_item(self, item_id: int | str, new_text: str) -> bool:
        """Replace the text of an item, with its vector; its metadata stays. Return whether there is such an item.

        The new text is split as the one before it was, or was to be.

        Args:
            item_id: Its number.
            new_text: The new text.

        Raises:
            EmbedderError: If the embedder fails; nothing was changed.

        Requests: those of ``log_read`` and of `Memory.edit`.
        """
        return self._follow(editing_item(self._name, item_id, new_text))  # type: ignore[no-any-return]

    def edit_item_meta(self, item_id: int | str, metadata: dict[str, Any]) -> bool:
        """Merge into the metadata of an item, at the top level; return whether there is such an item.

        Args:
            item_id: Its number.
            metadata: What to merge; a field that is ``None`` is removed.

        Requests: those of `Memory.edit`.
        """
        return self._follow(editing_meta(self._name, item_id, metadata))  # type: ignore[no-any-return]

    def delete_items(self, item_ids: int | str | Iterable[int | str]) -> int:
        """Remove items; return how many there were. The others keep their numbers.

        Args:
            item_ids: Their numbers, or one number.

        Requests: those of ``delete_many``. Their vectors go by ``purge_expired``, an hour later or more.
        """
        return self._follow(deleting_items(self._name, item_ids))  # type: ignore[no-any-return]

    def delete(self) -> int:
        """Remove every item, and so the vault itself; return how many there were. Numbers go on from where they were.

        Requests: those of ``clear``.
        """
        return self._follow(deleting_all(self._name))  # type: ignore[no-any-return]

    def get_total_items(self, vault: str | None = None) -> int:
        """Return how many items there are.

        Args:
            vault: The vault; ``None`` for this one.

        Requests: those of ``count``.
        """
        return self._follow(counting(self._in(vault)))  # type: ignore[no-any-return]

    def get_vaults(self, vault: str | None = None) -> list[str]:
        """Return the names of the vaults within a vault, sorted by code point: of ``science/biology`` in ``science``.

        Args:
            vault: The vault to look into; ``None`` for this one, and ``""`` for the names of all that are in no other.

        Requests: those of ``list_namespaces``.
        """
        return self._follow(getting_vaults(self._in(vault)))  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> NoReturn:
        raise not_here(type(self).__name__, name)

    def __repr__(self) -> str:
        return f"VectorVault({self._store!r}, {self._name!r})"

    def _in(self, vault: str | None) -> str:
        return self._name if vault is None else vault

    def _follow(self, asking: Asking) -> Any:
        made = None
        while True:
            try:
                call = asking.send(made)
            except StopIteration as end:
                return end.value
            made = call(self._store)


def not_here(kind: str, name: str) -> Exception:
    """Return the error for an attribute that a vault has not."""
    reason = NOT_HERE.get(name)
    if reason is None:
        return AttributeError(f"{kind!r} object has no attribute {name!r}")
    return UnsupportedError(f"{name} is not there: {reason}")


def adding(
    vault: str, text: Any, meta: Any, name: Any, vector: Any = None, split: Any = False, split_size: Any = None
) -> Asking:
    """Return `VectorVault.add` and `VectorVault.add_item_with_vector`."""
    _check_text(text, "text")
    kept = _meta(meta, name)
    if vector is not None:
        packed(vector, "vector")
    size = _split_size(split_size) if as_bool(split, "split") else None
    note = None if size is None else {"split": size}
    number = (yield lambda store: store.use_namespace(vault).log_append(LOG, note)) - 1
    if vector is None:
        yield lambda store: store.use_namespace(vault).add(key_of(number), text, metadata=kept)
    else:
        yield lambda store: store.use_namespace(vault).memory.add(text, kept, key=key_of(number), vector=vector)
    return number


def adding_all(vault: str, text: Any, meta: Any, name: Any, split: Any, split_size: Any) -> Asking:
    """Return `VectorVault.add_n_save`."""
    number = yield from adding(vault, text, meta, name, None, split, split_size)
    yield from getting_vectors(vault)
    return number


def getting_vectors(vault: str) -> Asking:
    """Return `VectorVault.get_vectors`.

    An item without a record holds up the log, for its writer may be about to store it; not for ever, for it may have
    been killed, and the item may have been deleted. No clock is read: the times in the log are compared.
    """
    made, after, waiting = 0, 0, list[Entry]()
    while True:
        entries: list[Entry] = yield _reading(vault, after)
        if not entries:
            return made
        numbered = {key_of(entry.number - 1): entry for entry in entries}
        done, splits = dict[str, bool](), dict[int | None, list[str]]()
        for key, entry in numbered.items():
            splits.setdefault(_split_of(entry), []).append(key)
        for size, keys in splits.items():
            done |= yield _embedding(vault, keys, size)
        made += sum(done.values())
        waiting += (entry for key, entry in numbered.items() if key not in done)
        after, now = entries[-1].number, entries[-1].at
        if len(entries) < _AT_ONCE:
            late = (entry.number for entry in waiting if (now - entry.at).total_seconds() < GRACE)
            yield _trimming(vault, next(late, after + 1))
            return made


def _reading(vault: str, after: int, limit: int = _AT_ONCE) -> Callable[[Any], Any]:
    return lambda store: store.use_namespace(vault).log_read(LOG, after=after, limit=limit)


def _embedding(vault: str, keys: list[str], size: int | None) -> Callable[[Any], Any]:
    splitter = None if size is None else Splitter(size)
    return lambda store: store.use_namespace(vault).memory.embed(keys, split=splitter)


def _split_size(size: Any) -> int:
    try:
        return Splitter(size).size
    except InvalidValueError as error:
        raise type(error)(error.message.replace("size", "split_size", 1)) from None


def _split_of(entry: Entry) -> int | None:
    """Return the most characters of a part of an item, if it is to be split; what others have appended says nothing."""
    note = entry.value
    size = as_int(note.get("split")) if type(note) is dict else None
    return size if size is not None and SMALLEST <= size <= LARGEST else None


def _trimming(vault: str, before: int) -> Callable[[Any], Any]:
    return lambda store: store.use_namespace(vault).log_trim(LOG, before=before)


def getting_similar(vault: str, text: Any, n: int, include_distances: Any) -> Asking:
    """Return `VectorVault.get_similar`."""
    _check_text(text, "text")
    return getting_nearest(vault, text, n, include_distances)


def getting_nearest(vault: str, query: Any, n: int, include_distances: Any) -> Asking:
    """Return `VectorVault.get_items_by_vector`, for which a text will do as well."""
    with_distance = as_bool(include_distances, "include_distances")
    found = yield lambda store: store.use_namespace(vault).memory.search(query, n)
    return [_found(match, with_distance=with_distance) for match in found]


def getting_from_vaults(text: Any, n: int, vaults: Any) -> Asking:
    """Return `VectorVault.get_similar_from_vaults`."""

    def refusal() -> DataStoreError:
        return InvalidValueError(
            f"vaults is {kind_of(vaults)}; give a name, a list of names, or a dict of guaranteed places"
        )

    _check_text(text, "text")
    if is_a(vaults, str):
        places = {as_text(vaults): None}
    elif is_mapping(vaults):
        places = as_dict(vaults, refusal)
    else:
        places = dict.fromkeys(check_name(name, "vaults") for name in iterating(vaults, refusal))
    if not places:
        raise InvalidValueError("vaults is empty; give at least one")
    found = yield lambda store: store.memory.search_across(places, text, n)
    return [_found(match, with_distance=True) for match in found]


def getting_items(vault: str, ids: Any) -> Asking:
    """Return `VectorVault.get_items`."""
    keys = _keys(ids, "ids")
    found: dict[str, Record] = yield lambda store: store.use_namespace(vault).get_records(dict.fromkeys(keys))
    return [_item(found[key]) if key in found else None for key in keys]


def editing_item(vault: str, item_id: Any, new_text: Any) -> Asking:
    """Return `VectorVault.edit_item`.

    How an item is split is kept with its vector. Of one that has none yet the log knows.
    """
    _check_text(new_text, "new_text")
    key, size = key_of(item_id, "item_id"), None
    if (number := _number_of(key)) is not None:
        entries: list[Entry] = yield _reading(vault, number, 1)
        size = next((_split_of(entry) for entry in entries if entry.number == number + 1), None)
    splitter = None if size is None else Splitter(size)
    return (yield lambda store: store.use_namespace(vault).memory.edit(key, new_text, split=splitter))


def editing_meta(vault: str, item_id: Any, metadata: Any) -> Asking:
    """Return `VectorVault.edit_item_meta`."""
    key, kept = key_of(item_id, "item_id"), check_metadata(metadata)
    if kept is None:
        raise InvalidValueError("metadata is None; it must be a dict")
    return (yield lambda store: store.use_namespace(vault).memory.edit(key, metadata=kept))


def deleting_items(vault: str, item_ids: Any) -> Asking:
    """Return `VectorVault.delete_items`."""
    one = as_int(item_ids) is not None or is_a(item_ids, str)
    keys = _keys([item_ids] if one else item_ids, "item_ids")
    return (yield lambda store: store.use_namespace(vault).delete_many(keys))


def deleting_all(vault: str) -> Asking:
    """Return `VectorVault.delete`."""
    return (yield lambda store: store.use_namespace(vault).clear())


def counting(vault: str) -> Asking:
    """Return `VectorVault.get_total_items`."""
    return (yield lambda store: store.use_namespace(vault).count())


def getting_vaults(vault: Any) -> Asking:
    """Return `VectorVault.get_vaults`."""
    within = "" if is_a(vault, str) and as_text(vault) == "" else check_name(vault, "vault") + "/"
    names = yield lambda store: store.list_namespaces(within)
    return sorted({name[len(within) :].partition("/")[0] for name in names} - {""})


def key_of(number: Any, parameter: str = "item_id") -> str:
    """Return the key of an item; one that was stored by another call has a key of its own, and no number."""
    if is_a(number, str):
        return check_name(number, parameter)
    whole = as_int(number)
    if whole is None or not 0 <= whole < 10**_DIGITS:
        raise InvalidValueError(f"{parameter} is {shown(number)}; it must be the number of an item, from 0 on")
    return f"{whole:0{_DIGITS}}"


def _number_of(key: str) -> int | None:
    """Return the number of the item under a key, if it has one."""
    return int(key) if len(key) == _DIGITS and key.isascii() and key.isdigit() else None


def _keys(ids: Any, parameter: str) -> list[str]:
    def refusal() -> DataStoreError:
        return InvalidValueError(f"{parameter} is {kind_of(ids)}; it must be a list of numbers of items")

    if is_a(ids, str):
        raise refusal()
    return [key_of(one, f"{parameter}[{place}]") for place, one in enumerate(iterating(ids, refusal))]


def _check_text(text: Any, parameter: str) -> None:
    if not is_a(text, str):
        raise InvalidValueError(f"{parameter} is {kind_of(text)}; it must be text")
    checked(text, parameter)


def _meta(meta: Any, name: Any) -> dict[str, Any] | None:
    try:
        kept = check_metadata(meta)
    except InvalidValueError as error:
        raise type(error)(error.message.replace("metadata", "meta", 1)) from None
    if name is None:
        return kept
    if not is_a(name, str):
        raise InvalidValueError(f"name is {kind_of(name)}; it must be text")
    return check_metadata({**(kept or {}), "name": as_text(name)})


def _item(record: Record) -> Item:
    number = _number_of(record.key)
    item_id = record.key if number is None else number
    metadata = {
        "name": f"{record.namespace}-{item_id}",
        "vault": record.namespace,
        "created": record.created_at.isoformat(),
        "updated": record.updated_at.isoformat(),
        "time": record.created_at.timestamp(),
        **record.metadata,
        "item_id": item_id,
    }
    return {"data": record.value, "metadata": metadata}


def _found(match: Any, *, with_distance: bool) -> Item:
    item = _item(match.record)
    if match.part is not None:
        item["metadata"]["part"] = match.part._asdict()
    # Of vectors of length 1, as the hosted product has it: 0 for the same direction, 2 for the opposite one.
    return {**item, "distance": math.sqrt(max(0.0, 2 - 2 * match.score))} if with_distance else item
