"""Files by http and https: no other scheme, also by redirects, and nothing waited for endlessly.

`http_proxy`, `https_proxy`, `no_proxy` and `SSL_CERT_FILE` are what they are for other programs.
"""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

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


class _Proxies(urllib.request.ProxyHandler):
    """Those of a given environment, also where this process has another one."""

    def __init__(self, proxies: dict[str, str]) -> None:
        super().__init__(proxies)
        self._given = proxies

    def proxy_open(self, req: Any, proxy: str, type: str) -> Any:
        if urllib.request.proxy_bypass_environment(req.host, self._given):  # type: ignore[attr-defined]
            return None
        return super().proxy_open(req, proxy, type)


def _proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Scheme -> proxy, and `no` -> hosts without one."""
    found: dict[str, str] = {}
    for name in sorted(environment):  # capitals first, so that small letters count
        if name.lower().endswith(_PROXY) and environment[name]:
            found[name[: -len(_PROXY)].lower()] = environment[name]
    return found


def make_opener(environment: Mapping[str, str]) -> urllib.request.OpenerDirector:
    """What opens URLs by the variables of an environment; may be used by several threads."""
    context = ssl.create_default_context(
        cafile=environment.get("SSL_CERT_FILE") or None,
        capath=environment.get("SSL_CERT_DIR") or None,
    )
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
    """What a URL has, piece by piece; `size` is about what is expected, in bytes.

    Raises NotThere and Unreachable.
    """
    end = time.monotonic() + SECONDS_OF_A_FILE + max(size, 0) / LEAST_BYTES_A_SECOND
    try:
        with opener.open(url, timeout=SECONDS_OF_SILENCE) as response:
            while chunk := response.read1(_CHUNK_BYTES):
                yield chunk
                if time.monotonic() > end:
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
