"""A Lambda runtime client in pure Python, for machines that awslambdaric has no native part for.

Loaded by launcher.py in the function's process, so it imports the standard library only. It speaks the Runtime API
over one kept-open socket and reports errors in the shapes AWS's client does.
Source: Lambda developer guide, "Building a custom runtime".
"""

import importlib
import json
import logging
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

Handler = Callable[[Any, "Context"], Any]
_ROOT = "/2018-06-01/runtime/"


class StartError(Exception):
    """The handler can't be loaded; `kind` is the errorType."""

    def __init__(self, kind: str, message: str, trace: list[str] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.trace = trace or []


class RuntimeApi:
    """The Runtime API over one HTTP connection."""

    def __init__(self, address: str) -> None:
        host, _, port = address.partition(":")
        self._host = address
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def next(self) -> tuple[dict[str, str], bytes]:
        self._socket.sendall(f"GET {_ROOT}invocation/next HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        return self._read()

    def post(self, path: str, body: bytes, error_type: str = "") -> None:
        lines = f"POST {_ROOT}{path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        if error_type:
            lines += f"Lambda-Runtime-Function-Error-Type: {error_type}\r\n"
        self._socket.sendall(f"{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        headers, answer = self._read()
        if not headers[":status"].startswith("2"):
            raise RuntimeError(f"Runtime API answered {headers[':status']}: {answer.decode('utf-8', 'replace')}")

    def _read(self) -> tuple[dict[str, str], bytes]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._fill()
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {":status": first.split(" ", 2)[1]}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", "0"))
        body = bytearray(self._buffer[end + 4 :])
        while len(body) < size:
            self._buffer = b""
            self._fill()
            body += self._buffer
        self._buffer = bytes(body[size:])
        return headers, bytes(body[:size])

    def _fill(self) -> None:
        data = self._socket.recv(262_144)
        if not data:
            os._exit(1)  # the runtime is gone
        self._buffer += data


class _Members:
    """Named members of a client context or identity, None where absent."""

    def __init__(self, names: tuple[str, ...], values: dict[str, Any]) -> None:
        for name in names:
            setattr(self, name, values.get(name))


class Context:
    """The handler's second argument.

    Source: Lambda developer guide, "Using the Lambda context object to retrieve Python function information".
    """

    def __init__(self, headers: dict[str, str]) -> None:
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn", "")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.tenant_id = None
        self.identity = _Members(("cognito_identity_id", "cognito_identity_pool_id"), {})
        self.client_context: Any = None
        text = headers.get("lambda-runtime-client-context")
        if text:
            values = json.loads(text)
            self.client_context = _Members(("custom", "env", "client"), values)
            if values.get("client") is not None:
                names = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")
                self.client_context.client = _Members(names, values["client"])
        self._deadline_ms = int(headers["lambda-runtime-deadline-ms"])

    def get_remaining_time_in_millis(self) -> int:
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def log(self, message: object) -> None:
        sys.stdout.write(str(message))


class _RequestIdFilter(logging.Filter):
    request_id = ""

    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = self.request_id
        return True


class _JsonFormatter(logging.Formatter):
    """One JSON object a record, in the members of Lambda's JSON log format."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        document = {
            "timestamp": stamp,
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": getattr(record, "aws_request_id", ""),
        }
        if record.exc_info:
            document["stackTrace"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False)


def set_up_logging() -> _RequestIdFilter:
    """Give the root logger Lambda's handler, so that user code that only sets levels works."""
    handler = logging.StreamHandler(sys.stdout)
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        handler.setFormatter(_JsonFormatter())
        logging.getLogger().setLevel(os.environ.get("AWS_LAMBDA_LOG_LEVEL", "INFO"))
    else:
        text = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
        formatter = logging.Formatter(text, "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
    request_filter = _RequestIdFilter()
    handler.addFilter(request_filter)
    logging.getLogger().addHandler(handler)
    return request_filter


def load_handler(name: str) -> Handler:
    """Import `module.function`; slashes in the module are dots.

    Raises: StartError with Lambda's errorType.
    """
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        raise StartError("Runtime.MalformedHandlerName", f"Bad handler '{name}': not enough values to unpack")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise StartError("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}") from error
    except SyntaxError as error:
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}']
        message = f"Syntax error in module '{module_name}': {error}"
        raise StartError("Runtime.UserCodeSyntaxError", message, trace) from error
    try:
        handler: Handler = getattr(module, function_name)
    except AttributeError as error:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        raise StartError("Runtime.HandlerNotFound", message) from error
    return handler


def _encode(value: Any) -> bytes:
    def other(member: object) -> Any:
        if isinstance(member, Decimal):
            return int(member) if member == member.to_integral_value() else float(member)
        raise TypeError(f"Object of type {type(member).__name__} is not JSON serializable")

    return json.dumps(value, ensure_ascii=False, default=other).encode()


def _error(error: BaseException, request_id: str) -> dict[str, Any]:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_list(frames),
    }


def _log_error(document: dict[str, Any]) -> None:
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        sys.stdout.write(json.dumps({"timestamp": stamp, "level": "ERROR", **document}) + "\n")
    else:
        lines = [f"[ERROR] {document['errorType']}: {document['errorMessage']}", "Traceback (most recent call last):"]
        # \r keeps the traceback one log event.
        sys.stdout.write("\r".join(lines + "".join(document["stackTrace"]).splitlines()) + "\n")
    sys.stdout.flush()


def _end_start(api: RuntimeApi, document: dict[str, Any]) -> NoReturn:
    _log_error(document)
    api.post("init/error", _encode(document), document["errorType"])
    sys.exit(1)


def run(handler_name: str, address: str) -> NoReturn:
    """Load the handler, then run invocations one after the other until the process is ended."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    request_filter = set_up_logging()
    api = RuntimeApi(address)
    try:
        handler = load_handler(handler_name)
    except StartError as error:
        document: dict[str, Any] = {
            "errorMessage": str(error),
            "errorType": error.kind,
            "requestId": "",
            "stackTrace": error.trace,
        }
        _end_start(api, document)
    except Exception as error:
        _end_start(api, _error(error, ""))
    while True:
        headers, body = api.next()
        request_id = headers["lambda-runtime-aws-request-id"]
        request_filter.request_id = request_id
        os.environ["_X_AMZN_TRACE_ID"] = headers.get("lambda-runtime-trace-id", "")
        try:
            answer = _encode(handler(json.loads(body), Context(headers)))
            sys.stdout.flush()
        except Exception as error:
            document = _error(error, request_id)
            _log_error(document)
            api.post(f"invocation/{request_id}/error", _encode(document), document["errorType"])
        else:
            api.post(f"invocation/{request_id}/response", answer)
