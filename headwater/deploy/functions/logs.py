"""`/_headwater/logs`: the newest log lines of one function, and those that come."""

from typing import Any
from urllib.parse import parse_qs

from headwater.deploy.deployment import Deployment
from headwater.errors import ServiceError

# Below the time other commands wait for an answer.
_LONGEST_WAIT_S = 5.0


async def function_logs(deployment: Deployment, query: str) -> dict[str, Any]:
    """Events after number `after` (0: all that are kept), waited for if `wait` is 1, with the number to go on from.

    Raises: ServiceError for an unknown function.
    """
    given = {name: values[0] for name, values in parse_qs(query).items()}
    name = find_function_name(deployment, given.get("function", ""))
    after = given.get("after", "0")
    number = int(after) if after.isdigit() else 0
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
        message = f"there is no function {reference!r}; there are {', '.join(sorted(known)) or 'none'}"
        raise ServiceError("ResourceNotFoundException", message) from error
