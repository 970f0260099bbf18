"""What a client raises because of TLS is told from an outage, however deep inside the client it began."""

import ssl

import pytest

from datastore import ConfigurationError
from datastore.tls import refusal


def not_trusted():
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def no_tls():
    error = ssl.SSLError("wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


def alone(error):
    return error


def as_a_cause(error):
    """As of ``raise ... from error`` when nothing else is being handled."""
    outer = ConnectionError("the client's own")
    outer.__cause__ = error
    return outer


def as_a_context(error):
    """As of ``raise ...`` while the error is handled."""
    outer = ConnectionError("the client's own")
    outer.__context__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "words"), [(not_trusted, r"\(self-signed certificate\).*\$CERTIFICATES"), (no_tls, "does not speak TLS")]
)
@pytest.mark.parametrize("chained", [alone, as_a_cause, as_a_context])
def test_what_is_wrong_is_found_however_the_client_hands_it_on(error, words, chained):
    for caught in (chained(error()), as_a_context(chained(error())), as_a_cause(chained(error()))):
        refused = refusal(caught, "https://db.example", "CERTIFICATES", "couchdb")
        assert isinstance(refused, ConfigurationError)
        with pytest.raises(ConfigurationError, match=f"https://db.example.*{words}"):
            raise refused


@pytest.mark.parametrize("chained", [alone, as_a_cause, as_a_context])
@pytest.mark.parametrize("error", [ssl.SSLError("the connection was closed"), ConnectionResetError("reset")])
def test_everything_else_is_an_outage(error, chained):
    """An error of TLS as well that a library has made, and not OpenSSL: it has no ``reason``."""
    assert refusal(chained(error), "https://db.example", "CERTIFICATES", "couchdb") is None
