"""The Lambda API's operations on functions: create, update, delete, describe, concurrency, event invoke config."""

import base64
import binascii
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headwater.errors import ServiceError
from headwater.functions.admin.code_store import CodeStore, StoredCode
from headwater.functions.config import LATEST, EventInvokeConfig, FunctionConfig
from headwater.functions.runtimes import find_runtime
from headwater.functions.service import FunctionService

FetchObject = Callable[[str, str], bytes]
# Accepted and shown again; they do not change what code or clients see here.
_SHOWN = ("Architectures", "TracingConfig", "EphemeralStorage", "SnapStart", "VpcConfig", "KMSKeyArn")
_REFUSED = ("ImageConfig", "FileSystemConfigs", "Layers", "CapacityProviderConfig", "DurableConfig")


@dataclass(slots=True)
class _Facts:
    """What the API shows of a function beside its configuration."""

    code_sha256: str
    code_size: int
    modified_s: float
    revision_id: str
    shown: dict[str, Any]


class FunctionAdmin:
    """Functions as the API manages them; those made here are kept in the code store and come back after a restart."""

    def __init__(
        self,
        service: FunctionService,
        store: CodeStore,
        *,
        clock: Callable[[], float],
        fetch_object: FetchObject | None = None,
    ) -> None:
        self._service = service
        self._store = store
        self._clock = clock
        self._fetch_object = fetch_object
        self._facts: dict[str, _Facts] = {}
        self._made_here: set[str] = set()
        self._permissions: dict[str, dict[str, dict[str, Any]]] = {}

    def restore(self) -> None:
        """Register the functions that earlier runs made through the API."""
        for settings in self._store.load():
            request, code = settings["request"], settings["code"]
            stored = StoredCode(Path(code["directory"]), code["sha256"], code["size"])
            self._register(request, stored, settings["modified"])

    def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name = _required(request, "FunctionName").split(":")[-1]
        if any(config.name == name for config in self._service.functions()):
            message = f"Function already exist: {name}"
            raise ServiceError("ResourceConflictException", message, status=409, fields={"Type": "User"})
        for needed in ("Role", "Code"):
            _required(request, needed)
        stored = self._store.unpack(name, self._archive(request["Code"]))
        kept = {key: value for key, value in request.items() if key not in ("Code", "Publish")}
        kept["FunctionName"] = name
        self._register(kept, stored, self._clock())
        self._keep(kept, stored)
        return self.describe(name)

    def update_code(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        settings = self._settings(name)
        stored = self._store.unpack(name, self._archive(request))
        if not request.get("DryRun"):
            self._register(settings["request"], stored, self._clock())
            self._keep(settings["request"], stored)
        return self.describe(name)

    def update_configuration(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        settings = self._settings(name)
        code = settings["code"]
        stored = StoredCode(Path(code["directory"]), code["sha256"], code["size"])
        changes = {key: value for key, value in request.items() if value is not None and key != "FunctionName"}
        merged = {**settings["request"], **changes}
        self._register(merged, stored, self._clock())
        self._keep(merged, stored)
        return self.describe(name)

    def delete(self, name: str) -> None:
        self._settings(name)
        self._service.unregister(name)
        self._store.remove(name)
        self._facts.pop(name, None)
        self._permissions.pop(name, None)
        self._made_here.discard(name)

    # Descriptions

    def describe(self, name: str) -> dict[str, Any]:
        """The function's configuration in the API's shape."""
        config = self._service.config(name)
        facts = self._facts.get(config.name) or _Facts("", 0, 0.0, "", {})
        return {
            "FunctionName": config.name,
            "FunctionArn": config.arn,
            "Runtime": config.runtime_name,
            "Role": config.role_arn,
            "Handler": config.handler,
            "CodeSize": facts.code_size,
            "Description": config.description,
            "Timeout": int(config.timeout_s),
            "MemorySize": config.memory_mb,
            "LastModified": datetime.fromtimestamp(facts.modified_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
            "CodeSha256": facts.code_sha256,
            "Version": LATEST,
            "Environment": {"Variables": dict(config.environment)},
            "TracingConfig": {"Mode": "PassThrough"},
            "RevisionId": facts.revision_id,
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "PackageType": "Zip",
            "Architectures": ["x86_64"],
            "EphemeralStorage": {"Size": 512},
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
            "LoggingConfig": {"LogFormat": config.log_format, "LogGroup": config.log_group_name},
            **facts.shown,
        }

    def get(self, name: str) -> dict[str, Any]:
        config = self._service.config(name)
        answer: dict[str, Any] = {
            "Configuration": self.describe(name),
            "Code": {"RepositoryType": "S3", "Location": config.code_dir.as_uri()},
        }
        if config.reserved_concurrency is not None:
            answer["Concurrency"] = {"ReservedConcurrentExecutions": config.reserved_concurrency}
        return answer

    def list_functions(self) -> dict[str, Any]:
        return {"Functions": [self.describe(config.name) for config in self._service.functions()]}

    def aliases(self, name: str) -> list[dict[str, Any]]:
        config = self._service.config(name)
        return [
            {"AliasArn": f"{config.arn}:{alias}", "Name": alias, "FunctionVersion": version, "Description": ""}
            for alias, version in config.aliases.items()
        ]

    def versions(self, name: str) -> dict[str, Any]:
        config = self._service.config(name)
        latest = self.describe(name)
        numbered = [
            {**latest, "Version": version, "FunctionArn": f"{config.arn}:{version}"} for version in config.versions
        ]
        return {"Versions": [{**latest, "FunctionArn": f"{config.arn}:{LATEST}"}, *numbered]}

    # Concurrency and asynchronous invocation

    def put_concurrency(self, name: str, reserved: int | None) -> dict[str, Any]:
        if reserved is not None and (not isinstance(reserved, int) or reserved < 0):
            raise _invalid(f"ReservedConcurrentExecutions must be 0 or more, not {reserved}")
        self._service.register(replace(self._service.config(name), reserved_concurrency=reserved))
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    def concurrency(self, name: str) -> dict[str, Any]:
        reserved = self._service.config(name).reserved_concurrency
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    def put_event_invoke(self, name: str, request: Mapping[str, Any], *, is_update: bool) -> dict[str, Any]:
        config = self._service.config(name)
        if not any(key in request for key in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")):
            raise _invalid("You must specify at least one of error handling or destination setting.")
        base = config.event_invoke if is_update else EventInvokeConfig(dead_letter=config.event_invoke.dead_letter)
        retries = request.get("MaximumRetryAttempts", base.maximum_retry_attempts)
        age_s = request.get("MaximumEventAgeInSeconds", base.maximum_event_age_s)
        if not 0 <= retries <= 2 or not 60 <= age_s <= 21_600:
            raise _invalid("MaximumRetryAttempts is 0 to 2 and MaximumEventAgeInSeconds 60 to 21600.")
        destinations = request.get("DestinationConfig")
        settings = replace(base, maximum_retry_attempts=retries, maximum_event_age_s=age_s)
        if destinations is not None:
            settings = replace(
                settings,
                on_success=(destinations.get("OnSuccess") or {}).get("Destination"),
                on_failure=(destinations.get("OnFailure") or {}).get("Destination"),
            )
        self._service.register(replace(config, event_invoke=settings))
        return self.event_invoke(name)

    def delete_event_invoke(self, name: str) -> None:
        config = self._service.config(name)
        default = EventInvokeConfig(dead_letter=config.event_invoke.dead_letter)
        self._service.register(replace(config, event_invoke=default))

    def event_invoke(self, name: str) -> dict[str, Any]:
        config = self._service.config(name)
        settings = config.event_invoke
        if settings == EventInvokeConfig(dead_letter=settings.dead_letter):
            message = f"The function {config.arn}:{LATEST} doesn't have an EventInvokeConfig"
            raise ServiceError("ResourceNotFoundException", message, status=404, fields={"Type": "User"})
        return {
            "FunctionArn": f"{config.arn}:{LATEST}",
            "LastModified": self._clock(),
            "MaximumRetryAttempts": settings.maximum_retry_attempts,
            "MaximumEventAgeInSeconds": int(settings.maximum_event_age_s),
            "DestinationConfig": {
                "OnSuccess": {"Destination": settings.on_success} if settings.on_success else {},
                "OnFailure": {"Destination": settings.on_failure} if settings.on_failure else {},
            },
        }

    # Resource policies: shown, never asked, since who calls a function here is the instance itself

    def add_permission(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        config = self._service.config(name)
        sid = _required(request, "StatementId")
        principal = _required(request, "Principal")
        statements = self._permissions.setdefault(config.name, {})
        if sid in statements:
            message = (
                f"The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the "
                "existing statement."
            )
            raise ServiceError("ResourceConflictException", message, status=409, fields={"Type": "User"})
        statement: dict[str, Any] = {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"Service": principal} if "." in principal else {"AWS": principal},
            "Action": _required(request, "Action"),
            "Resource": config.arn,
        }
        conditions = {}
        if request.get("SourceArn"):
            conditions["ArnLike"] = {"AWS:SourceArn": request["SourceArn"]}
        if request.get("SourceAccount"):
            conditions["StringEquals"] = {"AWS:SourceAccount": request["SourceAccount"]}
        if conditions:
            statement["Condition"] = conditions
        statements[sid] = statement
        return {"Statement": json.dumps(statement)}

    def remove_permission(self, name: str, sid: str) -> None:
        if self._permissions.get(self._service.config(name).name, {}).pop(sid, None) is None:
            message = f"Statement {sid} is not found in resource policy."
            raise ServiceError("ResourceNotFoundException", message, status=404, fields={"Type": "User"})

    def policy(self, name: str) -> dict[str, Any]:
        statements = list(self._permissions.get(self._service.config(name).name, {}).values())
        if not statements:
            message = "The resource you requested does not exist."
            raise ServiceError("ResourceNotFoundException", message, status=404, fields={"Type": "User"})
        document = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
        return {"Policy": json.dumps(document), "RevisionId": str(uuid.uuid4())}

    # Parts

    def _settings(self, name: str) -> dict[str, Any]:
        """What was kept of a function made here.

        Raises: ServiceError for an unknown function, or one that the template owns.
        """
        self._service.config(name)
        for settings in self._store.load():
            if settings["request"]["FunctionName"] == name and name in self._made_here:
                return settings
        raise _invalid(f"The function {name} comes from the template; change it there.")

    def _keep(self, request: Mapping[str, Any], stored: StoredCode) -> None:
        code = {"directory": str(stored.directory), "sha256": stored.sha256, "size": stored.size_bytes}
        name = request["FunctionName"]
        modified_s = self._facts[name].modified_s
        self._store.save(name, {"request": dict(request), "code": code, "modified": modified_s})

    def _register(self, request: Mapping[str, Any], stored: StoredCode, modified_s: float) -> None:
        name = request["FunctionName"]
        self._service.register(self._function_config(request, stored.directory))
        shown = {key: request[key] for key in _SHOWN if key in request}
        self._facts[name] = _Facts(stored.sha256, stored.size_bytes, modified_s, str(uuid.uuid4()), shown)
        self._made_here.add(name)

    def _function_config(self, request: Mapping[str, Any], code_dir: Path) -> FunctionConfig:
        for refused in _REFUSED:
            if request.get(refused):
                raise _invalid(f"{refused} is not supported here for a function made through the API.")
        runtime = request.get("Runtime") or ""
        try:
            runtime_kind = find_runtime(runtime)
        except ValueError as error:
            raise _invalid(f"The runtime {runtime or '(none)'} is not supported here: {error}") from error
        timeout_s, memory_mb = request.get("Timeout", 3), request.get("MemorySize", 128)
        if not 1 <= timeout_s <= 900 or not 128 <= memory_mb <= 32_768:
            raise _invalid(f"Timeout is 1 to 900 s and MemorySize 128 to 32768 MB, not {timeout_s} and {memory_mb}.")
        logging = request.get("LoggingConfig") or {}
        name = request["FunctionName"]
        return FunctionConfig(
            name=name,
            arn=f"arn:aws:lambda:{self._service.region}:{self._service.account_id}:function:{name}",
            handler=_required(request, "Handler"),
            code_dir=code_dir,
            environment=dict((request.get("Environment") or {}).get("Variables") or {}),
            timeout_s=timeout_s,
            memory_mb=memory_mb,
            runtime=runtime_kind,
            runtime_name=runtime,
            role_arn=request.get("Role", ""),
            description=request.get("Description", ""),
            event_invoke=EventInvokeConfig(dead_letter=(request.get("DeadLetterConfig") or {}).get("TargetArn")),
            log_format=logging.get("LogFormat", "Text"),
            log_level=logging.get("ApplicationLogLevel"),
            log_group=logging.get("LogGroup", ""),
        )

    def _archive(self, code: Mapping[str, Any]) -> bytes:
        if code.get("ZipFile") is not None:
            try:
                return base64.b64decode(code["ZipFile"], validate=True)
            except (binascii.Error, TypeError) as error:
                raise _invalid("ZipFile must be base64.") from error
        if code.get("S3Bucket") and code.get("S3Key") and self._fetch_object is not None:
            return self._fetch_object(code["S3Bucket"], code["S3Key"])
        raise _invalid("Please provide a source for function code: a ZipFile, or an S3Bucket with an S3Key.")


def _required(request: Mapping[str, Any], name: str) -> Any:
    value = request.get(name)
    if value:
        return value
    member = name[0].lower() + name[1:]
    raise ServiceError(
        "ValidationException",
        f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null",
    )


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValueException", message, status=400, fields={"Type": "User"})
