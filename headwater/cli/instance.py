"""Find the running instance of a data directory and talk to it."""

import http.client
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from headwater.errors import HeadwaterError


class NoInstanceError(HeadwaterError):
    """Nothing runs on the data directory; the user starts it."""


class RefusedError(HeadwaterError):
    """The instance did not do what a command asked for."""


def ask(data_dir: Path, method: str, path: str, body: Any = None) -> Any:
    """One request to `/_headwater/<path>` of the running instance.

    Raises: NoInstanceError; RefusedError with the instance's reason.
    """
    try:
        sent = orjson.dumps(body) if body is not None else None
    except TypeError as error:  # an argument that is not UTF-8 comes as half a surrogate pair
        raise RefusedError(f"an argument is not text: {error}") from error
    try:
        ready = orjson.loads((data_dir / "run.json").read_bytes())
    except (OSError, ValueError) as error:
        raise NoInstanceError(f"no instance runs on {data_dir}; start one with `headwater up`") from error
    address = urlsplit(ready["awsEndpointUrl"])
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    try:
        headers = {"authorization": f"Bearer {ready['secretAccessKey']}", "content-type": "application/json"}
        connection.request(method, f"/_headwater/{path}", sent, headers)
        answer = connection.getresponse()
        document = orjson.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoInstanceError(f"the instance of {data_dir} does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise RefusedError(str(document.get("message", document)))
    return document
