"""Whether an answer of a server is whole.

A proxy, a load balancer or a connection that breaks can cut an answer short, or put another one in its place: HTML with
status 200, JSON without the members that belong there. None of it says anything about what is stored. Such an answer is
a lost one: a `BackendUnavailableError`, so that the store asks again where that is safe.
"""

from __future__ import annotations

from typing import Any, NoReturn

from datastore.errors import BackendUnavailableError


def broken(backend: str, what: str) -> NoReturn:
    """Raise the error for an answer that is not whole.

    Args:
        backend: The database's name.
        what: What is wrong with it; nothing of the answer itself, which may hold values.
    """
    raise BackendUnavailableError(f"the server's answer is incomplete or wrong: {what}", backend=backend)


def member(answer: Any, name: str, kind: type | tuple[type, ...], backend: str) -> Any:
    """Return a member of an answer that is an object.

    Raises:
        BackendUnavailableError: If the answer is no object, or has no such member of that kind.
    """
    if type(answer) is not dict:
        broken(backend, f"it is {type(answer).__name__}, and not an object")
    if name not in answer:
        broken(backend, f"it has no {name!r}")
    value = answer[name]
    if not isinstance(value, kind):
        broken(backend, f"{name!r} is {type(value).__name__}")
    return value


def one_each(answers: Any, asked: int, backend: str) -> list[Any]:
    """Return the answers to a batch.

    Raises:
        BackendUnavailableError: If they are no list, or not one for each that was asked for.
    """
    if type(answers) is not list or len(answers) != asked:
        broken(backend, f"there is not one for each of {asked}")
    found: list[Any] = answers
    return found
