"""The operations of the `iot` API: where they are in its paths, and which permission each of them needs.

Source: AWS IoT API Reference; Service Authorization Reference, "AWS IoT".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

import orjson

from headwater.errors import ServiceError
from headwater.server.aws.permissions import Account, Permission
from headwater.values.arn import is_arn
from headwater.values.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Operation:
    """One call. `path` has `{member}` where the URI holds one; `resource` is what IAM is asked about.

    In `resource`, `{member}` is taken from the path, `{principal}` from whatever names the certificate; "*" is an
    operation without resources.
    """

    name: str
    method: str
    path: str
    resource: str


_CERTIFICATE, _THING, _POLICY = "cert/{certificateId}", "thing/{thingName}", "policy/{policyName}"
_AUTHORIZER, _DOMAIN = "authorizer/{authorizerName}", "domainconfiguration/{domainConfigurationName}/*"
_TEMPLATE = "provisioningtemplate/{templateName}"
_TYPE, _GROUP = "thingtype/{thingTypeName}", "thinggroup/{thingGroupName}"

OPERATIONS: tuple[Operation, ...] = tuple(
    Operation(*row)
    for row in (
        ("CreateKeysAndCertificate", "POST", "keys-and-certificate", "*"),
        ("CreateCertificateFromCsr", "POST", "certificates", "*"),
        ("ListCertificates", "GET", "certificates", "*"),
        ("DescribeCertificate", "GET", "certificates/{certificateId}", _CERTIFICATE),
        ("UpdateCertificate", "PUT", "certificates/{certificateId}", _CERTIFICATE),
        ("DeleteCertificate", "DELETE", "certificates/{certificateId}", _CERTIFICATE),
        ("ListThings", "GET", "things", "*"),
        ("CreateThing", "POST", "things/{thingName}", _THING),
        ("DescribeThing", "GET", "things/{thingName}", _THING),
        ("UpdateThing", "PATCH", "things/{thingName}", _THING),
        ("DeleteThing", "DELETE", "things/{thingName}", _THING),
        ("AttachThingPrincipal", "PUT", "things/{thingName}/principals", "{principal}"),
        ("DetachThingPrincipal", "DELETE", "things/{thingName}/principals", "{principal}"),
        ("ListThingPrincipals", "GET", "things/{thingName}/principals", _THING),
        ("ListPrincipalThings", "GET", "principals/things", "{principal}"),
        ("ListThingTypes", "GET", "thing-types", "*"),
        ("CreateThingType", "POST", "thing-types/{thingTypeName}", _TYPE),
        ("DescribeThingType", "GET", "thing-types/{thingTypeName}", _TYPE),
        ("DeprecateThingType", "POST", "thing-types/{thingTypeName}/deprecate", _TYPE),
        ("DeleteThingType", "DELETE", "thing-types/{thingTypeName}", _TYPE),
        ("AddThingToThingGroup", "PUT", "thing-groups/addThingToThingGroup", _GROUP),
        ("RemoveThingFromThingGroup", "PUT", "thing-groups/removeThingFromThingGroup", _GROUP),
        ("UpdateThingGroupsForThing", "PUT", "thing-groups/updateThingGroupsForThing", _THING),
        ("ListThingGroups", "GET", "thing-groups", "*"),
        ("CreateThingGroup", "POST", "thing-groups/{thingGroupName}", _GROUP),
        ("DescribeThingGroup", "GET", "thing-groups/{thingGroupName}", _GROUP),
        ("UpdateThingGroup", "PATCH", "thing-groups/{thingGroupName}", _GROUP),
        ("DeleteThingGroup", "DELETE", "thing-groups/{thingGroupName}", _GROUP),
        ("ListThingsInThingGroup", "GET", "thing-groups/{thingGroupName}/things", _GROUP),
        ("ListThingGroupsForThing", "GET", "things/{thingName}/thing-groups", _THING),
        ("ListPolicies", "GET", "policies", "*"),
        ("CreatePolicy", "POST", "policies/{policyName}", _POLICY),
        ("GetPolicy", "GET", "policies/{policyName}", _POLICY),
        ("DeletePolicy", "DELETE", "policies/{policyName}", _POLICY),
        ("CreatePolicyVersion", "POST", "policies/{policyName}/version", _POLICY),
        ("ListPolicyVersions", "GET", "policies/{policyName}/version", _POLICY),
        ("GetPolicyVersion", "GET", "policies/{policyName}/version/{policyVersionId}", _POLICY),
        ("SetDefaultPolicyVersion", "PATCH", "policies/{policyName}/version/{policyVersionId}", _POLICY),
        ("DeletePolicyVersion", "DELETE", "policies/{policyName}/version/{policyVersionId}", _POLICY),
        ("AttachPrincipalPolicy", "PUT", "principal-policies/{policyName}", "{principal}"),
        ("DetachPrincipalPolicy", "DELETE", "principal-policies/{policyName}", "{principal}"),
        ("ListPrincipalPolicies", "GET", "principal-policies", "{principal}"),
        ("GetEffectivePolicies", "POST", "effective-policies", "{principal}"),
        ("AttachPolicy", "PUT", "target-policies/{policyName}", "{principal}"),
        ("DetachPolicy", "POST", "target-policies/{policyName}", "{principal}"),
        ("ListAttachedPolicies", "POST", "attached-policies/{target}", "{principal}"),
        ("ListTargetsForPolicy", "POST", "policy-targets/{policyName}", _POLICY),
        ("CreateProvisioningTemplate", "POST", "provisioning-templates", _TEMPLATE),
        ("ListProvisioningTemplates", "GET", "provisioning-templates", "*"),
        ("DescribeProvisioningTemplate", "GET", "provisioning-templates/{templateName}", _TEMPLATE),
        ("UpdateProvisioningTemplate", "PATCH", "provisioning-templates/{templateName}", _TEMPLATE),
        ("DeleteProvisioningTemplate", "DELETE", "provisioning-templates/{templateName}", _TEMPLATE),
        ("CreateProvisioningTemplateVersion", "POST", "provisioning-templates/{templateName}/versions", _TEMPLATE),
        ("ListProvisioningTemplateVersions", "GET", "provisioning-templates/{templateName}/versions", _TEMPLATE),
        *(
            (f"{verb}ProvisioningTemplateVersion", method, f"provisioning-templates/{place}", _TEMPLATE)
            for place in ("{templateName}/versions/{versionId}",)
            for verb, method in (("Describe", "GET"), ("Delete", "DELETE"))
        ),
        ("CreateProvisioningClaim", "POST", "provisioning-templates/{templateName}/provisioning-claim", _TEMPLATE),
        ("RegisterThing", "POST", "things", "*"),
        ("CreateAuthorizer", "POST", "authorizer/{authorizerName}", _AUTHORIZER),
        ("DescribeAuthorizer", "GET", "authorizer/{authorizerName}", _AUTHORIZER),
        ("UpdateAuthorizer", "PUT", "authorizer/{authorizerName}", _AUTHORIZER),
        ("DeleteAuthorizer", "DELETE", "authorizer/{authorizerName}", _AUTHORIZER),
        ("TestInvokeAuthorizer", "POST", "authorizer/{authorizerName}/test", _AUTHORIZER),
        ("ListAuthorizers", "GET", "authorizers/", "*"),
        ("SetDefaultAuthorizer", "POST", "default-authorizer", _AUTHORIZER),
        ("DescribeDefaultAuthorizer", "GET", "default-authorizer", "*"),
        ("ClearDefaultAuthorizer", "DELETE", "default-authorizer", "*"),
        ("ListDomainConfigurations", "GET", "domainConfigurations", "*"),
        *(
            (f"{verb}DomainConfiguration", method, "domainConfigurations/{domainConfigurationName}", _DOMAIN)
            for verb, method in (("Create", "POST"), ("Describe", "GET"), ("Update", "PUT"), ("Delete", "DELETE"))
        ),
        ("DescribeEndpoint", "GET", "endpoint", "*"),
    )
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, understood as far as its path goes. Members of the body may be of any type."""

    operation: Operation
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, object]
    principal: str

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() == "true"


def read_call(request: HttpRequest) -> Call | None:
    """Find the operation of a request; None if it is none of those here.

    Raises: ServiceError InvalidRequestException for a body that is no JSON object.
    """
    parts = [unquote(part) for part in request.raw_path.strip("/").split("/")]
    for operation in OPERATIONS:
        members = _match(operation, request.method, parts)
        if members is not None:
            body = _body(request)
            target = body.get("target") or body.get("principal") or members.get("target") or _principal(request)
            query = {name: values[0] for name, values in parse_qs(request.raw_query).items()}
            return Call(operation, members, query, body, target if isinstance(target, str) else "")
    return None


def permissions(request: HttpRequest, account: Account) -> list[Permission]:
    """What a role needs for a request; an operation that does not exist here needs nothing, since it is refused.

    Raises: ServiceError InvalidRequestException.
    """
    call = read_call(request)
    if call is None:
        return []
    operation = call.operation
    resource = operation.resource
    if resource == "{principal}":
        arn = call.principal if is_arn(call.principal) else "*"
    else:
        for name, value in {**call.body, **call.path}.items():
            if isinstance(value, str):
                resource = resource.replace("{" + name + "}", value)
        # A member that is missing, or that the body gives as an ARN, leaves a resource no policy names.
        arn = "*" if "{" in resource or resource == "*" else account.arn("iot", resource)
    return [Permission(f"iot:{operation.name}", (arn,))]


def _principal(request: HttpRequest) -> str:
    return request.header("x-amzn-principal") or request.header("x-amzn-iot-principal")


def _match(operation: Operation, method: str, parts: list[str]) -> dict[str, str] | None:
    pattern = operation.path.rstrip("/").split("/")
    if operation.method != method or len(pattern) != len(parts):
        return None
    members: dict[str, str] = {}
    for expected, found in zip(pattern, parts, strict=True):
        if expected.startswith("{"):
            members[expected[1:-1]] = found
        elif expected != found:
            return None
    return members


def _body(request: HttpRequest) -> Mapping[str, object]:
    if not request.body:
        return {}
    try:
        body = orjson.loads(request.body)
    except ValueError as error:
        raise ServiceError("InvalidRequestException", f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise ServiceError("InvalidRequestException", "the body is not a JSON object")
    return body
