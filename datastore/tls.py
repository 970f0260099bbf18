"""Errors about the TLS of a server: they are not outages, and a retry does not help."""

from __future__ import annotations

import ssl

from datastore.errors import ConfigurationError

_NO_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


def refusal(error: BaseException, place: str, variable: str, backend: str) -> ConfigurationError | None:
    """Return the error for a certificate that is not trusted, or for a server without TLS; ``None`` for all else.

    Args:
        error: What the client raised; its causes are examined, too.
        place: The server.
        variable: The environment variable that names the certificates which the client trusts.
        backend: The name of the adapter.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return untrusted(place, getattr(cause, "verify_message", "no more is known"), variable, backend)
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None) in _NO_TLS:
            return ConfigurationError(f"{place} does not speak TLS; check the scheme and the port", backend=backend)
        cause = cause.__cause__ or cause.__context__
    return None


def untrusted(place: str, why: str, variable: str, backend: str) -> ConfigurationError:
    """Return the error for a certificate that is not trusted."""
    return ConfigurationError(
        f"the certificate of {place} could not be verified ({why}). If an authority of your own has signed it, name "
        f"the file with its certificate in ${variable}; if not, something between here and the server reads along",
        backend=backend,
    )
