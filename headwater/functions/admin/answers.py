"""What the parts of the Lambda API's functions share: the service's errors, checks of members, and pages of lists."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from headwater.errors import ServiceError
from headwater.functions.config import QUALIFIER_PATTERN, REFERENCE_PATTERN, FunctionName

_MAX_QUALIFIER = 128
_USER = {"Type": "User"}
_DEFAULT_PAGE = 50
# More digits than any number here has; int() refuses a few thousand.
_MAX_DIGITS = 19


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValueException", message, status=400, fields=_USER)


def not_found(message: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", message, status=404, fields=_USER)


def conflict(message: str) -> ServiceError:
    return ServiceError("ResourceConflictException", message, status=409, fields=_USER)


def constraint(member: str, value: Any, rule: str) -> ServiceError:
    return constraints([(member, value, rule)])


def constraints(faults: Sequence[tuple[str, Any, str]]) -> ServiceError:
    """One answer for several members; each fault is the member, its value, and the rule it breaks."""
    texts = [
        f"Value '{value}' at '{member}' failed to satisfy constraint: Member must {rule}"
        for member, value, rule in faults
    ]
    count = f"{len(texts)} validation error{'s' if len(texts) > 1 else ''} detected"
    return ServiceError("ValidationException", f"{count}: {'; '.join(texts)}")


def check_reference(name: str, qualifier: str | None) -> None:
    """Raises: ServiceError for a function's name and a qualifier that the service's patterns refuse (recorded)."""
    faults = []
    if re.fullmatch(REFERENCE_PATTERN, name, re.ASCII) is None:
        faults.append(("functionName", name, f"satisfy regular expression pattern: {REFERENCE_PATTERN}"))
    if qualifier is not None and len(qualifier) > _MAX_QUALIFIER:
        faults.append(("qualifier", qualifier, f"have length less than or equal to {_MAX_QUALIFIER}"))
    if qualifier is not None and re.fullmatch(QUALIFIER_PATTERN, qualifier, re.ASCII) is None:
        faults.append(("qualifier", qualifier, f"satisfy regular expression pattern: {QUALIFIER_PATTERN}"))
    if faults:
        raise constraints(faults)


def check_place(parsed: FunctionName, *, region: str, account_id: str) -> None:
    """Raises: ServiceError for a function of another region or account (recorded)."""
    if parsed.region not in (None, region):
        raise not_found(f"Functions from '{parsed.region}' are not reachable in this region ('{region}')")
    if parsed.account_id not in (None, account_id):
        raise ServiceError("AccessDeniedException", "the function belongs to another account", status=403)


def required(request: Mapping[str, Any], name: str) -> Any:
    """A member that must be there and not empty."""
    value = request.get(name)
    if value:
        return value
    member = name[0].lower() + name[1:]
    raise ServiceError(
        "ValidationException",
        f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null",
    )


def checked(request: Mapping[str, Any], name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
    """A member of the JSON type that the API has it in; `default` where it is null or absent.

    Raises: ServiceError SerializationException, which is how the service meets other JSON.
    """
    value = request.get(name)
    if value is None:
        return default
    is_truth = isinstance(value, bool)
    if not isinstance(value, kind) or (is_truth and kind is not bool):
        raise ServiceError("SerializationException", f"{name} has the wrong type: {type(value).__name__}")
    return value


def between(request: Mapping[str, Any], name: str, default: int | None, least: int, most: int) -> int | None:
    """A whole number within its bounds."""
    value: int | None = checked(request, name, int, default)
    if value is None:
        return None
    member = name[0].lower() + name[1:]
    if value < least:
        raise constraint(member, value, f"have value greater than or equal to {least}")
    if value > most:
        raise constraint(member, value, f"have value less than or equal to {most}")
    return value


def number_of(text: str) -> int | None:
    """The number that digits write, None for other text; of a longer one a part that is too large for anything, too."""
    return int(text[:_MAX_DIGITS]) if text.isdecimal() else None


def check_revision(given: str | None, current: str, *, call: str = "GetFunction/GetAlias") -> None:
    """Raises: ServiceError when the caller has seen an older state than the current."""
    if given and given != current:
        raise ServiceError(
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the "
            f"{call} API to retrieve the latest Revision Id",
            status=412,
            fields=_USER,
        )


def page(name: str, entries: Sequence[Any], query: Mapping[str, str], *, most: int = 10_000) -> dict[str, Any]:
    """The part of a list that `Marker` and `MaxItems` ask for, with the marker of the next."""
    limit_text, first = query.get("MaxItems", ""), number_of(query.get("Marker") or "0")
    limit = number_of(limit_text) if limit_text else _DEFAULT_PAGE
    if limit is None or not 1 <= limit <= most:
        raise constraint("maxItems", limit_text, f"have value between 1 and {most}")
    if first is None or first > len(entries):
        raise invalid("Invalid marker.")
    end = first + limit
    answer: dict[str, Any] = {name: list(entries[first:end])}
    if end < len(entries):
        answer["NextMarker"] = str(end)
    return answer
