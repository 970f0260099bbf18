"""``rediss://``: a server whose certificate is trusted is used, and no other one."""

import contextlib
import socket
import ssl
import threading

import pytest
import trustme

import datastore
from datastore import ConfigurationError
from tests.servers import redis
from tests.servers.processes import HOST
from tests.servers.tls import server_without_tls, untrusted_server


@contextlib.contextmanager
def in_front_of(port, certificate):
    """Yield the port of a relay to a server: what comes in by TLS goes on as it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    def carry(source, sink):
        with contextlib.suppress(OSError, ValueError):
            while data := source.recv(65_536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def serve(listener):
        with contextlib.suppress(OSError):
            while True:
                outside, inside = listener.accept()[0], socket.create_connection((HOST, port))
                outside = context.wrap_socket(outside, server_side=True)
                for pair in ((outside, inside), (inside, outside)):
                    threading.Thread(target=carry, args=pair, daemon=True).start()

    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.server("redis")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the relay's own
def test_a_server_with_a_trusted_certificate_is_used(url, tmp_path, monkeypatch):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with in_front_of(redis.server().port, authority.issue_cert("localhost")) as port:
        with datastore.connect(f"rediss://localhost:{port}/0/tls") as store:
            assert store.agent("u", "a").increment("k") == 1
        with pytest.raises(ConfigurationError, match=r"certificate of 127\.0\.0\.1"):
            datastore.connect(f"rediss://127.0.0.1:{port}/0/tls")


def test_a_server_whose_certificate_nobody_trusts_is_refused(tmp_path):
    with (
        untrusted_server(tmp_path) as port,
        pytest.raises(ConfigurationError, match=r"certificate of localhost:\d+ could not be verified.*SSL_CERT_FILE"),
    ):
        datastore.connect(f"rediss://localhost:{port}", retry_seconds=0)


def test_a_server_without_tls_is_said_to_be_one():
    with server_without_tls() as port, pytest.raises(ConfigurationError, match="does not speak TLS"):
        datastore.connect(f"rediss://127.0.0.1:{port}", retry_seconds=0)
