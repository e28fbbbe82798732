"""What names, attributes and documents of the device registry may look like.

Source: AWS IoT API Reference (patterns and lengths); AWS IoT Core quotas, "Thing management", "Security and identity".
"""

import re
from collections.abc import Mapping
from typing import Any

from headwater.errors import ServiceError, TemplateError
from headwater.values.policy import PolicyDocument

MAX_POLICY_CHARACTERS = 2048
MAX_POLICIES_OF_A_CERTIFICATE = 10
MAX_POLICIES_OF_A_GROUP = 2
MAX_POLICY_VERSIONS = 5
MAX_CSR_CHARACTERS = 4096
_MAX_ATTRIBUTES = 50
_MAX_ATTRIBUTES_WITHOUT_TYPE = 3
_MAX_SEARCHABLE_ATTRIBUTES = 3
_MAX_DESCRIPTION_CHARACTERS = 2028
_THING_NAME = r"[a-zA-Z0-9:_-]+"
_POLICY_NAME = r"[\w+=,.@-]+"
_CERTIFICATE_ID = r"(0x)?[a-fA-F0-9]+"
_ATTRIBUTE_NAME = r"[a-zA-Z0-9_.,@/:#-]+"
_ATTRIBUTE_VALUE = r"[a-zA-Z0-9_.,@/:#=\[\]-]*"


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidRequestException", message)


def not_found(message: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", message, status=404)


def exists(message: str, resource_id: str, resource_arn: str) -> ServiceError:
    fields = {"resourceId": resource_id, "resourceArn": resource_arn}
    return ServiceError("ResourceAlreadyExistsException", message, status=409, fields=fields)


def conflict(message: str) -> ServiceError:
    return ServiceError("DeleteConflictException", message, status=409)


def is_thing_name(text: str) -> bool:
    """Whether a client id can be the name of a thing."""
    return 0 < len(text) <= 128 and re.fullmatch(_THING_NAME, text) is not None


def check_thing_name(value: object, member: str = "thingName") -> str:
    """The name of a thing or thing type. Raises: ServiceError InvalidRequestException."""
    return _checked(value, member, _THING_NAME, 1, 128)


def check_policy_name(value: object) -> str:
    return _checked(value, "policyName", _POLICY_NAME, 1, 128)


def check_certificate_id(value: object) -> str:
    return _checked(value, "certificateId", _CERTIFICATE_ID, 64, 64).lower()


def check_attributes(attributes: Mapping[str, Any], *, has_type: bool) -> None:
    """Raises: ServiceError InvalidRequestException naming the attribute, or the limit it exceeds."""
    for name, value in attributes.items():
        _checked(name, "attributePayload.attributes", _ATTRIBUTE_NAME, 1, 128)
        _checked(value, f"attributePayload.attributes.{name}", _ATTRIBUTE_VALUE, 0, 800)
    limit = _MAX_ATTRIBUTES if has_type else _MAX_ATTRIBUTES_WITHOUT_TYPE
    if len(attributes) > limit:
        kind = "with" if has_type else "without"
        raise invalid(f"{len(attributes)} attributes: a thing {kind} a thing type has at most {limit}")


def check_type_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """`thingTypeProperties` as they are kept. Raises: ServiceError InvalidRequestException."""
    unknown = sorted(set(properties) - {"thingTypeDescription", "searchableAttributes"})
    if unknown:
        raise invalid(f"thingTypeProperties.{unknown[0]} does not work here")
    searchable = properties.get("searchableAttributes") or []
    if not isinstance(searchable, list) or len(searchable) > _MAX_SEARCHABLE_ATTRIBUTES:
        raise invalid(f"searchableAttributes is a list of at most {_MAX_SEARCHABLE_ATTRIBUTES} names")
    for name in searchable:
        _checked(name, "searchableAttributes", _ATTRIBUTE_NAME, 1, 128)
    description = _description(properties.get("thingTypeDescription", ""), "thingTypeDescription")
    return {"thingTypeDescription": description, "searchableAttributes": searchable}


def check_group_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """`thingGroupProperties` as they are kept. Raises: ServiceError InvalidRequestException."""
    unknown = sorted(set(properties) - {"thingGroupDescription", "attributePayload"})
    if unknown:
        raise invalid(f"thingGroupProperties.{unknown[0]} does not work here")
    kept: dict[str, Any] = {}
    if properties.get("thingGroupDescription") is not None:
        kept["thingGroupDescription"] = _description(properties["thingGroupDescription"], "thingGroupDescription")
    payload = properties.get("attributePayload")
    if payload is not None:
        attributes = payload.get("attributes") or {} if isinstance(payload, Mapping) else None
        if not isinstance(attributes, Mapping):
            raise invalid("attributePayload.attributes is an object")
        check_attributes(attributes, has_type=True)
        kept["attributePayload"] = {"attributes": dict(attributes)}
    return kept


def _description(text: object, member: str) -> str:
    if not isinstance(text, str) or len(text) > _MAX_DESCRIPTION_CHARACTERS:
        raise invalid(f"{member} is text of at most {_MAX_DESCRIPTION_CHARACTERS} characters")
    return text


def check_policy_document(text: object) -> PolicyDocument:
    """Raises: ServiceError MalformedPolicyException naming the statement and what is wrong with it."""
    if not isinstance(text, str):
        raise invalid(f"policyDocument is text, found {type(text).__name__}")
    length = len("".join(text.split()))
    if length > MAX_POLICY_CHARACTERS:
        raise _malformed(f"{length} characters without white space; the limit is {MAX_POLICY_CHARACTERS}")
    try:
        document = PolicyDocument.parse(text)
    except TemplateError as error:
        raise _malformed(error.message) from error
    except RecursionError as error:
        raise _malformed("nested too deeply") from error
    if not document.statements:
        raise _malformed("it has no statement")
    return document


def page_size(text: str, *, limit: int = 250) -> int | None:
    """A page size from the query; None if there is none. Raises: ServiceError InvalidRequestException."""
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= limit):
        raise invalid(f"the page size {text[:20]!r} is not between 1 and {limit}")
    return int(text)


def _checked(value: object, member: str, pattern: str, shortest: int, longest: int) -> str:
    if not isinstance(value, str):
        raise invalid(f"{member} is text, found {type(value).__name__}")
    if not shortest <= len(value) <= longest:
        raise _constraint(value, member, f"have length between {shortest} and {longest}")
    if re.fullmatch(pattern, value, re.ASCII) is None and (shortest or value):
        raise _constraint(value, member, f"satisfy regular expression pattern: {pattern}")
    return value


def _constraint(value: str, member: str, rule: str) -> ServiceError:
    shown = value if len(value) <= 140 else f"{value[:140]}…"
    return invalid(
        f"1 validation error detected: Value '{shown}' at '{member}' failed to satisfy constraint: Member must {rule}"
    )


def _malformed(why: str) -> ServiceError:
    return ServiceError("MalformedPolicyException", f"Policy document is Malformed: {why}")
