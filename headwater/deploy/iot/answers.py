"""How the IoT services answer: JSON, and errors with their code in a header."""

import asyncio
from urllib.parse import unquote

import orjson

from headwater.errors import ServiceError
from headwater.values.http import HttpRequest, HttpResponse


def error_answer(error: ServiceError) -> HttpResponse:
    """The error document. Source: AWS IoT API Reference, "Common Errors"."""
    headers = (("content-type", "application/json"), ("x-amzn-errortype", error.code))
    return HttpResponse(error.status, headers, orjson.dumps({"message": error.message, **error.fields}))


async def refuse(service: str, request: HttpRequest, known: str) -> ServiceError:
    """What to raise for a call that is not one of those here, by the name the service gives it."""
    # The model takes a tenth of a second to read, once for each refusal; the loop must not wait for it.
    name = await asyncio.to_thread(_operation_name, service, request.method, request.raw_path)
    called = name or f"{request.method} {request.raw_path}"
    message = f"{called} does not work here; of the service {service}, these do: {known}"
    return ServiceError("UnknownOperationException", message, status=404)


def _operation_name(service: str, method: str, path: str) -> str | None:
    """The operation of botocore's service model that a path belongs to; the most literal one."""
    from botocore.session import Session

    parts = [unquote(part) for part in path.strip("/").split("/")]
    model = Session().get_service_model(service)
    best: tuple[int, str] | None = None
    for name in model.operation_names:
        http = model.operation_model(name).http
        pattern = str(http["requestUri"]).partition("?")[0].strip("/").split("/")
        if http["method"] != method or len(pattern) != len(parts):
            continue
        pairs = list(zip(pattern, parts, strict=True))
        if all(expected.startswith("{") or expected == found for expected, found in pairs):
            literal = sum(not expected.startswith("{") for expected, _ in pairs)
            best = max(best or (0, ""), (literal, str(name)))
    return best[1] if best else None
