"""The HTTP data source: one endpoint, whose replies reach resolvers as status, headers and body text."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from headwater.datasource.ports import SourceCall, malformed, require
from headwater.datasource.sources.http_client import AllowsHost, HttpFault, HttpReply, send_request
from headwater.datasource.sources.signing import SigningConfig, sign
from headwater.errors import DataSourceError, TemplateError

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
# AppSync sets these itself.
RESTRICTED_HEADERS = frozenset(
    "transfer-encoding connection host expect keep-alive upgrade proxy-authenticate proxy-authorization te "
    "content-length user-agent".split()
)
TEXT_TYPES = ("json", "xml", "soap", "x-amz-json-1.0", "x-amz-json-1.1", "vnd.api+json", "x-ndjson")
TIMEOUT_S = 30.0


class HttpSource:
    """Sends requests to `endpoint` (scheme, host, port and an optional path before every `resourcePath`).

    `allows` names the hosts that may be elsewhere than on this machine. With `signing` requests carry SigV4 headers of
    the moment `now` gives, in epoch seconds. Raises: TemplateError for an endpoint that is no http or https URL.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        now: Callable[[], float],
        allows: AllowsHost = lambda host: False,
        signing: SigningConfig | None = None,
        ssl_context: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise TemplateError(f"the endpoint {endpoint!r} of an HTTP data source is no http or https URL")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._authority = parts.netloc.rpartition("@")[2]
        self._base_path = parts.path.rstrip("/")
        self._now = now
        self._allows = allows
        self._signing = signing
        self._ssl = (ssl_context or ssl.create_default_context()) if parts.scheme == "https" else None
        self._timeout_s = timeout_s

    async def execute(self, request: Any, call: SourceCall) -> Any:
        """`{"statusCode", "headers", "body"}`; redirects are not followed.

        Raises: DataSourceError of type `Http:…` when there is no reply or its body is no text.
        """
        method = require(request, "method", str)
        if method not in METHODS:
            raise malformed(f"Unsupported method '{method}'. Supported methods: {', '.join(METHODS)}.")
        message = self._message(method, require(request, "resourcePath", str), _object(request, "params", "$"))
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await send_request(
                    self._host,
                    self._port,
                    message,
                    ssl_context=self._ssl,
                    allows=self._allows,
                )
        except TimeoutError as error:
            raise DataSourceError(f"No reply within {self._timeout_s:g} s", "Http:Timeout") from error
        except HttpFault as error:
            raise DataSourceError(str(error), "Http:RequestFailed") from error
        return {"statusCode": reply.status, "headers": reply.headers, "body": _body_text(reply)}

    def _message(self, method: str, resource_path: str, params: dict[str, Any]) -> bytes:
        if not resource_path.startswith("/"):
            raise malformed(f"The resourcePath '{resource_path}' has to begin with /.")
        path = quote(self._base_path + resource_path, safe="/-_.~!$&'()*+,;=:@%")
        given = _object(params, "query", "$[params]")
        query = [(name, _parameter(value)) for name, value in given.items() if value is not None]
        headers = {"host": self._authority, **self._given_headers(_object(params, "headers", "$[params]"))}
        body = _body_bytes(params.get("body"), headers.get("content-type", ""))
        if body and "content-type" not in headers:
            headers["content-type"] = "application/json"
        if self._signing is not None:
            headers = sign(self._signing, method, path, query, headers, body, self._now())
        if body or method in ("POST", "PUT", "PATCH"):
            headers["content-length"] = str(len(body))
        headers["connection"] = "close"
        target = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode() + body

    @staticmethod
    def _given_headers(headers: dict[str, Any]) -> dict[str, str]:
        given = {name.lower(): _parameter(value) for name, value in headers.items() if value is not None}
        for name, value in given.items():
            if any(character in "\r\n\0" for character in name + value) or not name or ":" in name or " " in name:
                raise malformed(f"The header '{name}' is not valid.")
        return {name: value for name, value in given.items() if name not in RESTRICTED_HEADERS}


def _parameter(value: Any) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _object(request: dict[str, Any], name: str, path: str) -> dict[str, Any]:
    """An optional member that is an object; an empty one if it is absent."""
    return {} if request.get(name) is None else require(request, name, dict, path)


def _charset(content_type: str) -> str:
    """The charset a content type names, UTF-8 if it names none or one that is not known."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip("\"'")
            try:
                " ".encode(charset)
            except (LookupError, ValueError):
                break
            return charset.lower()
    return "utf-8"


def _body_bytes(body: Any, content_type: str) -> bytes:
    if body is None:
        return b""
    text = body if isinstance(body, str) else orjson.dumps(body).decode()
    charset = _charset(content_type)
    try:
        return text.encode(charset)
    except UnicodeEncodeError as error:
        raise malformed(f"The body cannot be written in {charset}: {error.reason}.") from error


def _body_text(reply: HttpReply) -> str:
    header = reply.headers.get("content-type", "")
    content_type = header.split(";")[0].strip().lower()
    kind, _, subtype = content_type.partition("/")
    is_text = not content_type or kind == "text" or subtype in TEXT_TYPES or subtype.endswith(("+json", "+xml"))
    if not is_text:
        raise DataSourceError(f"Replies of type {content_type} are not supported", "Http:UnsupportedContentType")
    charset = _charset(header)
    try:
        return reply.body.decode(charset)
    except UnicodeDecodeError as error:
        raise DataSourceError(f"The reply's body is not {charset}: {error}", "Http:UnsupportedContentType") from error
