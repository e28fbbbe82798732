"""Template parameters: declared types, defaults and constraints against the values given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headwater.errors import TemplateError
from headwater.values.java_regex import JavaPattern, RegexError, TooMuchWorkError

_STORED: Final = "AWS::SSM::Parameter::Value"


@dataclass(frozen=True, slots=True)
class StoredParameter:
    """A parameter whose value lies in SSM Parameter Store and was not given: `why` says so to whoever needs it."""

    why: str


ParameterValue = str | list[str] | StoredParameter


def parameter_values(declared: dict[str, Any], given: Mapping[str, str]) -> dict[str, ParameterValue]:
    """The value of every declared parameter; for one of an SSM type, what the store would hold, if that is given.

    Raises: TemplateError naming every missing value, and for a value outside the declared constraints.
    """
    missing = [name for name, body in declared.items() if name not in given and not _has_default(body or {})]
    if missing:
        values = " ".join(f"--param {name}=…" for name in missing)
        one = len(missing) == 1
        raise TemplateError(
            f"no value: give one with {values}" if one else f"{len(missing)} have no value: give them with {values}",
            logical_id="Parameters",
            property_path=missing[0] if one else "",
        )
    return {name: _value(name, body or {}, given.get(name)) for name, body in declared.items()}


def _has_default(body: dict[str, Any]) -> bool:
    return "Default" in body or str(body.get("Type")).startswith(_STORED)


def _value(name: str, body: dict[str, Any], given: str | None) -> ParameterValue:
    kind = str(body.get("Type", "String"))
    if kind.startswith(_STORED):
        if given is None:
            return StoredParameter(
                f"the parameter {name} reads SSM Parameter Store, which is empty here; give what "
                f"{body.get('Default', 'it')} holds with --param {name}=…"
            )
        kind = kind.removeprefix(_STORED).strip("<>")
    raw = given if given is not None else body["Default"]
    text = ("true" if raw else "false") if isinstance(raw, bool) else str(raw)
    _check(name, body, kind, text)
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return [part.strip() for part in text.split(",")] if text else []
    return text


def _check(name: str, body: dict[str, Any], kind: str, text: str) -> None:
    def fault(message: str) -> TemplateError:
        hint = body.get("ConstraintDescription")
        told = f"{message} ({hint})" if hint else message
        return TemplateError(told, logical_id="Parameters", property_path=name)

    allowed = body.get("AllowedValues")
    if allowed is not None:
        texts = [("true" if value else "false") if isinstance(value, bool) else str(value) for value in allowed]
        if text not in texts:
            raise fault(f"{text!r} is not one of {', '.join(texts)}")
    if "AllowedPattern" in body and (mismatch := _mismatch(str(body["AllowedPattern"]), text)):
        raise fault(mismatch)
    if "MinLength" in body and len(text) < int(body["MinLength"]):
        raise fault(f"{text!r} is shorter than {body['MinLength']}")
    if "MaxLength" in body and len(text) > int(body["MaxLength"]):
        raise fault(f"{text!r} is longer than {body['MaxLength']}")
    if kind == "Number":
        try:
            number = float(text)
        except ValueError:
            raise fault(f"{text!r} is not a number") from None
        if number < float(body.get("MinValue", number)) or number > float(body.get("MaxValue", number)):
            raise fault(f"{text} is outside {body.get('MinValue', '-∞')}..{body.get('MaxValue', '∞')}")


def _mismatch(pattern: str, text: str) -> str:
    """Why a value does not match a pattern, which is Java's; empty where it does."""
    try:
        is_allowed = JavaPattern(rf"\A(?:{pattern})\z").search(text) is not None
    except TooMuchWorkError:
        return f"AllowedPattern {pattern} takes too long to match this value"
    except RegexError as error:
        return f"AllowedPattern {pattern}: {error}"
    return "" if is_allowed else f"{text!r} does not match {pattern}"
