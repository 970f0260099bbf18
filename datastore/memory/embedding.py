"""The host's embedder: a function that makes vectors of texts. It is called in batches, and outside every lock."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from datastore.adapters.batching import batches
from datastore.arguments import as_int, as_text, check_name, is_a, iterating, shown
from datastore.calls.steps import Steps
from datastore.errors import ConfigurationError, DataStoreError, EmbedderError, InvalidValueError, kind_of
from datastore.ids import MAX_NAME_BYTES
from datastore.memory.splitting import Span, Splitter
from datastore.memory.vectors import MOST_DIMENSIONS, Made, check_fits, packed

Vectors: TypeAlias = Sequence[Any]
"""As many as there were texts, in their order; an array of numpy's with a row for each is one."""
Function: TypeAlias = Callable[[list[str]], Vectors] | Callable[[list[str]], Awaitable[Vectors]]

NOTHING: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Embedder:
    """What makes vectors of texts, for ``data_store.memory``: the host gives it to `connect`.

    Attributes:
        function: Takes a list of texts and returns a vector for each, in order: a function or a coroutine function. It
            may be called from several threads at once.
        dimensions: How many numbers a vector has.
        name: What tells this model from others. It is kept with the vectors: those of different models are not alike
            in anything, so a namespace has those of one.
        batch: The most texts that the function is given at once.
        splitter: How texts are split that are too long for the model, which would leave out the rest; ``None`` to give
            it whole texts.
    """

    function: Function
    dimensions: int
    name: str
    batch: int = 64
    splitter: Splitter | None = None

    def __post_init__(self) -> None:
        """Check what was given."""
        if not callable(self.function):
            raise ConfigurationError(f"function is {kind_of(self.function)}; give one from a list of texts to vectors")
        for parameter, most in (("dimensions", MOST_DIMENSIONS), ("batch", 100_000)):
            number = as_int(getattr(self, parameter))
            if number is None or not 0 < number <= most:
                raise ConfigurationError(
                    f"{parameter} is {shown(getattr(self, parameter))}; it must be an int from 1 to {most:,}"
                )
        if self.splitter is not None and not is_a(self.splitter, Splitter):
            raise ConfigurationError(f"splitter is {kind_of(self.splitter)}; give a datastore.Splitter, or None")
        if not is_a(self.name, str) or not 0 < len(check_name(self.name, "name").encode()) <= MAX_NAME_BYTES:
            raise ConfigurationError(f"name is {shown(self.name)}; give text of 1 to {MAX_NAME_BYTES} bytes")
        object.__setattr__(self, "name", as_text(self.name))

    def __call__(self, texts: list[str]) -> Vectors:
        """Call the function in this thread; what a coroutine function makes is awaited on a loop of its own.

        Raises:
            EmbedderError: If it fails, whatever it raises.
        """
        try:
            made = self.function(texts)
            return _waited_for(made) if inspect.isawaitable(made) else made
        except Exception as error:
            raise _failed(error) from error

    @property
    def awaited(self) -> Callable[[list[str]], Any]:
        """The function for those who await: a coroutine function, if the host's is one."""
        if not inspect.iscoroutinefunction(self.function):
            return self.__call__
        function = self.function

        async def called(texts: list[str]) -> Vectors:
            try:
                return await function(texts)  # type: ignore[no-any-return]  # it is checked when it has come
            except Exception as error:
                raise _failed(error) from error

        return called


def embedding_parts(
    embedder: Embedder, texts: Sequence[str], splits: Sequence[Splitter | None], known: Mapping[str, bytes] = NOTHING
) -> Steps:
    """Return the steps that make the vectors of texts; their result: a `Made` for each, in order.

    Args:
        embedder: The host's.
        texts: The texts.
        splits: How each is split; ``None`` as the embedder says.
        known: The vectors of parts that this embedder has made before, by their texts.

    Raises:
        EmbedderError: As `embedding`; also if the splitter fails.
        ValueTooLargeError: If a text has more parts than can be kept.
    """
    parts = list[Sequence[Span]]()
    for text, split in zip(texts, splits, strict=True):
        splitter = split or embedder.splitter
        spans = () if splitter is None else splitter.parts(text)
        check_fits(len(spans), embedder.dimensions)
        parts.append(spans)
    pieces = [
        text[start:end]
        for text, spans in zip(texts, parts, strict=True)
        for start, end in spans or [(0, len(text))]
    ]  # fmt: skip
    made = iter((yield from embedding(embedder, [piece for piece in pieces if piece not in known])))
    vectors = iter([known[piece] if piece in known else next(made) for piece in pieces])
    return [
        Made(b"".join(islice(vectors, len(spans) or 1)), spans, split)
        for spans, split in zip(parts, splits, strict=True)
    ]


def embedding(embedder: Embedder, texts: Sequence[str]) -> Steps:
    """Return the steps that make a vector of each text, and return them packed, in order.

    Raises:
        EmbedderError: If what the function returns are not as many vectors as texts, or one cannot be taken.
    """
    vectors = list[bytes]()
    for some in batches(texts, embedder.batch):
        made = yield (list(some),)
        begin, found = len(vectors), _listed(made)
        if len(found) != len(some):
            raise EmbedderError(f"the embedder has returned {len(found):,} vectors for {len(some):,} texts")
        for place, vector in enumerate(found, begin):
            try:
                vectors.append(packed(vector, f"vectors[{place}]", embedder.dimensions))
            except InvalidValueError as error:
                raise EmbedderError(f"the embedder has returned what is no vector: {error.message}") from None
    return vectors


def needed(embedder: Any) -> Embedder:
    """Return the embedder of a store.

    Raises:
        ConfigurationError: If it has none.
    """
    if embedder is None:
        error = ConfigurationError(
            "this store has no embedder: give one to datastore.connect(embedder=datastore.Embedder(...)), or a vector"
        )
        error.by_the_store = True
        raise error
    return embedder  # type: ignore[no-any-return]  # `DataStore` has checked it


def _listed(made: object) -> list[Any]:
    def refusal() -> DataStoreError:
        return EmbedderError(f"the embedder has returned {kind_of(made)}; it must return a list of vectors")

    if is_a(made, str) or is_a(made, dict):
        raise refusal()
    return list(iterating(cast(Iterable[Any], made), refusal))


def _failed(error: Exception) -> EmbedderError:
    return EmbedderError(f"the embedder failed with {type(error).__name__}; see the error that it raised")


def _waited_for(made: Awaitable[Vectors]) -> Vectors:
    import asyncio  # imported here, with the pool, because few embedders are awaited, and every client has this module
    from concurrent.futures import ThreadPoolExecutor

    async def awaited() -> Vectors:
        return await made

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(awaited())
    # A loop cannot run within another one. The caller blocks its loop in any case, by a call that is not awaited.
    coroutine: Coroutine[Any, Any, Vectors] = awaited()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
