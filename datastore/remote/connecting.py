"""Opens the store of the agent that a token is for."""

from __future__ import annotations

from typing import Any

from datastore.errors import ConfigurationError
from datastore.grants import Grants
from datastore.guarded import Guard
from datastore.ids import encode_name
from datastore.remote.addresses import Address
from datastore.remote.agent import RemoteAgentDataStore
from datastore.remote.answers import ask, ask_over
from datastore.remote.handover import secret
from datastore.remote.leases import take_there
from datastore.remote.served import ServedBackend, ServedCore
from datastore.remote.transport import Transport
from datastore.scope import Scope, scope_of
from datastore.urls import Url
from datastore.wire.calls import Call, Result

_WHOAMI = Call("whoami", {}, Result.VALUE, False, None, "")


def connect_remote(
    url: Url,
    *,
    token: object,
    token_file: object,
    token_fd: object,
    retry_seconds: float,
    max_seconds: float,
    warn_on_loop: bool,
) -> RemoteAgentDataStore:
    """Open the store that a server serves, for the user and the agent that a token is for.

    Raises:
        ConfigurationError: If the URL or the token is wrong, or there is no server of this kind.
        InvalidTokenError: If the server does not know the token.
        BackendUnavailableError, PermissionDeniedError, DeadlineExceededError: As every call.

    Requests: 1.
    """
    address = Address(url)
    transport = Transport(
        address, secret(token, token_file, token_fd), retry_seconds=retry_seconds, warn_on_loop=warn_on_loop
    )
    try:
        told: dict[str, Any] = ask_over(transport, _WHOAMI, b"{}", max_seconds)
        try:
            user_id, agent, namespace = told["userId"], told["agent"], told["namespace"]
            encoded, grants = encode_name(user_id, "user_id"), told["grants"]
            guard = None if grants is None else Guard(encoded, Grants(encoded, grants))
            backend = ServedBackend(told["backend"], transport)
        except (LookupError, TypeError) as error:
            raise ConfigurationError(f"what answers at {address.place} is no server of this kind") from error
        transport.most_bytes = told.get("bodyBytes")
        core = ServedCore(
            backend, guard, max_seconds=max_seconds, retry_seconds=retry_seconds, warn_on_loop=warn_on_loop
        )
        core.takes_leases = take_there
        return RemoteAgentDataStore(Scope(core, user_id, agent, namespace))
    except BaseException:
        transport.close()
        raise


def whoami(data_store: RemoteAgentDataStore) -> dict[str, Any]:
    """Return what the server says of the token: its user, agent, namespace, grants, calls, limits.

    Args:
        data_store: The store of the token's agent.

    Raises:
        InvalidTokenError: If the token is not valid any more.
        BackendUnavailableError, DeadlineExceededError: As every call.

    Requests: 1.
    """
    told: dict[str, Any] = ask(scope_of(data_store).core, _WHOAMI, b"{}")
    return told
