"""Create and update requests of the Lambda API: checked as the service does, and made a configuration.

Source: Lambda API Reference, CreateFunction; messages marked (recorded) were recorded on AWS.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headwater.functions.admin.answers import (
    between,
    check_place,
    checked,
    constraint,
    constraints,
    invalid,
    required,
)
from headwater.functions.config import NEW_NAME_PATTERN, EventInvokeConfig, FunctionConfig, parse_function_name
from headwater.functions.runtimes import find_runtime

_MAX_REFERENCE = 140
_MAX_NAME = 64
_ROLE_PATTERN = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
_ROLE = re.compile(_ROLE_PATTERN)
_MAX_ENVIRONMENT_BYTES = 4096
_MAX_TAGS = 50
# What Lambda sets itself and a request may not. Source: developer guide, "Defined runtime environment variables".
_RESERVED_VARIABLES = frozenset(
    """_HANDLER _X_AMZN_TRACE_ID AWS_DEFAULT_REGION AWS_REGION AWS_EXECUTION_ENV AWS_LAMBDA_FUNCTION_NAME
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_INITIALIZATION_TYPE
    AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME AWS_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
    AWS_SESSION_TOKEN AWS_LAMBDA_RUNTIME_API LAMBDA_TASK_ROOT LAMBDA_RUNTIME_DIR""".split()
)
_LOG_LEVELS = {
    "ApplicationLogLevel": ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"),
    "SystemLogLevel": ("DEBUG", "INFO", "WARN"),
}
_ARCHITECTURES = ("x86_64", "arm64")
_REFUSED = ("ImageConfig", "FileSystemConfigs", "CapacityProviderConfig", "DurableConfig")


def function_name_of(request: Mapping[str, Any], *, region: str, account_id: str) -> str:
    """The plain name a function is created under; messages are those (recorded)."""
    required(request, "FunctionName")
    text: str = checked(request, "FunctionName", str)
    faults = []
    if len(text) > _MAX_REFERENCE:
        faults.append(("functionName", text, f"have length less than or equal to {_MAX_REFERENCE}"))
    if re.fullmatch(NEW_NAME_PATTERN, text, re.ASCII) is None:
        faults.append(("functionName", text, f"satisfy regular expression pattern: {NEW_NAME_PATTERN}"))
    if faults:
        raise constraints(faults)
    parsed = parse_function_name(text)
    check_place(parsed, region=region, account_id=account_id)
    if parsed.qualifier is not None:
        raise constraint("functionName", text, "not have a qualifier")
    if len(parsed.name) > _MAX_NAME:
        # Another code than the other constraints have.
        raise invalid(constraint("functionName", parsed.name, f"have length less than or equal to {_MAX_NAME}").message)
    return parsed.name


def check_tags(tags: Any) -> dict[str, str]:
    """Raises: ServiceError for more than 50 tags, or what are no texts."""
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise invalid("Tags is a map of texts.")
    if len(tags) > _MAX_TAGS:  # (recorded)
        raise invalid("Number of tags exceeds resource tag limit.")
    return tags


def build_config(
    request: Mapping[str, Any], *, arn: str, code_dir: Path, layers: tuple[Path, ...], version: str
) -> FunctionConfig:
    """Raises: ServiceError with the service's code and message."""
    for refused in _REFUSED:
        if request.get(refused):
            raise invalid(f"{refused} is not supported here.")
    if (checked(request, "VpcConfig", dict, {})).get("SubnetIds"):
        raise invalid("VpcConfig is not supported here: functions run on this machine's network.")
    if checked(request, "PackageType", str, "Zip") != "Zip":
        raise invalid("PackageType Image is not supported here; give a zip.")
    runtime = checked(request, "Runtime", str, "")
    try:
        runtime_kind = find_runtime(runtime)
    except ValueError as error:
        raise invalid(f"The runtime {runtime or '(none)'} is not supported here: {error}") from error
    role = checked(request, "Role", str, "")
    if not _ROLE.fullmatch(role):  # (recorded)
        raise constraint("role", role, f"satisfy regular expression pattern: {_ROLE_PATTERN}")
    logging = checked(request, "LoggingConfig", dict, {})
    check_architectures(request)
    return FunctionConfig(
        name=str(request["FunctionName"]),
        arn=arn,
        handler=_handler(request),
        code_dir=code_dir,
        environment=_environment(request),
        timeout_s=between(request, "Timeout", 3, 1, 900) or 3,
        memory_mb=between(request, "MemorySize", 128, 128, 32_768) or 128,
        layers=layers,
        runtime=runtime_kind,
        runtime_name=runtime,
        role_arn=role,
        description=checked(request, "Description", str, ""),
        version=version,
        event_invoke=EventInvokeConfig(dead_letter=_dead_letter(request)),
        log_format=_log_format(logging),
        log_level=logging.get("ApplicationLogLevel"),
        system_log_level=logging.get("SystemLogLevel"),
        log_group=str(logging.get("LogGroup") or ""),
    )


def check_architectures(request: Mapping[str, Any]) -> None:
    """Raises: ServiceError for anything but one of the service's architectures (recorded)."""
    given: list[Any] = checked(request, "Architectures", list, [])
    shown = f"[{', '.join(map(str, given))}]"
    if len(given) > 1:
        raise constraint("architectures", shown, "have length less than or equal to 1")
    if given and given[0] not in _ARCHITECTURES:
        rule = f"Member must satisfy enum value set: [{', '.join(_ARCHITECTURES)}], Member must not be null"
        raise constraint("architectures", shown, f"satisfy constraint: [{rule}]")


def _handler(request: Mapping[str, Any]) -> str:
    required(request, "Handler")
    handler: str = checked(request, "Handler", str)
    return handler


def _dead_letter(request: Mapping[str, Any]) -> str | None:
    """The queue or topic for events that were given up on; an empty text takes it away."""
    arn: str | None = checked(checked(request, "DeadLetterConfig", dict, {}), "TargetArn", str) or None
    if arn is not None and arn.split(":")[2:3] not in (["sqs"], ["sns"]):
        raise invalid(f"The dead-letter target {arn} must be an SQS queue or an SNS topic.")
    return arn


def _log_format(logging: Mapping[str, Any]) -> Any:
    given = logging.get("LogFormat") or "Text"
    if given not in ("Text", "JSON"):
        raise constraint("loggingConfig.logFormat", given, "satisfy enum value set: [JSON, Text]")
    for member, levels in _LOG_LEVELS.items():
        level = logging.get(member)
        if level is not None and level not in levels:
            path = f"loggingConfig.{member[0].lower()}{member[1:]}"
            raise constraint(path, level, f"satisfy enum value set: [{', '.join(levels)}]")
        if level is not None and given == "Text":
            raise invalid(f"{member} needs the LogFormat JSON.")
    return given


def _environment(request: Mapping[str, Any]) -> dict[str, str]:
    variables = checked(checked(request, "Environment", dict, {}), "Variables", dict, {})
    if not all(isinstance(value, str) for value in variables.values()):
        raise invalid("The value of an environment variable is a text.")
    reserved = sorted(_RESERVED_VARIABLES & set(variables))
    if reserved:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. Reserved keys used in "
            f"this request: {', '.join(reserved)}"
        )
    text = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode()) > _MAX_ENVIRONMENT_BYTES:  # (recorded)
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the 4KB limit. String measured: {text}"
        )
    return dict(variables)
