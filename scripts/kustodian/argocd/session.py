"""Requests to Argo CD's REST API: time limits, repeats, and one-line errors that say what to do.

Source: https://argo-cd.readthedocs.io/en/stable/developer-guide/api-docs/ and server/server.go of Argo CD v3.6. An
error's body is `{"error": …, "message": …, "code": …}`, the code being gRPC's; everything but GET must say
`Content-Type: application/json`.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import kustodian
from kustodian.argocd.connection import Connection
from kustodian.errors import NotFound, NotPermitted, ServerError, TokenRefused, Unavailable, UsageError

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
"""How long nothing may come while an answer is waited for."""
PAUSES = (0.5, 1.0, 2.0)
"""Seconds between one try and the next."""
LONGEST_PAUSE = 10.0
"""What a server may ask for by `Retry-After`, in seconds."""

_BUSY = frozenset({429, 502, 503, 504})


class Silence(Unavailable):
    """The server was reached, but nothing came in time."""


class Session:
    """Requests over one connection. `transport` is another way to the server than the network, for tests."""

    def __init__(
        self,
        connection: Connection,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        import httpx

        self._connection = connection
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=connection.server,
            headers={
                "Authorization": f"Bearer {connection.token}",
                "Accept": "application/json",
                "Content-Type": "application/json",
                "User-Agent": f"kustodian/{kustodian.__version__}",
            },
            transport=transport,
            verify=_verification(connection) if transport is None else True,
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            # A proxy can't reach this machine's own addresses as this machine can.
            trust_env=not _is_loopback(urlsplit(connection.server).hostname or ""),
        )

    def close(self) -> None:
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        repeat: bool | None = None,
        timeout: float = READ_SECONDS,
    ) -> Any:
        """The parsed answer. `repeat` says whether the request may arrive twice; GETs may where it is not given.

        One that must not is repeated only if no connection was made. Raises `ServerError` and its subclasses.
        """
        import httpx

        limit = httpx.Timeout(timeout, connect=CONNECT_SECONDS)
        request = self._http.build_request(method, path, params=_given(query), json=body, timeout=limit)
        response = self._send(request, repeat=method == "GET" if repeat is None else repeat)
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError):
            raise self._nonsense(request, response) from None

    def lines(self, path: str, *, query: Mapping[str, str], silence: float) -> Iterator[Any]:
        """Each line of an endless answer, parsed. Ends when the answer does, however, or nothing came for `silence` s.

        Raises `ServerError` for a request that is refused or does not reach the server.
        """
        import httpx

        # Compressed, the lines would come late.
        headers = {"Accept-Encoding": "identity"}
        limit = httpx.Timeout(silence, connect=CONNECT_SECONDS)
        request = self._http.build_request("GET", path, params=_given(query), headers=headers, timeout=limit)
        try:
            response = self._send(request, repeat=True, stream=True)
        except Silence:  # the head of the answer comes with the first line
            return
        try:
            for line in response.iter_lines():
                if line.strip():
                    yield json.loads(line)
        except (httpx.TransportError, httpx.DecodingError, ValueError, RecursionError):
            return  # cut, silent, or a line that is not whole
        finally:
            response.close()

    def _send(self, request: httpx.Request, *, repeat: bool, stream: bool = False) -> httpx.Response:
        import httpx

        pauses = iter(PAUSES)
        while True:
            try:
                response = self._http.send(request, stream=stream)
            except httpx.RequestError as error:
                pause = next(pauses, None) if _may_repeat(error, repeat) else None
                if pause is None:
                    raise self._unreached(request, error) from None
            else:
                if response.is_success:
                    return response
                pause = next(pauses, None) if repeat and response.status_code in _BUSY else None
                body = _body(response)
                if pause is None:
                    raise self._refused(request, response, body)
                pause = max(pause, _retry_after(response))
            self._sleep(pause)

    def _said(self, request: httpx.Request, what: str) -> str:
        text = " ".join(f"Argo CD at {self._connection.server}: {request.method} {request.url.path}: {what}".split())
        return text.replace(self._connection.token, "***") if self._connection.token else text

    def _unreached(self, request: httpx.Request, error: httpx.RequestError) -> ServerError:
        import httpx

        if reason := _tls_failure(error):
            hint = "name the PEM file of what signs its certificate: `argocd.ca` in kustodian.yaml, or ARGOCD_CA"
            if "WRONG_VERSION_NUMBER" in reason or "HTTP_REQUEST" in reason:
                hint = "it speaks no TLS there; if that is meant to be, give its address with http://"
            return ServerError(self._said(request, f"no trustworthy connection: {reason}"), hint=hint)
        hint = f"is it up and reachable from here? {self._connection.origin or 'the caller'} names it"
        if isinstance(error, httpx.ConnectTimeout):
            return Unavailable(self._said(request, f"no connection within {CONNECT_SECONDS:g} s"), hint=hint)
        if isinstance(error, httpx.TimeoutException):
            return Silence(self._said(request, "no answer in time"), hint=hint)
        return Unavailable(self._said(request, _reason(error)), hint=hint)

    def _refused(self, request: httpx.Request, response: httpx.Response, body: str) -> ServerError:
        message = _message(body)
        status = response.status_code
        what = self._said(request, f"{message or response.reason_phrase or 'refused'} ({status})")
        if status == 401:
            # Of a token that it can't read, Argo CD says only that there is none.
            said = f"it does not accept the token: {message or 'refused'} ({status})"
            return TokenRefused(self._said(request, said), hint=self._connection.login)
        if status == 403:
            return NotPermitted(
                what,
                hint="the token may not do that in Argo CD's RBAC (`applications, get | sync | update, PROJECT/NAME`), "
                "or there is no such Application: the answer is the same",
            )
        if status == 404 and message:
            return NotFound(what, hint="names of Applications and projects are as in Argo CD")
        if status in _BUSY or status >= 500:
            return Unavailable(what, hint="Argo CD can't answer that now; try it again, or see its server's log")
        if response.is_redirect:
            to = response.headers.get("location", "")
            return ServerError(self._said(request, f"leads elsewhere, to {to}"), hint="name the address itself")
        return ServerError(what) if message else self._nonsense(request, response)

    def _nonsense(self, request: httpx.Request, response: httpx.Response) -> ServerError:
        kind = response.headers.get("content-type", "nothing known").split(";")[0]
        return ServerError(
            self._said(request, f"the answer ({response.status_code}, {kind}) is none of Argo CD's"),
            hint="is this Argo CD's address, with the path below which it is served? A login page in front?",
        )


def _given(query: Mapping[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (query or {}).items() if value}


def _message(body: str) -> str:
    """What an error of the API says; empty where the body is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    text = (document.get("message") or document.get("error")) if isinstance(document, Mapping) else ""
    return text[:2000] if isinstance(text, str) else ""


def _body(response: httpx.Response) -> str:
    import httpx

    try:
        return response.read().decode("utf-8", "replace")
    except httpx.RequestError:
        return ""
    finally:
        response.close()


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text), LONGEST_PAUSE) if text.isdecimal() else 0.0


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _may_repeat(error: httpx.RequestError, repeat: bool) -> bool:
    import httpx

    if _tls_failure(error):
        return False
    not_connected = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    return not_connected or (repeat and not isinstance(error, httpx.TimeoutException))


def _tls_failure(error: BaseException) -> str:
    """Why the server is not trusted; empty for any other failure."""
    import ssl

    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message or str(cause)
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return cause.reason or str(cause)
    return ""


def _reason(error: BaseException) -> str:
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(error) or type(error).__name__


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _verification(connection: Connection) -> Any:
    """How the server's certificate is held to be its own."""
    import ssl

    if not connection.server.startswith("https://"):
        return True
    try:
        context = ssl.create_default_context(cafile=connection.ca)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise UsageError(f"{connection.ca}: holds no certificate: {_reason(error)}", hint="it must be PEM") from None
    if not connection.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
