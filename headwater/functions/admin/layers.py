"""Layers published through the API: their unpacked content in a folder of the data directory.

Source: Lambda API Reference, PublishLayerVersion; messages marked (recorded) were recorded on AWS.
"""

import asyncio
import json
import re
import shutil
import uuid
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from headwater.functions.admin.answers import checked, constraint, invalid, not_found, number_of, page
from headwater.functions.admin.code_store import unpack_archive

_NAME = re.compile(r"(?:arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:layer:)?([a-zA-Z0-9-_]{1,140})")
_ARN_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)"
    r"|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)"
)
_ARN = re.compile(_ARN_PATTERN)
_MAX_OF_FUNCTION = 5
_SHOWN = ("Description", "CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo")


class Layers:
    """`<directory>/<name>/<version>/` holds the content, `<directory>/<name>/layers.json` what the API shows.

    A deleted version keeps its content, which functions go on using, and its number is not given again.
    """

    def __init__(self, directory: Path, *, region: str, account_id: str, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._region = region
        self._arn_prefix = f"arn:aws:lambda:{region}:{account_id}:layer:"
        self._clock = clock
        for left in directory.glob("*/*.partial"):
            shutil.rmtree(left, ignore_errors=True)
        self._versions: dict[str, list[dict[str, Any]]] = {
            path.parent.name: json.loads(path.read_text()) for path in sorted(directory.glob("*/layers.json"))
        }

    async def publish(self, name_or_arn: str, request: Mapping[str, Any], archive: bytes) -> dict[str, Any]:
        name = self._name(name_or_arn)
        shown = {
            "Description": checked(request, "Description", str, ""),
            "CompatibleRuntimes": checked(request, "CompatibleRuntimes", list, []),
            "CompatibleArchitectures": checked(request, "CompatibleArchitectures", list, []),
        }
        if checked(request, "LicenseInfo", str):
            shown["LicenseInfo"] = request["LicenseInfo"]
        # Its own name, for the number is not known before the next version of another request has got its own.
        partial = self._directory / name / f"{uuid.uuid4().hex}.partial"
        try:
            # Up to 250 MB of files, which the event loop must not wait for.
            await asyncio.to_thread(unpack_archive, archive, partial)
            return self._add(name, shown, partial, archive)
        finally:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)

    def _add(self, name: str, shown: dict[str, Any], unpacked: Path, archive: bytes) -> dict[str, Any]:
        versions = self._versions.setdefault(name, [])
        number = len(versions) + 1
        target = self._directory / name / str(number)
        shutil.rmtree(target, ignore_errors=True)  # of a run that was killed before it kept the number
        unpacked.replace(target)
        moment = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        versions.append(
            {
                **shown,
                "Version": number,
                "CreatedDate": moment,
                "CodeSha256": b64encode(sha256(archive).digest()).decode(),
                "CodeSize": len(archive),
                "IsDeleted": False,
            }
        )
        self._keep(name)
        return self._document(name, versions[-1])

    def get(self, name_or_arn: str, number: str) -> dict[str, Any]:
        name = self._name(name_or_arn)
        return self._document(name, self._version(name, number))

    def get_by_arn(self, arn: str) -> dict[str, Any]:
        if not _ARN.fullmatch(arn):  # (recorded)
            raise constraint("arn", arn, f"satisfy regular expression pattern: {_ARN_PATTERN}")
        name, _, number = arn.removeprefix(self._arn_prefix).rpartition(":")
        return self.get(name, number) if _NAME.fullmatch(name) else self._absent()

    def delete(self, name_or_arn: str, number: str) -> None:
        """Deleting what is not there is no error, as on AWS."""
        name = self._name(name_or_arn)
        position = self._number(number) - 1
        versions = self._versions.get(name, [])
        if position < len(versions):
            versions[position]["IsDeleted"] = True
            self._keep(name)

    def list_versions(self, name_or_arn: str, query: Mapping[str, str]) -> dict[str, Any]:
        name = self._name(name_or_arn)
        found = [self._summary(name, one) for one in self._live(name) if _fits(one, query)]
        return page("LayerVersions", found, query, most=50)

    def list_latest(self, query: Mapping[str, str]) -> dict[str, Any]:
        found = []
        for name in sorted(self._versions):
            fitting = [one for one in self._live(name) if _fits(one, query)]
            if fitting:
                latest = self._summary(name, fitting[0])
                entry = {"LayerName": name, "LayerArn": self._arn_prefix + name, "LatestMatchingVersion": latest}
                found.append(entry)
        return page("Layers", found, query, most=50)

    @property
    def size_bytes(self) -> int:
        """Of all versions that were not deleted, zipped."""
        return sum(int(one["CodeSize"]) for name in self._versions for one in self._live(name))

    # What functions use

    def folders(self, arns: list[Any]) -> tuple[Path, ...]:
        """The content of a function's layers, in their order.

        Raises: ServiceError for an ARN of no layer that is here, two versions of one layer, or more than five.
        """
        if len(arns) > _MAX_OF_FUNCTION:
            raise invalid(f"Cannot reference more than {_MAX_OF_FUNCTION} layers.")
        folders: list[Path] = []
        seen: dict[str, str] = {}
        for arn in arns:
            name, number = self._referenced(arn)
            if name in seen:  # (recorded)
                raise invalid(
                    "Two different versions of the same layer are not allowed to be referenced in the same function. "
                    f"{seen[name]} and {arn} are versions of the same layer."
                )
            seen[name] = arn
            folders.append(self._directory / name / str(number))
        return tuple(folders)

    def describe_used(self, arn: str) -> dict[str, Any]:
        name, number = arn.removeprefix(self._arn_prefix).rsplit(":", 1)
        return {"Arn": arn, "CodeSize": self._versions[name][int(number) - 1]["CodeSize"]}

    def _referenced(self, arn: Any) -> tuple[str, int]:
        if not isinstance(arn, str) or not _ARN.fullmatch(arn):  # (recorded)
            raise constraint(
                "layers",
                f"[{arn}]",
                "satisfy constraint: [Member must have length less than or equal to 2048, Member must have length "
                f"greater than or equal to 1, Member must satisfy regular expression pattern: {_ARN_PATTERN}, Member "
                "must not be null]",
            )
        if arn.split(":")[3] != self._region:  # (recorded)
            message = "Layers are not in the same region as the function. Layers are expected to be in region "
            raise invalid(f"{message}{self._region}.")
        name, _, digits = arn.removeprefix(self._arn_prefix).rpartition(":")
        number = number_of(digits) or 0
        if not 1 <= number <= len(self._versions.get(name, ())):  # (recorded)
            raise invalid(f"Layer version {arn} does not exist.")
        return name, number

    # Parts

    def _name(self, name_or_arn: str) -> str:
        match = _NAME.fullmatch(name_or_arn)
        if match is None:
            pattern = "(arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+"
            raise constraint("layerName", name_or_arn, f"satisfy regular expression pattern: {pattern}")
        return match[1]

    def _number(self, digits: str) -> int:
        number = number_of(digits)
        if not number:  # (recorded)
            raise invalid("Layer Version Cannot be less than 1")
        return number

    def _version(self, name: str, number: str) -> dict[str, Any]:
        position = self._number(number) - 1
        versions = self._versions.get(name, [])
        if position >= len(versions) or versions[position]["IsDeleted"]:
            return self._absent()
        return versions[position]

    def _absent(self) -> dict[str, Any]:
        raise not_found("The resource you requested does not exist.")  # (recorded)

    def _live(self, name: str) -> list[dict[str, Any]]:
        """The versions that were not deleted, newest first."""
        return [one for one in reversed(self._versions.get(name, [])) if not one["IsDeleted"]]

    def _summary(self, name: str, version: Mapping[str, Any]) -> dict[str, Any]:
        shown = {member: version[member] for member in _SHOWN if member in version}
        arn = f"{self._arn_prefix}{name}:{version['Version']}"
        return {**shown, "LayerVersionArn": arn, "Version": version["Version"], "CreatedDate": version["CreatedDate"]}

    def _document(self, name: str, version: Mapping[str, Any]) -> dict[str, Any]:
        content = {
            "Location": (self._directory / name / str(version["Version"])).absolute().as_uri(),
            "CodeSha256": version["CodeSha256"],
            "CodeSize": version["CodeSize"],
        }
        return {**self._summary(name, version), "LayerArn": self._arn_prefix + name, "Content": content}

    def _keep(self, name: str) -> None:
        folder = self._directory / name
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / "layers.json.partial"
        partial.write_text(json.dumps(self._versions[name]))
        partial.replace(folder / "layers.json")


def _fits(version: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    runtime, architecture = query.get("CompatibleRuntime"), query.get("CompatibleArchitecture")
    is_runtime = runtime is None or runtime in version["CompatibleRuntimes"]
    return is_runtime and (architecture is None or architecture in version["CompatibleArchitectures"])
