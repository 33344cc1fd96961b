"""Proxies and certificates that the environment names: used, or an error; never passed over."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from themis_core import EngineError, Generation, Request, SpecError
from themis_core.testing.server import ScriptedServer
from themis_http.environment import proxy_for
from themis_plugin_openai.engines import OpenAIChat

pytestmark = pytest.mark.usefixtures("carrier")
Ask = Callable[..., list[Generation | EngineError]]
RequestOf = Callable[..., Request]

PASSWORD = "s3cret/pass word"
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE")
QUOTED = "s3cret%2Fpass%20word"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{kind}_proxy", raising=False)
        monkeypatch.delenv(f"{kind}_PROXY".upper(), raising=False)
    for name in (*BUNDLES, "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "address", "url"),
    [
        ({"HTTP_PROXY": "http://p:3128"}, "http://h/v1", "http://p:3128"),
        ({"http_proxy": "http://p:3128"}, "http://h/v1", "http://p:3128"),
        ({"http_proxy": "http://low:1", "HTTP_PROXY": "http://up:2"}, "http://h/v1", "http://low:1"),
        ({"HTTPS_PROXY": "http://p:3128/"}, "https://h/v1", "http://p:3128"),
        ({"HTTPS_PROXY": "p:3128"}, "https://h/v1", "http://p:3128"),
        ({"HTTPS_PROXY": "http://p"}, "https://h/v1", "http://p:80"),
        ({"HTTPS_PROXY": "HTTP://[::1]:3128"}, "https://h/v1", "http://[::1]:3128"),
        ({"ALL_PROXY": "http://p:1"}, "https://h/v1", "http://p:1"),
        ({"all_proxy": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "https://h/v1", "http://q:2"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://h/v1", None),
        ({"HTTP_PROXY": ""}, "http://h/v1", None),
        ({}, "http://h/v1", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "h"}, "http://h/v1", None),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "other, .example.org"}, "http://api.example.org/v1", None),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "example.org"}, "http://api.example.org/v1", None),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "*.example.org"}, "http://api.Example.org/v1", None),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "example.org"}, "http://badexample.org/v1", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "*"}, "http://h/v1", None),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "h:8000"}, "http://h:8000/v1", None),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "h:8000"}, "http://h:9000/v1", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "10.0.0.0/8"}, "http://10.1.2.3/v1", None),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "10.0.0.0/8"}, "http://11.1.2.3/v1", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "::1"}, "http://[::1]:8000/v1", None),
        ({"HTTP_PROXY": "socks5://p:1", "no_proxy": "h"}, "http://h/v1", None),
        # A web server's process: anybody who calls it may set HTTP_PROXY by a header.
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "http://h/v1", None),
    ],
)
def test_the_environment_says_which_proxy(
    environment: dict[str, str], address: str, url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(address)
    assert (None if found is None else found.url) == url


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (f"https://me:{QUOTED}@p:3128", "a proxy that speaks https:"),
        (f"socks5://me:{QUOTED}@p:1080", "a proxy that speaks socks5:"),
        (f"socks5h://me:{QUOTED}@p:1080", "a proxy that speaks socks5h:"),
        (f"socks4://me:{QUOTED}@p", "a proxy that speaks socks4:"),
        (f"ftp://me:{QUOTED}@p", "a proxy that speaks ftp:"),
        (f"http://me:{QUOTED}@p:99999", "no address"),
        (f"http://me:{QUOTED}@", "no address"),
        (f"http://me:{PASSWORD}@p:3128", "no address"),
        (f"me:{QUOTED}@p:port", "no address"),
        ("http://[::1", "no address"),
        ("http://p:3128/path", "no address"),
    ],
)
def test_a_proxy_that_can_not_be_used_is_an_error_before_any_call(
    name: str, value: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SpecError) as caught:
        OpenAIChat(trust_env=True).check(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{name} names {words}")
    assert "list the server's host in NO_PROXY" in message
    assert "s3cret" not in message
    OpenAIChat().check(tmp_path)  # the control: who did not ask for a proxy needs none


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxys_password_is_sent_and_what_it_repeats_of_it_is_not_shown(
    scheme: str, ask: Ask, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"message": f"no entry for me:{PASSWORD} {QUOTED} bWU6czNjcmV0L3Bhc3Mgd29yZA=="}
    with ScriptedServer({"faults": [{"status": 407, "error": said}]}) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://me:{QUOTED}@{proxy.origin.removeprefix('http://')}")
        (failure,) = ask(OpenAIChat(base_url=f"{scheme}://h.invalid/v1", trust_env=True), request_of())
        (asked,) = proxy.requests()
    assert asked.headers["proxy-authorization"] == "Basic bWU6czNjcmV0L3Bhc3Mgd29yZA=="
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable) == ("proxy", False)
    for form in (PASSWORD, QUOTED, "bWU6czNj", "s3cret"):
        assert form not in f"{failure} {failure!r} {failure.__cause__!r}"


def test_a_proxy_that_is_not_there_is_said_to_be_the_proxy(
    ask: Ask, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch, server: ScriptedServer
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    (failure,) = ask(OpenAIChat(base_url=server.base_url, trust_env=True), request_of())
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable) == ("proxy", True)
    assert failure.message.startswith("the proxy can't be reached")
    assert server.count == 0


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts; its key stands beside it."""
    return made_certificate(tmp_path_factory.mktemp("certificates"), authority=False)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, of an authority: what `openssl req -x509` makes unless it is told otherwise."""
    return made_certificate(tmp_path_factory.mktemp("authority"), authority=True)


def made_certificate(folder: Path, authority: bool) -> Path:
    command = "req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    command += f" -addext basicConstraints=critical,CA:{str(authority).upper()}"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", *command.split(), *files], check=True, capture_output=True)
    return folder / "cert.pem"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("SSL_CERT_FILE", None, "SSL_CERT_FILE names {path}, which can't be read: No such file or directory"),
        ("SSL_CERT_FILE", "", "SSL_CERT_FILE names {path}, which holds no certificate in PEM form"),
        ("SSL_CERT_FILE", "no certificate", "SSL_CERT_FILE names {path}, which holds no certificate in PEM form"),
        (
            "SSL_CERT_FILE",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
            "SSL_CERT_FILE names {path}",
        ),
        ("SSL_CERT_FILE", "folder", "SSL_CERT_FILE names {path}, which can't be read: Is a directory"),
        ("SSL_CERT_DIR", None, "SSL_CERT_DIR names {path}, in which there are no certificates"),
        ("SSL_CERT_DIR", "folder", "SSL_CERT_DIR names {path}, in which there are no certificates"),
        ("SSL_CERT_DIR", "a file", "SSL_CERT_DIR names {path}, in which there are no certificates"),
    ],
)
def test_certificates_that_can_not_be_read_are_named_before_any_call(
    name: str, content: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "given"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_text(content)
    monkeypatch.setenv(name, str(path))
    with pytest.raises(SpecError) as caught:
        OpenAIChat().check(tmp_path)
    assert str(caught.value).startswith(words.format(path=path))
    OpenAIChat(base_url="http://127.0.0.1/v1").check(tmp_path)  # the control: plain HTTP needs none


def test_a_certificate_that_is_named_is_trusted(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Ask, request_of: RequestOf
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    OpenAIChat().check(tmp_path)
    with listening(certificate) as port:
        (failure,) = ask(OpenAIChat(base_url=f"https://127.0.0.1:{port}/v1"), request_of())
    assert isinstance(failure, EngineError)
    assert failure.status == 404  # it got through to be answered


def test_an_authoritys_certificate_as_a_servers_own_is_taken_by_httpx_and_pyreqwest_says_so(
    carrier: str, authority: Path, monkeypatch: pytest.MonkeyPatch, ask: Ask, request_of: RequestOf
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with listening(authority) as port:
        (failure,) = ask(OpenAIChat(base_url=f"https://127.0.0.1:{port}/v1"), request_of())
    assert isinstance(failure, EngineError)
    assert failure.code == {"pyreqwest": "certificate", "httpx": "not_found"}[carrier]
    assert ("write `http_client: httpx` in `extras`" in failure.message) == (carrier == "pyreqwest")


def test_a_bundle_may_hold_other_certificates_first(
    certificate: Path, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Ask, request_of: RequestOf
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.read_bytes() + certificate.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with listening(certificate) as port:
        (failure,) = ask(OpenAIChat(base_url=f"https://127.0.0.1:{port}/v1"), request_of())
    assert isinstance(failure, EngineError)
    assert failure.status == 404


REPLY = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Accepting:
    """A socket that answers one connection after the other; yields its port."""

    def __init__(self, certificate: Path | None) -> None:
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate, certificate.with_name("key.pem"))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self._socket.accept()
            except OSError:
                return
            with taken, suppress(OSError):
                self._answer(taken)

    def _answer(self, taken: socket.socket) -> None:
        raise NotImplementedError

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


class listening(Accepting):
    """Answers each connection with 404, over TLS if a certificate is given."""

    def __init__(self, certificate: Path | None, reply: bytes = REPLY) -> None:
        super().__init__(certificate)
        self._reply = reply

    def _answer(self, taken: socket.socket) -> None:
        with self._context.wrap_socket(taken, server_side=True) if self._context else taken as connection:
            received = connection.recv(65_536)
            while received[:1] not in (b"", b"\x16") and not received.endswith(b"}"):  # all of the request
                received = connection.recv(65_536)
            connection.sendall(self._reply)


HTTP, HTTPS = "http://127.0.0.1", "https://127.0.0.1"
BAD = b"HTTP/1.0 400 Bad Request\r\n\r\n"
ALERT = b"\x15\x03\x01\x00\x02\x02\x16"


def to(location: str) -> bytes:
    return f"HTTP/1.0 302 Found\r\nLocation: {location}\r\n\r\n".encode()


WRONG_WAYS: list[tuple[str, str, bool, bytes, str, str]] = [
    # what, scheme and host, whether the server speaks TLS, its reply, code, words
    ("untrusted", HTTPS, True, REPLY, "certificate", "the file of the authority that signed it in SSL_CERT_FILE"),
    ("https to http", HTTPS, False, REPLY, "tls", "write http: in base_url"),
    ("http to https, reset", HTTP, True, REPLY, "connection", "servers that speak https do that to http"),
    ("http to https, alert", HTTP, False, ALERT, "invalid_reply", "write https: in base_url"),
    ("http to https, Go", HTTP, False, BAD + b"Client sent an HTTP request to an HTTPS server.", "tls", "write https:"),
    ("http to https, nginx", HTTP, False,
     BAD + b"<html><title>400 The plain HTTP request was sent to HTTPS port</title>", "tls", "write https:"),
    ("login", HTTP, False, to("https://sso.example.org/login?next=1"), "redirect", "the server wants people to log in"),
    ("to https", HTTP, False, to("https://127.0.0.1/v1/chat/completions"), "redirect", "write https: in base_url"),
    ("elsewhere", HTTP, False, to("https://other.example.org/v1"), "redirect", "if that host is the one that is meant"),
    ("nowhere", HTTP, False, b"HTTP/1.0 301 Gone\r\n\r\n", "redirect", "redirects to nowhere"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "tls", "reply", "code", "words"), [row[1:] for row in WRONG_WAYS], ids=[row[0] for row in WRONG_WAYS]
)
def test_a_wrong_way_to_a_server_says_what_to_do(
    address: str, tls: bool, reply: bytes, code: str, words: str, certificate: Path, ask: Ask, request_of: RequestOf
) -> None:
    with listening(certificate if tls else None, reply) as port:
        (failure,) = ask(OpenAIChat(base_url=f"{address}:{port}/v1"), request_of())
    assert isinstance(failure, EngineError)
    assert failure.code == code, failure
    assert words in failure.message
    assert failure.retryable == (code in ("connection", "invalid_reply"))


class tunnelling(Accepting):
    """A proxy that answers CONNECT with some bytes, and then is itself the server: it speaks TLS if it has a
    certificate, answers one request on each connection, and ends it at the next one."""

    def __init__(self, reply: bytes, certificate: Path | None = None) -> None:
        super().__init__(certificate)
        self._reply = reply

    def _answer(self, taken: socket.socket) -> None:
        read_to(taken, b"\r\n\r\n")
        taken.sendall(self._reply)
        if self._context is None:
            if self._reply:  # a close before all was read would be a reset, which may overtake the reply
                taken.recv(65_536)
            return
        with self._context.wrap_socket(taken, server_side=True) as secure:
            read_to(secure, b"}")
            secure.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            read_to(secure, b"}")


def read_to(taken: socket.socket, end: bytes) -> None:
    received = b""
    while not received.endswith(end) and (more := taken.recv(65_536)):
        received += more


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"", "proxy"),
        (b"HTTP/1.1 abc\r\n\r\n", "proxy"),
        (b"220 mail\r\n\r\n", "proxy"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 500_000, "proxy"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "proxy"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "connection"),
    ],
    ids=["closed", "no status", "no HTTP", "endless", "busy", "nothing behind it"],
)
def test_a_proxy_that_makes_no_way_has_shown_nothing_to_the_server(
    reply: bytes, code: str, ask: Ask, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tunnelling(reply) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        (failure,) = ask(OpenAIChat(base_url="https://h.invalid/v1", trust_env=True), request_of())
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable, failure.unknown_outcome) == (code, True, False)


def test_what_is_lost_behind_a_proxy_may_have_been_answered(
    certificate: Path, ask: Ask, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with tunnelling(b"HTTP/1.1 200 OK\r\n\r\n", certificate) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        engine = OpenAIChat(base_url="https://127.0.0.1/v1", trust_env=True)
        first, second = ask(engine, [request_of(), request_of()])
    assert isinstance(first, EngineError)
    assert first.status == 404
    assert isinstance(second, EngineError)
    assert (second.code, second.retryable, second.unknown_outcome) == ("connection", True, True)


def test_a_certificate_for_another_name_is_said_to_be_that(
    certificate: Path, ask: Ask, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with listening(certificate) as port:
        (failure,) = ask(OpenAIChat(base_url=f"https://localhost:{port}/v1"), request_of())
    assert isinstance(failure, EngineError)
    assert failure.code == "certificate"
    assert "the server's certificate is for another name: write that name in base_url" in failure.message


@pytest.mark.parametrize("name", BUNDLES)
def test_a_variable_of_other_clients_is_said_not_to_be_read(
    name: str, certificate: Path, ask: Ask, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(certificate))
    with listening(certificate) as port:
        (failure,) = ask(OpenAIChat(base_url=f"https://127.0.0.1:{port}/v1"), request_of())
    assert f"in SSL_CERT_FILE; {name} is not read" in str(failure)


@pytest.mark.parametrize(
    ("variables", "base_url", "told"),
    [
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://h.invalid/v1", "HTTPS_PROXY"),
        ({"https_proxy": "http://proxy:3128"}, "https://h.invalid/v1", "https_proxy"),
        ({"ALL_PROXY": "http://proxy:3128"}, "https://h.invalid/v1", "ALL_PROXY"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "https://h.invalid/v1", None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "h.invalid"}, "https://h.invalid/v1", None),
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://127.0.0.1:9/v1", None),
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://localhost:9/v1", None),
    ],
)
def test_a_proxy_that_is_not_used_is_told_to_who_gets_no_connection(
    variables: dict[str, str],
    base_url: str,
    told: str | None,
    ask: Ask,
    request_of: RequestOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (failure,) = ask(OpenAIChat(base_url=base_url), request_of())
    assert isinstance(failure, EngineError)
    assert (f"{told} names a proxy that is not used: write `trust_env: true`" in str(failure)) == (told is not None)
    assert "proxy" not in str(failure) or told is not None


def test_no_such_host_is_told_from_nobody_listening(ask: Ask, request_of: RequestOf) -> None:
    (failure,) = ask(OpenAIChat(base_url="http://no-such-host.invalid/v1"), request_of())
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable) == ("unreachable", True)
    assert failure.message.startswith("there is no such host: correct base_url")


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("", "; most servers want /v1 at the end of base_url"),
        ("/api", "; most servers want /v1 at the end of base_url"),
        ("/v1/models", "; the engine appends its path, so leave out what ends with /models from base_url"),
        ("/v1/v1", "; /v1 is there twice: leave one out of base_url"),
        ("/openai/deployments/gpt", "; Azure's deployments want ?api-version=... in base_url"),
        ("/openai/deployments/gpt?api-version=1", ""),
        ("/v2", ""),
    ],
)
@pytest.mark.parametrize("status", [404, 405])
def test_a_404_names_what_was_called_and_what_looks_wrong_with_it(
    path: str, hint: str, status: int, server: ScriptedServer, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"status": status, "error": {"message": "Not Found"}}]})
    bare, mark, query = path.partition("?")
    (failure,) = ask(OpenAIChat(base_url=f"{server.origin}{path}", api_key_env=None), request_of())
    called = f"{server.origin}{bare}/chat/completions{mark}{query}"
    assert isinstance(failure, EngineError)
    assert failure.message == f"HTTP {status}: Not Found (called: {called}{hint})"
    assert server.requests()[0].path == called.removeprefix(server.origin)


def test_a_404_of_the_model_says_nothing_of_the_path(server: ScriptedServer, ask: Ask, request_of: RequestOf) -> None:
    server.reset({"faults": [{"status": 404, "error": {"message": "The model `x` does not exist"}}]})
    (failure,) = ask(OpenAIChat(base_url=server.origin), request_of())
    assert str(failure).endswith(f"does not exist (called: {server.origin}/chat/completions)")
