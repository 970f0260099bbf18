"""A store that is served with TLS: whom the client speaks to, and whom it sends no token."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from contextlib import contextmanager

import pytest
import trustme

import datastore
from datastore import ConfigurationError
from datastore.server import serve
from tests.patience import PATIENCE


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@contextmanager
def served_with_tls(directory, certificate):
    """Yield the URL of a server with a certificate, a token, and what the server was asked."""
    certificate.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    events, where = list[datastore.CallEvent](), list[str]()
    listens, until = threading.Event(), threading.Event()

    def ready(url):
        where.append(url)
        listens.set()

    with datastore.connect(f"sqlite:///{directory}/agents.db", on_call=events.append) as store:
        options = {"host": "localhost", "port": 0, "certfile": directory / "server.pem"}
        server = threading.Thread(target=serve, args=(store,), kwargs={**options, "ready": ready, "until": until})
        server.start()
        try:
            assert listens.wait(PATIENCE)
            yield where[0], store.tokens.mint("ann", "tester"), events
        finally:
            until.set()
            server.join(PATIENCE)
            assert not server.is_alive()


def test_calls_are_made_over_tls(authority, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with served_with_tls(tmp_path, authority.issue_cert("localhost")) as (url, token, _):
        assert url.startswith("https://localhost:")
        with datastore.connect(f"{url}?cafile={tmp_path}/ca.pem", token=token) as data_store:
            revision = data_store.set("k", {"n": 1})
            assert data_store.get_record("k").revision == revision
            assert [record.key for record in data_store.iter_records()] == ["k"]


@pytest.mark.parametrize("name", ["another.example", "localhost"])
def test_no_token_is_sent_to_whoever_cannot_be_trusted(authority, tmp_path, name):
    """A certificate for another name, and one of an authority that nobody knows."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert(name)
    trusted = f"?cafile={tmp_path}/ca.pem" if name != "localhost" else ""
    with served_with_tls(tmp_path, certificate) as (url, token, events):
        with pytest.raises(ConfigurationError, match="certificate of localhost:") as refused:
            datastore.connect(f"{url}{trusted}", token=token, retry_seconds=0)
        assert token not in str(refused.value)
        assert events == []


def test_plain_http_is_not_answered_where_tls_is_spoken(authority, tmp_path):
    with served_with_tls(tmp_path, authority.issue_cert("localhost")) as (url, token, events):
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("localhost", port), timeout=PATIENCE) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert not connection.recv(1_000).startswith(b"HTTP/1.1 2")
        with pytest.raises(datastore.DataStoreError):
            datastore.connect(f"http://127.0.0.1:{port}", token=token, retry_seconds=0, max_seconds=10)
        assert events == []


def test_old_versions_of_tls_are_refused(authority, tmp_path):
    with served_with_tls(tmp_path, authority.issue_cert("localhost")) as (url, _, _):
        port = int(url.rpartition(":")[2])

        def hello(newest):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            authority.configure_trust(context)
            if newest is not None:
                context.set_ciphers("ALL:@SECLEVEL=0")  # with it OpenSSL itself would offer the old version
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    context.minimum_version = context.maximum_version = newest
            with (
                socket.create_connection(("localhost", port), timeout=PATIENCE) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as connection,
            ):
                return connection.version()

        assert hello(None) in ("TLSv1.2", "TLSv1.3")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            hello(ssl.TLSVersion.TLSv1_1)
