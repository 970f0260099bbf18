"""Where a server listens, as a URL says it, and how a socket to it is opened."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from datastore.errors import ConfigurationError
from datastore.urls import Url, boolean

if TYPE_CHECKING:
    from ssl import SSLContext

_LOOPBACK = re.compile(r"(?i)localhost|127(\.\d{1,3}){3}|::1")
_HOST = re.compile(
    r"\[(?P<six>[0-9A-Fa-f:.%]+)\](:(?P<port_of_six>\d{1,5}))?|(?P<host>[^:\[\]\s]+)(:(?P<port>\d{1,5}))?"
)
_ROOT = re.compile(r"(/[A-Za-z0-9._~-]+)*")


class Address:
    """Where a server listens.

    Attributes:
        place: For messages.
        host: The value of the header ``Host``.
        root: What every path begins with, where the server is mounted in another application.

    Args:
        url: ``http+unix:///path/of.sock``, ``http://127.0.0.1:8000``, or ``https://host``. Its parameters: ``root``,
            for a socket on which the server is mounted below a path (in the other forms that is the URL's own path);
            ``cafile``, a file with the certificates to trust instead of the system's; ``cleartext=true`` for ``http://``
            to another machine.

    Raises:
        ConfigurationError: If it is none of these.
    """

    def __init__(self, url: Url) -> None:
        scheme = url.scheme
        if url.user is not None or url.password is not None:
            raise ConfigurationError("a URL is shown in logs and lists of processes; give the token with token_file=")
        self._path: str | None = None
        self._context: SSLContext | None = None
        if scheme == "http+unix":
            if url.host or url.path in ("", "/") or "\0" in url.path:
                raise ConfigurationError("the URL of a Unix socket is its absolute path: http+unix:///run/store.sock")
            self._path, self.host, root = url.path, "localhost", url.parameter("root", str, "")
            self.place = f"the socket {url.path}"
        else:
            match = _HOST.fullmatch(url.host)
            if match is None or not url.host.isascii():
                raise ConfigurationError(f"the {scheme} URL needs a host, and perhaps a port: {scheme}://host:8000")
            self._name = match["six"] or match["host"]
            self._port = int(match["port_of_six"] or match["port"] or (443 if scheme == "https" else 80))
            if not 1 <= self._port <= 65535:
                raise ConfigurationError(f"the {scheme} URL has the port {self._port}; it must be from 1 to 65535")
            self.host, root, self.place = url.host, url.path, url.host
            self._check_safe(url, scheme)
        self.root = root.rstrip("/")
        if not _ROOT.fullmatch(self.root):
            raise ConfigurationError(
                "the path below which the server is mounted may have only letters, digits and -._~"
            )
        url.check_all_taken()

    def _check_safe(self, url: Url, scheme: str) -> None:
        if scheme == "https":
            import ssl  # imported here, because it is slow to import

            cafile = url.parameter("cafile", str, "") or None
            try:
                self._context = ssl.create_default_context(cafile=cafile)
            except OSError as error:
                raise ConfigurationError(f"the parameter 'cafile' names no file with certificates ({error})") from error
        elif not url.parameter("cleartext", boolean, False) and not _LOOPBACK.fullmatch(self._name):
            raise ConfigurationError(
                f"http:// sends the token in clear text to {self._name}, which is not this machine: write https://. If "
                "nobody can read along on that network, say cleartext=True"
            )

    def open(self, timeout: float | None) -> socket.socket:
        """Open a socket to the server.

        Args:
            timeout: Seconds to wait at most; ``None`` for as long as it takes.

        Raises:
            OSError: If nobody listens there, or it takes too long; nothing was sent.
        """
        if self._path is not None:
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                opened.settimeout(timeout)
                opened.connect(self._path)
            except BaseException:
                opened.close()
                raise
            return opened
        opened = socket.create_connection((self._name, self._port), timeout)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return opened if self._context is None else self._context.wrap_socket(opened, server_hostname=self._name)
        except BaseException:
            opened.close()
            raise
