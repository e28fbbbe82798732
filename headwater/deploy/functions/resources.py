"""Functions: where their code lies, what environment they get, and whose keys they use."""

import hashlib
import importlib.util
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

from headwater.deploy.deployment import Deployment
from headwater.deploy.functions.requirements import installed_requirements
from headwater.errors import TemplateError
from headwater.functions.config import LATEST, EventInvokeConfig, FunctionConfig
from headwater.functions.runtimes import Runtime, find_runtime, handler_files, layer_folder
from headwater.template.intrinsics import Resource

# Layers whose content the functions' interpreter has anyway: it runs in the environment Headwater is installed in.
_PROVIDED_LAYERS = ("AWSLambdaPowertoolsPython", "AWSSDK", "LambdaInsightsExtension")


def _code_dir(deployment: Deployment, resource: Resource) -> Path:
    code = resource.properties.get("Code")
    if isinstance(code, dict) and "ZipFile" in code:
        return _inline(deployment, resource.logical_id, str(code["ZipFile"]), _runtime(resource))
    path = deployment.loaded.path(_local_code(deployment, code))
    if path.is_dir():
        return path
    if path.is_file() and zipfile.is_zipfile(path):
        return _unpacked(deployment.data_dir, path)
    raise TemplateError(
        f"there is no folder or zip file {path}", property_path="Code" if isinstance(code, str) else "CodeUri"
    )


def _local_code(deployment: Deployment, code: object) -> str:
    if isinstance(code, str):
        return code  # as `sam build` and `aws cloudformation package` take it
    if not isinstance(code, dict):
        raise TemplateError(
            f"expected {{ZipFile: …}} or a path beside the template, found {code!r}", property_path="Code"
        )
    local = deployment.loaded.code.path_of(code.get("S3Bucket"), code.get("S3Key"))
    if local is None:
        raise TemplateError(
            f"the code lies in S3 ({code.get('S3Bucket')}); give CodeUri a path beside the template",
            property_path="Code",
        )
    return local


def _inline(deployment: Deployment, logical_id: str, text: str, runtime: Runtime) -> Path:
    folder = deployment.data_dir / "functions" / logical_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("index.py" if runtime == "python" else "index.js")).write_text(text)
    return folder


def _unpacked(data_dir: Path, archive: Path) -> Path:
    """The content of a zip file, unpacked once for each of its states."""
    data = archive.read_bytes()
    folder = data_dir / "functions" / hashlib.sha256(data).hexdigest()[:24]
    if folder.is_dir():
        return folder
    temporary = folder.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            target = (temporary / name).resolve()
            if not target.is_relative_to(temporary.resolve()):
                raise TemplateError(f"{archive} holds {name!r}, which points outside", property_path="CodeUri")
        opened.extractall(temporary)
    temporary.rename(folder)
    return folder


def _layers(deployment: Deployment, resource: Resource) -> tuple[Path, ...]:
    folders: list[Path] = []
    by_arn = {
        deployment.stack.ref(layer.logical_id): layer for layer in deployment.of_type("AWS::Lambda::LayerVersion")
    }
    for arn in resource.properties.get("Layers") or []:
        if arn in by_arn:
            content = by_arn[arn].properties.get("Content") or {}
            local = deployment.loaded.code.path_of(content.get("S3Bucket"), content.get("S3Key"))
            if local is None:
                raise TemplateError(f"the layer {by_arn[arn].logical_id} lies in S3", property_path="Layers")
            path = deployment.loaded.path(local)
            folders.append(path if path.is_dir() else _unpacked(deployment.data_dir, path))
        elif not any(name in str(arn) for name in _PROVIDED_LAYERS):
            raise TemplateError(
                f"the layer {arn} cannot be fetched; put its content beside the template as a LayerVersion",
                property_path="Layers",
            )
    return tuple(folders)


def _environment(resource: Resource) -> dict[str, str]:
    environment = resource.properties.get("Environment") or {}
    variables = environment.get("Variables") or {} if isinstance(environment, dict) else environment
    if not isinstance(variables, dict):
        raise TemplateError(f"expected a mapping, found {variables!r}", property_path="Environment")
    return {name: _text(value) for name, value in variables.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)):
        raise TemplateError(f"an environment variable is text, found {value!r}", property_path="Environment")
    return str(value)


def _event_invokes(deployment: Deployment, resource: Resource, name: str) -> dict[str, EventInvokeConfig]:
    """How asynchronous calls end, by qualifier; `$LATEST` is always there, for it has the dead-letter queue."""
    dead_letter = (resource.properties.get("DeadLetterConfig") or {}).get("TargetArn") or None
    _check_destination("DeadLetterConfig", dead_letter)
    found = {LATEST: EventInvokeConfig(dead_letter=dead_letter)}
    for config in deployment.of_type("AWS::Lambda::EventInvokeConfig"):
        given = config.properties
        if str(given["FunctionName"]).rsplit(":", 1)[-1] != name:
            continue
        default = EventInvokeConfig()
        destinations = given.get("DestinationConfig") or {}
        success = (destinations.get("OnSuccess") or {}).get("Destination")
        failure = (destinations.get("OnFailure") or {}).get("Destination")
        _check_destination("DestinationConfig.OnSuccess", success, "lambda", "events")
        _check_destination("DestinationConfig.OnFailure", failure, "lambda", "events", "s3")
        found[str(given.get("Qualifier") or LATEST)] = EventInvokeConfig(
            maximum_retry_attempts=int(given.get("MaximumRetryAttempts", default.maximum_retry_attempts)),
            maximum_event_age_s=float(given.get("MaximumEventAgeInSeconds", default.maximum_event_age_s)),
            on_success=success,
            on_failure=failure,
            dead_letter=dead_letter,
        )
    return found


_NAMED = {"sqs": "queues", "sns": "topics", "lambda": "functions", "events": "event buses", "s3": "buckets"}


def _check_destination(property_path: str, arn: str | None, *more: str) -> None:
    services = ("sqs", "sns", *more)
    if arn is not None and arn.split(":")[2:3] not in [[service] for service in services]:
        allowed = ", ".join(_NAMED[service] for service in services)
        raise TemplateError(f"{arn} cannot be delivered to: {allowed} can", property_path=property_path)


def _runtime(resource: Resource) -> Runtime:
    try:
        return find_runtime(str(resource.properties.get("Runtime", "")))
    except ValueError as error:
        raise TemplateError(f"{resource.properties.get('Runtime')!r}: {error}", property_path="Runtime") from error


def _check_handler(handler: str, runtime: Runtime, folders: tuple[Path, ...]) -> None:
    """Raises: TemplateError unless a module of the handler's name lies in the code or a layer."""
    files = handler_files(handler, runtime)
    if not files:
        raise TemplateError(f"{handler!r} is not module.function", property_path="Handler")
    roots = [folders[0], *(layer_folder(layer, runtime) for layer in folders[1:])]
    if not any((root / file).is_file() for root in roots for file in files):
        missing = folders[0] / files[0]
        source = missing.with_suffix(".ts")
        hint = (
            f"; {source.name} has to be built: run `sam build` and give .aws-sam/build/template.yaml"
            if source.is_file()
            else ""
        )
        raise TemplateError(f"{handler!r}: there is no {missing}{hint}", property_path="Handler")


def _aliases(deployment: Deployment, name: str) -> list[Resource]:
    return [
        alias
        for alias in deployment.of_type("AWS::Lambda::Alias")
        if str(alias.properties.get("FunctionName")).rsplit(":", 1)[-1] == name
    ]


def _version_of(alias: Resource) -> str:
    return str(alias.properties.get("FunctionVersion", "1"))


def _weights(alias: Resource) -> list[tuple[str, float]]:
    """The other version that shares the alias's calls, with its part; nothing without one."""
    entries = (alias.properties.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or []
    return [(str(entry["FunctionVersion"]), float(entry["FunctionWeight"])) for entry in entries]


def _versions(deployment: Deployment, name: str) -> tuple[str, ...]:
    """The numbers that the template's versions and aliases of a function have; all of them run its code."""
    published = [
        str(deployment.stack.get_att([version.logical_id, "Version"]))
        for version in deployment.of_type("AWS::Lambda::Version")
        if str(version.properties.get("FunctionName")).rsplit(":", 1)[-1] == name
    ]
    aliases = _aliases(deployment, name)
    others = [number for alias in aliases for number, _ in _weights(alias)]
    numbers = (*published, *map(_version_of, aliases), *others)
    return tuple(dict.fromkeys(number for number in numbers if number != LATEST))


def _debug_port(deployment: Deployment, logical_id: str, name: str, runtime: Runtime) -> int | None:
    """The port of the function's debugger, if one was asked for.

    Raises: TemplateError when debugpy is not installed.
    """
    ports = deployment.options.debug_ports
    port = ports.get(name, ports.get(logical_id))
    if port is None:
        return None
    if runtime == "python" and importlib.util.find_spec("debugpy") is None:
        raise TemplateError(f"--debug-function needs debugpy: {sys.executable} -m pip install debugpy")
    deployment.warnings.append(f"{name} runs under a debugger at 127.0.0.1:{port}, without a timeout")
    return port


def check_debugged(deployment: Deployment) -> None:
    """Raises: TemplateError for a debugger of a function that the template does not have."""
    logical_ids = {one.logical_id for one in deployment.of_type("AWS::Lambda::Function")}
    known = logical_ids | {config.name for config in deployment.functions.functions()}
    for name in deployment.options.debug_ports:
        if name not in known and not deployment.faults.found:
            there = ", ".join(sorted(logical_ids)) or "none"
            raise TemplateError(f"--debug-function {name}: the template has no such function; it has {there}")


def warn_about_interpreter(deployment: Deployment) -> None:
    """Say once that functions run on another version than their template names."""
    running = f"python{sys.version_info.major}.{sys.version_info.minor}"
    configs = deployment.functions.functions()
    named = sorted({config.runtime_name for config in configs if config.runtime == "python"} - {running})
    if named:
        deployment.warnings.append(f"functions of {', '.join(named)} run on the {running} that Headwater runs on")


async def deploy_function(deployment: Deployment, resource: Resource) -> None:
    """Register a function; its first environment starts when it is warmed or called."""
    properties = resource.properties
    name = deployment.stack.physical_id(resource.logical_id)
    logging = properties.get("LoggingConfig") or {}
    concurrency = properties.get("ReservedConcurrentExecutions")
    handler, code_dir = str(properties.get("Handler", "index.handler")), _code_dir(deployment, resource)
    runtime, layers = _runtime(resource), _layers(deployment, resource)
    _check_handler(handler, runtime, (code_dir, *layers))
    if runtime == "python" and "BuildMethod" not in resource.metadata:
        layers = (*layers, *await installed_requirements(code_dir, deployment.requirements_dir))
    event_invokes = _event_invokes(deployment, resource, name)
    aliases = _aliases(deployment, name)
    config = FunctionConfig(
        name=name,
        arn=deployment.stack.environment.arn("lambda", f"function:{name}"),
        handler=handler,
        code_dir=code_dir,
        environment=_environment(resource),
        timeout_s=float(properties.get("Timeout", 3)),
        memory_mb=int(properties.get("MemorySize", 128)),
        layers=layers,
        reserved_concurrency=int(concurrency) if concurrency is not None else None,
        runtime=runtime,
        runtime_name=str(properties.get("Runtime", "")),
        role_arn=str(properties.get("Role", "")),
        description=str(properties.get("Description", "")),
        aliases={str(alias.properties["Name"]): _version_of(alias) for alias in aliases},
        alias_weights={str(alias.properties["Name"]): weight for alias in aliases for weight in _weights(alias)},
        versions=_versions(deployment, name),
        event_invoke=event_invokes.pop(LATEST),
        event_invokes=event_invokes,
        debug_port=_debug_port(deployment, resource.logical_id, name, runtime),
        log_format="JSON" if logging.get("LogFormat") == "JSON" else "Text",
        log_level=logging.get("ApplicationLogLevel"),
        system_log_level=logging.get("SystemLogLevel"),
        log_group=str(logging.get("LogGroup", "")),
    )
    deployment.functions.register(config)
    deployment.report(resource, name)
