"""`LogConfig` and `headwater logs`: what a GraphQL API logs, and the lines it has logged."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from headwater.errors import ServiceError, TemplateError
from headwater.server.appsync.api_log import ApiLog, FieldLogLevel, LogSettings

if TYPE_CHECKING:
    from headwater.deploy.deployment import Deployment
    from headwater.deploy.graphql.api import GraphQLApi


def api_log(properties: Mapping[str, Any], api_arn: str, clock: Callable[[], float]) -> ApiLog | None:
    """The log of an API; None where it has no LogConfig. Raises: TemplateError for an unknown FieldLogLevel."""
    config = properties.get("LogConfig")
    if not config:
        return None
    level = config.get("FieldLogLevel", "NONE")
    if level not in FieldLogLevel.__members__:
        expected = ", ".join(FieldLogLevel.__members__)
        raise TemplateError(f"{level!r}: expected {expected}", property_path="LogConfig.FieldLogLevel")
    is_brief = str(config.get("ExcludeVerboseContent", "false")).lower() == "true"
    return ApiLog(api_arn, LogSettings(FieldLogLevel[level], is_verbose=not is_brief), clock)


def find_api(deployment: "Deployment", reference: str) -> "GraphQLApi | None":
    """The API behind a logical id, an API id or a log group's name."""
    for api in deployment.apis.values():
        if reference in (api.logical_id, api.api_id, f"/aws/appsync/apis/{api.api_id}"):
            return api
    return None


async def api_logs(api: "GraphQLApi", number: int, wait_s: float) -> dict[str, Any]:
    """The lines after a number, waited for up to `wait_s`, with the number to go on from.

    Raises: ServiceError for an API that logs nothing.
    """
    log = api.log
    if log is None:
        message = (
            f"the API {api.logical_id} logs nothing: give it LogConfig with FieldLogLevel "
            f"{', '.join(FieldLogLevel.__members__)}"
        )
        raise ServiceError("ResourceNotFoundException", message)
    last = log.last_number
    found = await log.wait_after(number, wait_s) if wait_s else log.after(number)
    return {
        "function": api.logical_id,
        "events": [{"timestamp": one.epoch_ms, "message": one.message, "logStream": api.api_id} for one in found],
        "next": found[-1].number if found else max(number, last),
    }
