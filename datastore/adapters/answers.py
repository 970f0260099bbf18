"""Whether a server's answer is complete.

A proxy, a load balancer or a broken connection can cut an answer short, or replace it with another one: HTML with
status 200, or JSON without the expected members. Such an answer says nothing about what is stored, and counts as lost.
It raises `BackendUnavailableError`, so that the store asks again where that is safe.
"""

from __future__ import annotations

from typing import Any, NoReturn

from datastore.errors import BackendUnavailableError


def broken(backend: str, what: str) -> NoReturn:
    """Raise the error for an answer that is incomplete or wrong.

    Args:
        backend: The database's name.
        what: What is wrong with it, without any part of the answer itself, which may hold values.

    Raises:
        BackendUnavailableError: Always.
    """
    raise BackendUnavailableError(f"the server's answer is incomplete or wrong: {what}", backend=backend)


def member(answer: Any, name: str, kind: type | tuple[type, ...], backend: str) -> Any:
    """Return a member of an answer, which must be an object.

    Args:
        answer: The answer.
        name: The name of the member.
        kind: The type or the types that it may have.
        backend: The database's name.

    Raises:
        BackendUnavailableError: If the answer is not an object, or has no such member of that type.
    """
    if type(answer) is not dict:
        broken(backend, f"it is of the type {type(answer).__name__}, not an object")
    if name not in answer:
        broken(backend, f"it has no {name!r}")
    value = answer[name]
    if not isinstance(value, kind):
        broken(backend, f"{name!r} is of the type {type(value).__name__}")
    return value


def one_each(answers: Any, asked: int, backend: str) -> list[Any]:
    """Return the answers to a batch, after checking that they are a list with one for each request of the batch.

    Args:
        answers: The answers.
        asked: How many there must be.
        backend: The database's name.

    Raises:
        BackendUnavailableError: If they are not.
    """
    if type(answers) is not list or len(answers) != asked:
        broken(backend, f"it does not have one entry for each of {asked}")
    found: list[Any] = answers
    return found
