"""A server that writes raw bytes to its sockets: for responses that no HTTP library sends."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

# Seconds after which a script ends, so that a client that waits too long fails its test and does not block it.
_LONGEST = 10.0


class Certificate(NamedTuple):
    """A certificate for 127.0.0.1 and pinecone.test that no authority has signed.

    Attributes:
        path: The certificate as a PEM file, to be trusted as a CA bundle.
        server: The context of a server that presents the certificate.
    """

    path: str
    server: ssl.SSLContext


class Wire:
    """A server that responds to each request with the next script, and repeats the last one.

    As a context manager, it listens on a free port inside the block.

    Args:
        scripts: The bytes of a response, or functions that get the socket and this server.
        tls: The certificate, for a server that speaks TLS.

    Attributes:
        url: The URL of the server.
        requests: The requests so far, as they were received: head and body.
        scripts: The scripts that are left.
        closing: Set when the server stops, so that scripts can end.
    """

    def __init__(self, *scripts: Script, tls: Certificate | None = None) -> None:
        """Bind to a free port."""
        self.scripts = list(scripts)
        self.requests: list[bytes] = []
        self.closing = threading.Event()
        wire = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                if tls is None:
                    wire.serve(self.request)
                else:
                    with tls.server.wrap_socket(self.request, server_side=True) as encrypted:
                        wire.serve(encrypted)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Ignore clients that close the connection early: some tests require that."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def serve(self, sock: socket.socket) -> None:
        """Read a request from a socket, and run the next script."""
        with sock.makefile("rb") as file:
            request = _read_request(file)
        if not request:
            return
        self.requests.append(request)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if callable(script):
            script(sock, self)
        else:
            sock.sendall(script)

    def count(self, method: str) -> int:
        """Return the number of requests with an HTTP method."""
        return sum(request.startswith(method.encode()) for request in self.requests)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


Script = bytes | Callable[[socket.socket, Wire], object]


def http_response(body: bytes = b"", status: str = "200 OK", **headers: object) -> bytes:
    """Return the bytes of a response.

    Args:
        body: The body.
        status: The status code and the reason.
        headers: Headers to add or replace, with ``_`` for ``-``; None removes one.
    """
    fields: dict[str, object] = {"Content-Length": len(body), "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def hang(sock: socket.socket, wire: Wire) -> None:
    """Do not respond."""
    wire.closing.wait(_LONGEST)


def hang_up(sock: socket.socket, wire: Wire) -> None:
    """Close the connection without a response."""


def drip(start: bytes, unit: bytes = b" ") -> Script:
    """Return a script that sends the start of a response, and then a small unit every 20 ms."""

    def script(sock: socket.socket, wire: Wire) -> None:
        end = time.monotonic() + _LONGEST
        sock.sendall(start)
        with contextlib.suppress(OSError):
            while not wire.closing.wait(0.02) and time.monotonic() < end:
                sock.sendall(unit)

    return script


def flood(start: bytes, unit: bytes) -> Script:
    """Return a script that sends the start of a response, and then units as fast as the client reads them."""

    def script(sock: socket.socket, wire: Wire) -> None:
        end = time.monotonic() + _LONGEST
        with contextlib.suppress(OSError):
            sock.sendall(start)
            while not wire.closing.is_set() and time.monotonic() < end:
                sock.sendall(unit)

    return script


def tunnel(certificate: Certificate, *scripts: Script) -> Script:
    """Return a script for a proxy: it accepts a CONNECT request, and the scripts respond inside the tunnel."""

    def script(sock: socket.socket, wire: Wire) -> None:
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with certificate.server.wrap_socket(sock, server_side=True) as inner:
            wire.scripts = list(scripts)
            wire.serve(inner)

    return script


def make_certificate(folder: Path) -> Certificate:
    """Make a certificate and its key in a folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pinecone.test")])
    now = datetime.datetime.now(datetime.UTC)
    hosts = [x509.DNSName("pinecone.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate_path, key_path)
    return Certificate(str(certificate_path), server)


def _read_request(file: IO[bytes]) -> bytes:
    head = b""
    while (line := file.readline()) not in (b"\r\n", b""):
        head += line
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            head += file.read(int(line.partition(b":")[2]))
    return head
