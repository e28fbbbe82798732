"""The SAM transform: serverless resources become plain CloudFormation ones, offline.

aws-sam-translator does the work. It insists on code that was uploaded, so every local path is replaced by an
`s3://local/` address before, and `LocalCode` says afterwards which path stood there.
"""

import contextlib
import copy
import os
from dataclasses import dataclass, field
from typing import Any

from headwater.errors import TemplateError
from headwater.template.document import TemplateDocument

SAM_TRANSFORM = "AWS::Serverless-2016-10-31"
_BUCKET = "headwater-local"
# SAM type -> the properties that name local files or folders.
_LOCAL_PROPERTIES = {
    "AWS::Serverless::Function": ("CodeUri",),
    "AWS::Serverless::LayerVersion": ("ContentUri",),
    "AWS::Serverless::GraphQLApi": ("SchemaUri",),
}
_GRAPHQL_CODE_SECTIONS = ("Functions", "Resolvers")
# Named before the transform, whose own complaint about them would hide the reason.
_REFUSED = {
    "AWS::Serverless::Api": "API Gateway does not run here; serve the route from the GraphQL API, or deploy to AWS",
    "AWS::Serverless::HttpApi": "API Gateway does not run here; serve the route from the GraphQL API, or deploy to AWS",
    "AWS::Serverless::WebSocketApi": "API Gateway does not run here; use GraphQL subscriptions, or deploy to AWS",
    "AWS::Serverless::StateMachine": "Step Functions does not run here",
    "AWS::Serverless::Application": "nested applications do not run here; put their resources into this template",
    "AWS::Serverless::CapacityProvider": "functions run in processes of this machine",
}


@dataclass(frozen=True, slots=True)
class LocalCode:
    """Where the code of a transformed resource lies: `key` of the `s3://headwater-local/key` address -> local path.

    `assets` are those of a template that CDK synthesised: the key in any bucket -> the path beside the template.
    """

    paths: dict[str, str]
    assets: dict[str, str] = field(default_factory=dict)

    def path_of(self, bucket: str | None, key: str | None) -> str | None:
        """The local path behind an S3 address of ours or of an asset, None for any other."""
        return self.paths.get(key or "") if bucket == _BUCKET else self.assets.get(key or "")

    def path_of_uri(self, uri: str) -> str:
        """The local path behind a `CodeS3Location`-like value, which in a source template is a path itself."""
        if not uri.startswith("s3://"):
            return uri
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.path_of(bucket, key) or uri


def needs_transform(document: TemplateDocument) -> bool:
    """Whether the template names the SAM transform; any other transform is refused."""
    transforms = document.body.get("Transform") or []
    if isinstance(transforms, str):
        transforms = [transforms]
    for name in transforms:
        if name not in (SAM_TRANSFORM, "AWS::LanguageExtensions"):
            raise TemplateError(f"the transform {name!r} does not run here; {SAM_TRANSFORM} does")
    return SAM_TRANSFORM in transforms


def transform_sam(
    document: TemplateDocument, parameters: dict[str, str], region: str
) -> tuple[TemplateDocument, LocalCode]:
    """Expand the serverless resources of a template.

    Raises: TemplateError for each of SAM's own refusals, joined by line breaks.
    """
    _refuse_unsupported(document)
    body, local = _with_uploaded_code(document)
    if not needs_transform(document):
        return TemplateDocument(body, document.lines), local
    _spread_global_policies(body)
    with _region_in_environment(region):
        from samtranslator.model.exceptions import InvalidDocumentException
        from samtranslator.translator.transform import transform

        try:
            expanded = transform(body, dict(parameters), _NoManagedPolicies())
        except InvalidDocumentException as error:
            raise TemplateError("\n".join(str(cause.message) for cause in error.causes)) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # The translator assumes well-formed values in places; its own faults are the template's here.
            raise TemplateError(f"the SAM transform cannot read this template: {error}") from error
    return TemplateDocument(_plain(expanded), document.lines), local


def _refuse_unsupported(document: TemplateDocument) -> None:
    refused = [
        f"{logical_id}: {body['Type']}: {_REFUSED[body['Type']]}"
        for logical_id, body in document.resources.items()
        if body["Type"] in _REFUSED
    ]
    if refused:
        raise TemplateError("\n".join(refused))


def _spread_global_policies(body: dict[str, Any]) -> None:
    # The translator knows no Globals.Function.Policies; a list there means what it means for other lists of
    # Globals: it comes before the function's own.
    shared = ((body.get("Globals") or {}).get("Function") or {}).pop("Policies", None)
    if shared is None:
        return
    for resource in body["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function" and "Role" not in resource["Properties"]:
            own = resource["Properties"].get("Policies", [])
            resource["Properties"]["Policies"] = [*_listed(shared), *_listed(own)]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


class _NoManagedPolicies:
    """Leaves names of managed policies to the translator's bundled map."""

    def load(self) -> dict[str, str]:
        return {}


@contextlib.contextmanager
def _region_in_environment(region: str) -> Any:
    # The translator asks boto3 for a region, and boto3 knows no other way to be told without a session.
    before = os.environ.get("AWS_DEFAULT_REGION")
    os.environ["AWS_DEFAULT_REGION"] = region
    try:
        yield
    finally:
        if before is None:
            del os.environ["AWS_DEFAULT_REGION"]
        else:
            os.environ["AWS_DEFAULT_REGION"] = before


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(child) for child in value]
    return value


def _with_uploaded_code(document: TemplateDocument) -> tuple[dict[str, Any], LocalCode]:
    body = copy.deepcopy(document.body)
    paths: dict[str, str] = {}

    def upload(key: str, holder: dict[str, Any], name: str) -> None:
        path = holder.get(name)
        if isinstance(path, str) and not path.startswith("s3://"):
            paths[key] = path
            holder[name] = f"s3://{_BUCKET}/{key}"

    code_uri = ((body.get("Globals") or {}).get("Function") or {}).pop("CodeUri", None)
    for logical_id, resource in (body.get("Resources") or {}).items():
        properties = resource.setdefault("Properties", {})
        if properties is None:
            properties = resource["Properties"] = {}
        kind = resource["Type"]
        if kind == "AWS::Serverless::Function" and "InlineCode" not in properties:
            properties.setdefault("CodeUri", code_uri if code_uri is not None else ".")
        for name in _LOCAL_PROPERTIES.get(kind, ()):
            upload(f"{logical_id}.{name}", properties, name)
        if kind == "AWS::Serverless::GraphQLApi":
            for section in _GRAPHQL_CODE_SECTIONS:
                for place, holder in _code_holders(properties.get(section), section):
                    upload(f"{logical_id}.{place}", holder, "CodeUri")
    return body, LocalCode(paths)


def _code_holders(value: Any, place: str) -> list[tuple[str, dict[str, Any]]]:
    """Every mapping below `value` that has a CodeUri, with its dotted place."""
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("CodeUri"), str):
        return [(place, value)]
    return [found for name, child in value.items() for found in _code_holders(child, f"{place}.{name}")]
