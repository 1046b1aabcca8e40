"""What an environment says of proxies and certificates; this process has another one."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.fetching import fetch_all
from occlum_build.packages.http_files import ENVIRONMENT, Unreachable, chunks_of_url, make_opener
from occlum_build.packages.mirrors import Mirrors
from occlum_build.packages.testing_server import Answer, MirrorServer, nobody_listens, served
from occlum_build.packages.urls import Wanted

FAR = "http://mirror.example.invalid/debian/x"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ENVIRONMENT, "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[MirrorServer]:
    with served(tmp_path) as server:
        server.otherwise = lambda _: Answer(body=b"by the proxy")
        yield server


def fetched(url: str, environment: Mapping[str, str]) -> bytes:
    return b"".join(chunks_of_url(make_opener(environment), url, 0))


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_a_proxy_is_asked(name: str, proxy: MirrorServer) -> None:
    assert fetched(FAR, {name: proxy.url}) == b"by the proxy"
    assert fetched(FAR, {name: proxy.url[len("http://") :]}) == b"by the proxy"
    assert proxy.asked == [FAR, FAR]


def test_mirrors_ask_the_proxy_of_their_environment(proxy: MirrorServer) -> None:
    mirrors = Mirrors(
        ["http://mirror.example.invalid/debian"], environment={"http_proxy": proxy.url}
    )
    assert mirrors.text(Wanted("g++ 1"), bytes) == b"by the proxy"
    assert proxy.asked == ["http://mirror.example.invalid/debian/g%2B%2B%201"]


def test_small_letters_come_first(proxy: MirrorServer) -> None:
    environment = {"HTTP_PROXY": nobody_listens(), "http_proxy": proxy.url}
    assert fetched(FAR, environment) == b"by the proxy"


@pytest.mark.parametrize(
    "without", ["mirror.example.invalid", ".invalid", "x,example.invalid", "*"]
)
def test_hosts_without_a_proxy(without: str, proxy: MirrorServer) -> None:
    with pytest.raises(Unreachable):
        fetched(FAR, {"http_proxy": proxy.url, "no_proxy": without})
    assert proxy.asked == []
    assert fetched(FAR, {"http_proxy": proxy.url, "no_proxy": "other.invalid"}) == b"by the proxy"


def test_what_this_process_has_does_not_count(
    proxy: MirrorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", nobody_listens())
    monkeypatch.setenv("no_proxy", "mirror.example.invalid")
    assert fetched(FAR, {"http_proxy": proxy.url}) == b"by the proxy"
    (tmp_path / "x").write_bytes(b"from the mirror")
    assert fetched(f"{proxy.url}/x", {}) == b"by the proxy"  # which the server is, asked itself
    assert proxy.asked == [FAR, "/x"]


def test_https_is_asked_of_its_proxy(proxy: MirrorServer) -> None:
    """By CONNECT, which this proxy does not know."""
    with pytest.raises(Unreachable, match="501"):
        fetched(FAR.replace("http:", "https:"), {"https_proxy": proxy.url})
    with pytest.raises(Unreachable):
        fetched(FAR.replace("http:", "https:"), {"http_proxy": proxy.url})
    assert proxy.asked == []


def test_certificates_of_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = _self_signed(tmp_path)
    (tmp_path / "x").write_bytes(b"secret")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with served(tmp_path, context) as server:
        assert fetched(f"{server.url}/x", {"SSL_CERT_FILE": str(certificate)}) == b"secret"
        with pytest.raises(Unreachable, match=r"its certificate is not trusted: self.signed"):
            fetched(f"{server.url}/x", {})


@pytest.mark.parametrize("is_there", [False, True])
def test_certificates_that_cannot_be_read(is_there: bool, tmp_path: Path) -> None:
    file = tmp_path / "no.pem"
    if is_there:
        file.write_text("no certificate")
    mirrors = Mirrors([nobody_listens()], environment={"SSL_CERT_FILE": str(file)})
    with pytest.raises(OcclumError, match=r"SSL_CERT_FILE is '.*/no\.pem', which cannot be used"):
        mirrors.text(Wanted("x"), bytes)
    with pytest.raises(OcclumError, match=r"SSL_CERT_FILE"):
        fetch_all([(mirrors, Wanted("x", "0" * 64, 1), tmp_path / "x")])
    assert not (tmp_path / "x").exists()


def test_a_proxy_with_a_password(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        server.otherwise = lambda _: Answer(body=b"by the proxy")
        url = server.url.replace("http://", "http://me:a%40b@")
        assert fetched(FAR, {"http_proxy": url}) == b"by the proxy"
        assert server.headers["Proxy-Authorization"] == "Basic bWU6YUBi"  # me:a@b


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://"])
def test_a_proxy_that_is_none(proxy: str) -> None:
    with pytest.raises(Unreachable, match="is none of http"):
        fetched(FAR, {"http_proxy": proxy})


@pytest.mark.parametrize(
    "proxy",
    [
        "http://me:secret@",
        "socks5://me:secret@h",
        "socks5://me:secret/x@h",
        "http://me:secret@[::1",
        "http://me:secret\u2100@h",
    ],
)
def test_no_password_of_a_proxy_is_told(proxy: str) -> None:
    with pytest.raises(Unreachable, match=r"^the proxy [^s]* is none of http$"):
        fetched(FAR, {"http_proxy": proxy})


def _self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 for a day, and its key."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a mirror")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=12))
        .not_valid_after(now + datetime.timedelta(hours=12))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate, secret = directory / "cert.pem", directory / "key.pem"
    certificate.write_bytes(made.public_bytes(pem))
    secret.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, secret
