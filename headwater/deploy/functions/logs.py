"""`/_headwater/logs`: the newest log lines of one function or GraphQL API, and those that come."""

from typing import Any
from urllib.parse import parse_qs

from headwater.deploy.deployment import Deployment
from headwater.deploy.graphql.logs import api_logs, find_api
from headwater.errors import ServiceError

# Below the time other commands wait for an answer.
_LONGEST_WAIT_S = 5.0


async def function_logs(deployment: Deployment, query: str) -> dict[str, Any]:
    """Events after number `after` (0: all that are kept), waited for if `wait` is 1, with the number to go on from.

    `function` may also name an API. Raises: ServiceError for what is unknown, and for an API that logs nothing.
    """
    given = {name: values[0] for name, values in parse_qs(query).items()}
    after = given.get("after", "0")
    number = int(after) if after.isdigit() else 0
    api = find_api(deployment, given.get("function", ""))
    if api is not None:
        return await api_logs(api, number, _LONGEST_WAIT_S if given.get("wait") == "1" else 0.0)
    name = find_function_name(deployment, given.get("function", ""))
    logs = deployment.logs
    wait_s = _LONGEST_WAIT_S if given.get("wait") == "1" else 0.0
    last = logs.last_number
    found = await logs.wait_after(name, number, wait_s) if wait_s else logs.after(name, number)
    events = [
        {"timestamp": entry.event.epoch_ms, "message": entry.event.message, "logStream": entry.event.log_stream}
        for entry in found
    ]
    return {
        "function": name,
        "events": events,
        "next": max((entry.number for entry in found), default=max(number, last)),
    }


def find_function_name(deployment: Deployment, reference: str) -> str:
    """The name behind a name, an ARN or a logical id.

    Raises: ServiceError naming the functions there are.
    """
    known = [config.name for config in deployment.functions.functions()]
    if reference in known:
        return reference
    for resource in deployment.of_type("AWS::Lambda::Function"):
        if resource.logical_id == reference:
            return deployment.stack.physical_id(reference)
    try:
        return deployment.functions.config(reference).name
    except ServiceError as error:
        names = ", ".join(sorted(known) + sorted(deployment.apis)) or "none"
        message = f"there is no function or API {reference!r}; there are {names}"
        raise ServiceError("ResourceNotFoundException", message) from error
