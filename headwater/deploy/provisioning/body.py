"""The body of a provisioning template: what it declares, checked once, and what it asks for with a device's parameters.

Source: AWS IoT Core Developer Guide, "Provisioning templates".
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from headwater.deploy.iot.limits import check_policy_document, invalid
from headwater.deploy.provisioning.intrinsics import check_functions, object_of, render, text_of
from headwater.errors import ServiceError

MAX_BODY_CHARACTERS = 10_240
CERTIFICATE_ID = "AWS::IoT::Certificate::Id"
_SECTIONS = ("Parameters", "Mappings", "Resources", "DeviceConfiguration")
_THING, _CERTIFICATE, _POLICY = "AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy"
_PROPERTIES: Mapping[str, tuple[str, ...]] = {
    _THING: ("ThingName", "AttributePayload", "ThingTypeName", "ThingGroups"),
    _CERTIFICATE: ("CertificateId", "CertificateSigningRequest", "Status"),
    _POLICY: ("PolicyName", "PolicyDocument"),
}
_REFUSED = {
    "BillingGroup": "billing groups do not exist here",
    "CertificatePem": "certificates of other authorities do not work here; give CertificateSigningRequest",
    "CACertificatePem": "certificates of other authorities do not work here; give CertificateSigningRequest",
    "ThingPrincipalType": "exclusive things do not work here",
}
_OVERRIDES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    _THING: {
        "AttributePayload": ("DO_NOTHING", "REPLACE", "FAIL", "MERGE"),
        "ThingTypeName": ("DO_NOTHING", "REPLACE", "FAIL"),
        "ThingGroups": ("DO_NOTHING", "REPLACE", "FAIL", "MERGE"),
    },
    _CERTIFICATE: {"Status": ("DO_NOTHING", "REPLACE", "FAIL")},
    _POLICY: {},
}


@dataclass(frozen=True, slots=True)
class WantedThing:
    """A thing as the template wants it; `overrides` say what to do about one that exists, by property."""

    name: str
    attributes: Mapping[str, str] | None = None
    type_name: str | None = None
    groups: Sequence[str] | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WantedCertificate:
    """A certificate by its id, or the request to make one; `status` is ACTIVE or INACTIVE."""

    certificate_id: str | None = None
    signing_request: str | None = None
    status: str = "ACTIVE"
    overrides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WantedPolicy:
    """A policy that exists, or the document of one."""

    name: str | None = None
    document: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a template asks for one device; `logical_ids` are the template's names of thing and certificate."""

    thing: WantedThing | None
    certificate: WantedCertificate | None
    policies: Mapping[str, WantedPolicy]
    configuration: Mapping[str, Any]
    logical_ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProvisioningBody:
    """A template body that was understood completely."""

    text: str
    parameters: Mapping[str, str | None]
    mappings: Mapping[str, Any]
    resources: Mapping[str, Mapping[str, Any]]
    configuration: Mapping[str, Any]

    @classmethod
    def parse(cls, text: object) -> "ProvisioningBody":
        """Raises: ServiceError InvalidRequestException naming the place and what is wrong there."""
        if not isinstance(text, str) or not text:
            raise invalid("templateBody is text")
        if len(text) > MAX_BODY_CHARACTERS:
            raise invalid(f"templateBody has {len(text)} characters; the limit is {MAX_BODY_CHARACTERS}")
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise invalid(f"templateBody is not JSON: {error}") from error
        sections = object_of(document, "templateBody")
        _only(sections, _SECTIONS, "templateBody")
        resources = object_of(sections.get("Resources"), "Resources")
        body = cls(
            text,
            {
                name: _default(name, raw)
                for name, raw in object_of(sections.get("Parameters", {}), "Parameters").items()
            },
            object_of(sections.get("Mappings", {}), "Mappings"),
            {name: _resource(name, raw) for name, raw in resources.items()},
            object_of(sections.get("DeviceConfiguration", {}), "DeviceConfiguration"),
        )
        for kind in (_THING, _CERTIFICATE):
            if len(body._of_type(kind)) > 1:
                raise invalid(f"Resources: more than one {kind}")
        check_functions(dict(body.resources), "Resources")
        check_functions(dict(body.configuration), "DeviceConfiguration")
        return body

    def check_for_fleets(self) -> None:
        """Devices have their certificate already when their template is evaluated.

        Raises: ServiceError InvalidRequestException.
        """
        certificates = self._of_type(_CERTIFICATE)
        if not certificates:
            raise invalid(f"Resources: a fleet provisioning template needs an {_CERTIFICATE}")
        properties = certificates[0][1].get("Properties", {})
        if properties.get("CertificateId") != {"Ref": CERTIFICATE_ID}:
            raise invalid(f'Resources.{certificates[0][0]}: CertificateId, expected {{"Ref": "{CERTIFICATE_ID}"}}')

    @property
    def wanted_parameters(self) -> list[str]:
        """The parameters a device has to give."""
        return [name for name, default in self.parameters.items() if default is None and not name.startswith("AWS::")]

    def evaluate(self, given: Mapping[str, str]) -> Wanted:
        """What the template asks for with these parameters. Raises: ServiceError InvalidRequestException."""
        values = {name: default for name, default in self.parameters.items() if default is not None} | dict(given)

        def evaluated(value: Any) -> Any:
            return render(value, values, self.mappings)

        things, certificates = self._of_type(_THING), self._of_type(_CERTIFICATE)
        policies = {name: _policy(name, evaluated(raw.get("Properties", {}))) for name, raw in self._of_type(_POLICY)}
        ids = {kind: found[0][0] for kind, found in (("thing", things), ("certificate", certificates)) if found}
        return Wanted(
            thing=_thing(evaluated(things[0][1].get("Properties", {})), things[0][1]) if things else None,
            certificate=_certificate(evaluated(certificates[0][1].get("Properties", {})), certificates[0][1])
            if certificates
            else None,
            policies=policies,
            configuration=object_of(evaluated(dict(self.configuration)), "DeviceConfiguration"),
            logical_ids=ids,
        )

    def _of_type(self, kind: str) -> list[tuple[str, Mapping[str, Any]]]:
        return [(name, raw) for name, raw in self.resources.items() if raw["Type"] == kind]


# -- parsing --------------------------------------------------------------------------------------------------------


def _only(value: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for name in value:
        if name not in known:
            why = _REFUSED.get(name, f"expected one of {', '.join(known)}")
            raise invalid(f"{where}.{name}: {why}")


def _default(name: str, raw: object) -> str | None:
    parameter = object_of(raw, f"Parameters.{name}")
    _only(parameter, ("Type", "Default"), f"Parameters.{name}")
    if parameter.get("Type") != "String":
        raise invalid(f"Parameters.{name}: Type {parameter.get('Type')!r}, expected 'String'")
    default = parameter.get("Default")
    if default is not None and not isinstance(default, str):
        raise invalid(f"Parameters.{name}: Default is text")
    return default


def _resource(name: str, raw: object) -> Mapping[str, Any]:
    resource = object_of(raw, f"Resources.{name}")
    _only(resource, ("Type", "Properties", "OverrideSettings"), f"Resources.{name}")
    kind = str(resource.get("Type"))
    if kind not in _PROPERTIES:
        raise invalid(f"Resources.{name}: Type {kind!r}, expected one of {', '.join(_PROPERTIES)}")
    _only(object_of(resource.get("Properties", {}), f"Resources.{name}.Properties"), _PROPERTIES[kind], f"{name}")
    known = _OVERRIDES[kind]
    for property_name, setting in object_of(resource.get("OverrideSettings", {}), "OverrideSettings").items():
        if setting not in known.get(property_name, ()):
            expected = " or ".join(known.get(property_name, ())) or f"only of {', '.join(known) or 'nothing'}"
            raise invalid(f"Resources.{name}.OverrideSettings.{property_name}: {setting!r}, expected {expected}")
    return resource


# -- what comes out -------------------------------------------------------------------------------------------------


def _optional(properties: Mapping[str, Any], name: str) -> str | None:
    return None if properties.get(name) is None else text_of(properties[name], name)


def _thing(properties: Mapping[str, Any], raw: Mapping[str, Any]) -> WantedThing:
    attributes, groups = properties.get("AttributePayload"), properties.get("ThingGroups")
    if attributes is not None:
        attributes = {
            name: text_of(value, f"AttributePayload.{name}")
            for name, value in object_of(attributes, "AttributePayload").items()
        }
    if groups is not None:
        if not isinstance(groups, list):
            raise invalid(f"ThingGroups is a list, found {groups!r}")
        groups = [text_of(name, "ThingGroups") for name in groups]
    return WantedThing(
        text_of(properties.get("ThingName"), "ThingName"),
        attributes,
        _optional(properties, "ThingTypeName"),
        groups,
        raw.get("OverrideSettings", {}),
    )


def _certificate(properties: Mapping[str, Any], raw: Mapping[str, Any]) -> WantedCertificate:
    given = [name for name in ("CertificateId", "CertificateSigningRequest") if properties.get(name) is not None]
    if len(given) != 1:
        raise invalid(f"a certificate has either CertificateId or CertificateSigningRequest, found {given or 'none'}")
    status = text_of(properties.get("Status", "ACTIVE"), "Status").upper()
    if status not in ("ACTIVE", "INACTIVE"):
        raise invalid(f"Status {status!r}, expected ACTIVE or INACTIVE")
    return WantedCertificate(
        _optional(properties, "CertificateId"),
        _optional(properties, "CertificateSigningRequest"),
        status,
        raw.get("OverrideSettings", {}),
    )


def _policy(logical_id: str, properties: Mapping[str, Any]) -> WantedPolicy:
    name, document = _optional(properties, "PolicyName"), properties.get("PolicyDocument")
    if (name is None) is (document is None):
        raise invalid(f"the policy {logical_id} has either PolicyName or PolicyDocument")
    if document is None:
        return WantedPolicy(name)
    text = document if isinstance(document, str) else json.dumps(document)
    try:
        check_policy_document(text)
    except ServiceError as error:
        raise invalid(f"the policy {logical_id}: {error.message}") from error
    return WantedPolicy(document=text)
