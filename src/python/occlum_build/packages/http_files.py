"""Files by http and https: no other scheme, also by redirects, and nothing waited for endlessly.

`http_proxy`, `https_proxy`, `no_proxy` and `SSL_CERT_FILE` are what they are for other programs.
"""

from __future__ import annotations

import base64
import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from occlum_build.errors import OcclumError
from occlum_build.shown import quoted

# Of one answer, or of what follows in it.
SECONDS_OF_SILENCE = 30
# Of a whole file, besides what it takes at this rate.
SECONDS_OF_A_FILE = 120
LEAST_BYTES_A_SECOND = 16 << 10
_CHUNK_BYTES = 1 << 16
_AGENT = "occlum-build"
_PROXY = "_proxy"
# The variables that tell how to reach servers, in one form; that in small letters comes first.
ENVIRONMENT = frozenset(
    ["SSL_CERT_DIR", "SSL_CERT_FILE"]
    + [
        form(f"{kind}{_PROXY}")
        for kind in ("http", "https", "no")
        for form in (str.lower, str.upper)
    ]
)


class NotThere(Exception):
    """The server is there, and has not got the file."""


class Unreachable(Exception):
    """There was no answer, or none that can be used."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """To nothing but http and https, and not back from https."""

    max_redirections = 5

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        allowed = ("https:",) if req.full_url.startswith("https:") else ("http:", "https:")
        if not newurl.lower().startswith(allowed):
            raise Unreachable(f"it redirects to {newurl[:200]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Proxies(urllib.request.BaseHandler):
    """Those of a given environment; urllib's own asks that of this process what has none."""

    handler_order = 100  # before what connects

    def __init__(self, proxies: dict[str, str]) -> None:
        self._given = proxies

    def http_open(self, req: urllib.request.Request) -> Any:
        proxy = self._given.get(req.type, "")
        if not proxy or req.has_proxy() or self._is_near(req.host):
            return None
        try:
            parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        except ValueError:  # which may quote a password
            parts = urlsplit("")
        own, _, host = parts.netloc.rpartition("@")
        if parts.scheme not in ("http", "https") or not host:
            raise Unreachable(f"the proxy {proxy.rpartition('@')[2]} is none of http")
        if own:
            word = base64.b64encode(unquote(own).encode()).decode()
            req.add_header("Proxy-authorization", f"Basic {word}")
        kind = req.type
        req.set_proxy(host, parts.scheme)
        return None if req.type == kind else self.parent.open(req, timeout=req.timeout)

    https_open = http_open

    def _is_near(self, host: str) -> bool:
        return bool(urllib.request.proxy_bypass_environment(host, self._given))  # type: ignore[attr-defined]


def _proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Scheme -> proxy, and `no` -> hosts without one."""
    found: dict[str, str] = {}
    for name in sorted(environment):  # capitals first, so that small letters count
        if name.lower().endswith(_PROXY) and environment[name]:
            found[name[: -len(_PROXY)].lower()] = environment[name]
    return found


def make_opener(environment: Mapping[str, str]) -> urllib.request.OpenerDirector:
    """What opens URLs by the variables of an environment; may be used by several threads.

    Raises OcclumError `packages-mirror` for certificates that cannot be read.
    """
    file = environment.get("SSL_CERT_FILE") or None
    directory = environment.get("SSL_CERT_DIR") or None
    try:
        context = ssl.create_default_context(cafile=file, capath=directory)
    except OSError as error:
        message = f"SSL_CERT_FILE is {quoted(file or '')}, which cannot be used: {_reason(error)}"
        hint = "let it name a file of certificates in PEM, or unset it"
        raise OcclumError("packages-mirror", message, hint=hint) from None
    opener = urllib.request.OpenerDirector()
    for handler in (
        _Proxies(_proxies(environment)),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", _AGENT), ("Accept-Encoding", "identity")]
    return opener


def chunks_of_url(opener: urllib.request.OpenerDirector, url: str, size: int) -> Iterator[bytes]:
    """What a URL has, piece by piece; `size` is about what is expected, in bytes, -1 for unknown.

    Raises NotThere and Unreachable.
    """
    start, came = time.monotonic() + SECONDS_OF_A_FILE, 0
    try:
        with opener.open(url, timeout=SECONDS_OF_SILENCE) as response:
            while chunk := response.read1(_CHUNK_BYTES):
                yield chunk
                came += len(chunk)
                if time.monotonic() > start + (came if size < 0 else size) / LEAST_BYTES_A_SECOND:
                    raise Unreachable(f"it is slower than {LEAST_BYTES_A_SECOND >> 10} KiB/s")
            if response.length:  # read1 takes a connection that ends too early for the end
                raise Unreachable("the connection ended within the file")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (403, 404, 410):
            raise NotThere(str(error.code)) from None
        is_redirect = error.code < 400
        reason = "redirects that lead nowhere" if is_redirect else str(error.code)
        raise Unreachable(reason) from None
    except urllib.error.URLError as error:
        raise Unreachable(_reason(error.reason)) from None
    except http.client.HTTPException as error:
        text = f"no answer of HTTP ({type(error).__name__})"
        raise Unreachable(text) from None
    except (OSError, ValueError) as error:  # ValueError: what is no URL, of a redirect
        raise Unreachable(_reason(error)) from None


def _reason(reason: Any) -> str:
    if isinstance(reason, TimeoutError) or "timed out" in str(reason):
        return "no answer in time"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {reason.verify_message}"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason)
