"""The Lambda API's operations on functions: create, update, delete, describe, list."""

import asyncio
import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headwater.errors import ServiceError
from headwater.functions.admin.answers import between, check_revision, checked, conflict, invalid, page, required
from headwater.functions.admin.asynchronous import with_settings
from headwater.functions.admin.code_store import StoredCode
from headwater.functions.admin.layers import Layers
from headwater.functions.admin.records import FunctionRecord, FunctionRecords, PublishedVersion, new_revision
from headwater.functions.admin.request import build_config, check_architectures, check_tags, function_name_of
from headwater.functions.code_files import CodeState, code_state
from headwater.functions.config import LATEST, EventInvokeConfig, FunctionConfig
from headwater.functions.service import FunctionService

_LOGGER = logging.getLogger(__name__)
FetchObject = Callable[[str, str], Awaitable[bytes]]
# Accepted and shown again; they do not change what code or clients see here.
_SHOWN = ("Architectures", "TracingConfig", "EphemeralStorage", "SnapStart", "KMSKeyArn", "DeadLetterConfig")
# What the answer to a change says, though the change is made by the time the next call asks (recorded).
_REASON = "The function is being created."
_CREATING = {"State": "Pending", "StateReason": _REASON, "StateReasonCode": "Creating"}
_UPDATING = {
    "LastUpdateStatus": "InProgress",
    "LastUpdateStatusReason": _REASON,
    "LastUpdateStatusReasonCode": "Creating",
}
_STATES = ("State", "LastUpdateStatus")
_MAX_RESERVED = 900  # the account's 1000 less the 100 that stay unreserved


class FunctionAdmin:
    """Functions as the API manages them; those made here come back after a restart."""

    def __init__(
        self,
        service: FunctionService,
        records: FunctionRecords,
        layers: Layers,
        *,
        fetch_object: FetchObject | None = None,
    ) -> None:
        self._service = service
        self._records = records
        self._layers = layers
        self._fetch_object = fetch_object
        # Of the template's functions, by task root, since the number of reloads.
        self._code_states: dict[Path, tuple[int, CodeState]] = {}

    def restore(self) -> None:
        """Register what earlier runs made through the API: functions, versions and aliases."""
        for record in self._records.load():
            try:
                self._restore(record)
            except ServiceError as error:  # what ran it is no longer on this machine
                _LOGGER.error("function %s is not restored: %s", record.name, error)

    def _restore(self, record: FunctionRecord) -> None:
        known = [config for config in self._service.functions() if config.name == record.name]
        if known and not record.is_of_template:
            self._records.forget(record.name)
            raise conflict("the template has a function of this name now")
        if record.is_of_template:
            if not known:
                return  # the template has it no longer
            _leave_to_template(record, known[0])
        else:
            self._register(record)
            for version in record.versions.values():
                self.register_version(record, version)
        self.apply(record)

    async def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name = function_name_of(request, region=self._service.region, account_id=self._service.account_id)
        if any(config.name == name for config in self._service.functions()):
            raise conflict(f"Function already exist: {name}")
        for needed in ("Role", "Code"):
            required(request, needed)
        kept = {key: value for key, value in request.items() if key not in ("Code", "Publish", "Tags")}
        kept["FunctionName"] = name
        tags = check_tags(request.get("Tags") or {})
        self._config(kept, Path())
        stored = await self._unpack(name, checked(request, "Code", dict))
        if any(config.name == name for config in self._service.functions()):  # by a request at the same time
            raise conflict(f"Function already exist: {name}")
        record = FunctionRecord(name, self._service.clock(), kept, stored, tags=tags)
        self._register(record)
        self._records.add(record)
        # A new function's ARN is not qualified, even if its first version is published with it (recorded).
        answer = {**self.publish_if(name, request), "FunctionArn": self._service.config(name).arn, **_begun(_CREATING)}
        del answer["LastUpdateStatus"]
        return answer

    async def update_code(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        record = self._own(name)
        check_revision(request.get("RevisionId"), record.revision_id)
        check_architectures(request)
        stored = await self._unpack(name, request)
        self._own(name)
        if request.get("DryRun"):
            return {**self.describe(name), "CodeSha256": stored.sha256, "CodeSize": stored.size_bytes}
        if request.get("Architectures"):
            assert record.request is not None
            record.request["Architectures"] = request["Architectures"]
        record.code = stored
        self._changed(record)
        if not request.get("Publish"):
            return {**self.describe(name), **_begun(_UPDATING)}
        answer = {**self.publish_if(name, request), **_CREATING}  # what is begun is the version (recorded)
        del answer["LastUpdateStatus"]
        return answer

    def update_configuration(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        record = self._own(name)
        assert record.request is not None
        check_revision(request.get("RevisionId"), record.revision_id)
        without = ("FunctionName", "RevisionId")
        changes = {key: value for key, value in request.items() if value is not None and key not in without}
        merged = {**record.request, **changes}
        assert record.code is not None
        self._config(merged, record.code.directory)
        record.request = merged
        self._changed(record)
        return {**self.describe(name), **_begun(_UPDATING)}

    def delete(self, name: str, qualifier: str | None = None) -> None:
        """Remove a function, or one version of it."""
        if qualifier == LATEST:
            raise invalid("$LATEST version cannot be deleted without deleting the function.")
        if qualifier is None:
            self._own(name)
            self._service.unregister(name)
            self._records.remove(name)
            return
        record = self._records.of(name)
        if not qualifier.isdecimal():
            raise invalid("Deletion of aliases is not currently supported.")
        users = [alias["Name"] for alias in record.aliases.values() if qualifier in _versions_of(alias)]
        if users:
            raise conflict(f"Unable to delete version because the following aliases reference it: {users}")
        if record.versions.pop(qualifier, None) is not None:
            if not record.is_of_template:
                self._service.unregister(name, qualifier)
            self.apply(record)
            self._records.save(record)

    # Descriptions

    def describe(self, name: str, qualifier: str | None = None) -> dict[str, Any]:
        """The configuration of a function, a version, or the version behind an alias, in the API's shape.

        Raises: ServiceError ResourceNotFoundException.
        """
        config = self._service.config(f"{name}:{qualifier}" if qualifier else name)
        record = self._records.of(name)
        number = self._number(record, config, qualifier)
        version = record.versions.get(number)
        request, code = (record.request or {}), self.code_of(record)
        modified_s, revision = record.modified_s, record.revision_id
        if version is not None:
            modified_s, revision = version.published_s, version.revision_id
            request, code = (version.request or request), (version.code or code)
        has_environment = config.environment or request.get("Environment") is not None
        environment = {"Environment": {"Variables": dict(config.environment)}} if has_environment else {}
        layers = [self._layers.describe_used(arn) for arn in request.get("Layers") or ()]
        return {
            "FunctionName": config.name,
            "FunctionArn": f"{config.arn}:{qualifier}" if qualifier else config.arn,
            "Runtime": config.runtime_name,
            "Role": config.role_arn,
            "Handler": config.handler,
            "CodeSize": code.size_bytes,
            "Description": request.get("Description", config.description),
            "Timeout": int(config.timeout_s),
            "MemorySize": config.memory_mb,
            "LastModified": datetime.fromtimestamp(modified_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
            "CodeSha256": code.sha256,
            "Version": number,
            **environment,
            **({"Layers": layers} if layers else {}),
            "TracingConfig": {"Mode": "PassThrough"},
            "RevisionId": revision,
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "PackageType": "Zip",
            "Architectures": ["x86_64"],
            "EphemeralStorage": {"Size": 512},
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
            "LoggingConfig": _logging(config),
            **{key: request[key] for key in _SHOWN if key in request},
        }

    def entry(self, name: str, number: str | None = None) -> dict[str, Any]:
        """Like `describe`, as lists have it: without states (recorded)."""
        return {key: value for key, value in self.describe(name, number).items() if key not in _STATES}

    def code_of(self, record: FunctionRecord) -> StoredCode | CodeState:
        """The code of `$LATEST`; of a function of the template it is looked at once until it changes."""
        if record.code is not None:
            return record.code
        root, now = self._service.config(record.name).code_dir, self._service.reloads
        reloads, state = self._code_states.get(root, (-1, None))
        if state is None or reloads != now:
            state = code_state(root)
            self._code_states[root] = (now, state)
        return state

    def get(self, name: str, qualifier: str | None = None) -> dict[str, Any]:
        config = self._service.config(f"{name}:{qualifier}" if qualifier else name)
        answer: dict[str, Any] = {
            "Configuration": self.describe(name, qualifier),
            "Code": {"RepositoryType": "S3", "Location": config.code_dir.as_uri()},
        }
        if (tags := self._records.of(name).tags) and qualifier is None:
            answer["Tags"] = tags
        reserved = self._service.config(name).reserved_concurrency
        if reserved is not None:
            answer["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
        return answer

    def list_functions(self, query: Mapping[str, str]) -> dict[str, Any]:
        shown = query.get("FunctionVersion")
        if shown not in (None, "ALL"):
            raise ServiceError(
                "ValidationException",
                f"1 validation error detected: Value '{shown}' at 'functionVersion' failed to satisfy constraint: "
                "Member must satisfy enum value set: [ALL]",
            )
        found = []
        for config in sorted(self._service.functions(), key=lambda one: one.name):
            if shown is None:
                found.append(self.entry(config.name))
                continue
            numbers = [LATEST, *self.version_numbers(config.name)]
            found += [self.entry(config.name, number) for number in numbers]
        return page("Functions", found, query)

    def account_settings(self) -> dict[str, Any]:
        configs = self._service.functions()
        reserved = sum(config.reserved_concurrency or 0 for config in configs)
        # A published version is stored once more, and layers count as well (recorded).
        size_bytes = self._layers.size_bytes
        for record in (self._records.of(config.name) for config in configs):
            codes = [record.code, *(version.code for version in record.versions.values())]
            size_bytes += sum(code.size_bytes for code in codes if code is not None)
        return {
            "AccountLimit": {
                "TotalCodeSize": 80_530_636_800,
                "CodeSizeUnzipped": 262_144_000,
                "CodeSizeZipped": 52_428_800,
                "ConcurrentExecutions": 1000,
                "UnreservedConcurrentExecutions": 1000 - reserved,
            },
            "AccountUsage": {"TotalCodeSize": size_bytes, "FunctionCount": len(configs)},
        }

    # Concurrency

    def put_concurrency(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        required_number = between(request, "ReservedConcurrentExecutions", None, 0, 2**31 - 1)
        if required_number is None:
            required(request, "ReservedConcurrentExecutions")
        others = [one for one in self._service.functions() if one.name != name]
        if sum(one.reserved_concurrency or 0 for one in others) + (required_number or 0) > _MAX_RESERVED:
            raise ServiceError(
                "InvalidParameterValueException",
                "Specified ReservedConcurrentExecutions for function decreases account's "
                "UnreservedConcurrentExecution below its minimum value of [100].",
            )
        self._reserve(name, required_number)
        return {"ReservedConcurrentExecutions": required_number}

    def delete_concurrency(self, name: str) -> None:
        self._reserve(name, None)

    def concurrency(self, name: str) -> dict[str, Any]:
        reserved = self._service.config(name).reserved_concurrency
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    def _reserve(self, name: str, reserved: int | None) -> None:
        record = self._records.of(self._service.config(name).name)
        record.reserved_concurrency = reserved
        self._service.register(replace(self._service.config(name), reserved_concurrency=reserved))
        self._records.save(record)

    # Versions, as far as they are functions

    def publish_if(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The description, after publishing a version if the request asks for one."""
        if not request.get("Publish"):
            return self.describe(name)
        version = self.publish(self._records.of(name))
        return self.describe(name, version)

    def publish(self, record: FunctionRecord, description: str | None = None) -> str:
        """A number for what `$LATEST` is; the last one if nothing has changed since."""
        last = max(self.version_numbers(record.name), key=int, default=None)
        if last is not None and (record.is_of_template or self._is_unchanged(record, record.versions.get(last))):
            return last
        record.last_number += 1
        request = dict(record.request or {})
        if description is not None and not record.is_of_template:
            request["Description"] = description
        number = str(record.last_number)
        version = PublishedVersion(number, request, record.code, self._service.clock(), new_revision())
        record.versions[number] = version
        record.renew(None)  # publishing is a change of $LATEST, too (recorded)
        self.register_version(record, version)
        self.apply(record)
        self._records.save(record)
        return number

    def version_numbers(self, name: str) -> list[str]:
        """The versions there are, those of the template too, in order."""
        numbers = {*self._service.config(name).versions, *self._records.of(name).versions}
        return sorted((number for number in numbers if number.isdecimal()), key=int)

    def register_version(self, record: FunctionRecord, version: PublishedVersion) -> None:
        """A function made here runs a version in environments of its own; a template's runs the template's code."""
        if record.is_of_template or version.code is None:
            return
        self._service.register(self._config(version.request, version.code.directory, version.number))

    def apply(self, record: FunctionRecord) -> None:
        """Bring the record's aliases, versions and settings into the running function; the template's own stay."""
        config = self._service.config(record.name)
        own = self._template_parts(record, config)
        weights = {name: weight for name, weight in own.alias_weights.items() if name in own.aliases}
        for alias in record.aliases.values():
            for number, weight in ((alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}).items():
                weights[alias["Name"]] = (number, float(weight))
        aliases = {name: alias["FunctionVersion"] for name, alias in record.aliases.items()}
        numbers = tuple(record.versions) if record.is_of_template else ()
        changed = replace(
            config,
            aliases={**aliases, **own.aliases},
            alias_weights=weights,
            versions=(*own.versions, *(number for number in numbers if number not in own.versions)),
        )
        if record.reserved_concurrency is not None:
            changed = replace(changed, reserved_concurrency=record.reserved_concurrency)
        for qualifier, document in record.event_invokes.items():
            changed = with_settings(changed, qualifier, document)
        self._service.register(changed)

    def template_aliases(self, name: str) -> Mapping[str, str]:
        """The aliases that the template names, which are changed there."""
        return self._template_parts(self._records.of(name), self._service.config(name)).aliases

    # Parts

    def _template_parts(self, record: FunctionRecord, config: FunctionConfig) -> FunctionConfig:
        """The configuration with what the template names only."""
        aliases = {name: number for name, number in config.aliases.items() if name not in record.aliases}
        versions = tuple(number for number in config.versions if number not in record.versions)
        return replace(config, aliases=aliases if record.is_of_template else {}, versions=versions)

    def _number(self, record: FunctionRecord, config: FunctionConfig, qualifier: str | None) -> str:
        if qualifier is None or qualifier == LATEST:
            return LATEST
        return self._service.config(record.name).aliases.get(qualifier, qualifier)

    def _is_unchanged(self, record: FunctionRecord, version: PublishedVersion | None) -> bool:
        if version is None or version.code is None or record.code is None:
            return False
        ignored = {"Description": None}
        same_request = {**(record.request or {}), **ignored} == {**version.request, **ignored}
        described = (record.request or {}).get("Description") == version.request.get("Description")
        is_newer = record.modified_s > version.published_s
        return same_request and version.code.sha256 == record.code.sha256 and (described or not is_newer)

    def _own(self, name: str) -> FunctionRecord:
        """Raises: ServiceError for an unknown function, or one that the template owns."""
        self._service.config(name)
        record = self._records.of(name)
        if record.is_of_template:
            raise invalid(f"The function {name} comes from the template; change it there.")
        return record

    def _changed(self, record: FunctionRecord) -> None:
        record.modified_s, record.revision_id = self._service.clock(), new_revision()
        self._register(record)
        self.apply(record)
        self._records.save(record)

    def _register(self, record: FunctionRecord) -> None:
        assert record.request is not None
        assert record.code is not None
        self._service.register(self._config(record.request, record.code.directory))

    def _config(self, request: Mapping[str, Any], code_dir: Path, version: str = LATEST) -> FunctionConfig:
        service = self._service
        arn = f"arn:aws:lambda:{service.region}:{service.account_id}:function:{request['FunctionName']}"
        layers = self._layers.folders(checked(request, "Layers", list, []))
        return build_config(request, arn=arn, code_dir=code_dir, layers=layers, version=version)

    async def _unpack(self, name: str, code: Mapping[str, Any]) -> StoredCode:
        archive = await archive_of(code, self._fetch_object)
        # Up to 250 MB of files, which the event loop must not wait for.
        return await asyncio.to_thread(self._records.store.unpack, name, archive)


async def archive_of(code: Mapping[str, Any], fetch_object: FetchObject | None) -> bytes:
    """The zip file of a request.

    Raises: ServiceError when there is none, or S3 does not have it.
    """
    if code.get("ZipFile") is not None:
        try:
            return base64.b64decode(code["ZipFile"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise invalid("ZipFile must be base64.") from error
    if code.get("S3Bucket") and code.get("S3Key") and fetch_object is not None:
        try:
            return await fetch_object(str(code["S3Bucket"]), str(code["S3Key"]))
        except ServiceError as error:
            raise invalid(
                f"Error occurred while GetObject. S3 Error Code: {error.code}. S3 Error Message: {error.message}"
            ) from error
    raise invalid("Please provide a source for function code: a ZipFile, or an S3Bucket with an S3Key.")


def _begun(state: Mapping[str, Any]) -> dict[str, Any]:
    """What the answer to a change says; its end is a change of its own, with another revision (recorded)."""
    return {**state, "RevisionId": new_revision()}


def _leave_to_template(record: FunctionRecord, config: FunctionConfig) -> None:
    """Take out of a record what the template states."""
    stated = set(config.event_invokes)
    if config.event_invoke != EventInvokeConfig(dead_letter=config.event_invoke.dead_letter):
        stated.add(LATEST)
    record.aliases = {name: alias for name, alias in record.aliases.items() if name not in config.aliases}
    record.event_invokes = {key: kept for key, kept in record.event_invokes.items() if key not in stated}
    if config.reserved_concurrency is not None:
        record.reserved_concurrency = None


def _versions_of(alias: Mapping[str, Any]) -> set[str]:
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return {alias["FunctionVersion"], *weights}


def _logging(config: FunctionConfig) -> dict[str, Any]:
    shown = {"LogFormat": config.log_format, "LogGroup": config.log_group_name}
    if config.log_format == "JSON":
        shown |= {
            "ApplicationLogLevel": config.log_level or "INFO",
            "SystemLogLevel": config.system_log_level or "INFO",
        }
    return shown
