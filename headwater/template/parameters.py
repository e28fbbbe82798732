"""Template parameters: declared types, defaults and constraints against the values given."""

import re
from typing import Any

from headwater.errors import TemplateError

ParameterValue = str | list[str]


def parameter_values(declared: dict[str, Any], given: dict[str, str]) -> dict[str, ParameterValue]:
    """The value of every declared parameter.

    Raises: TemplateError for an unknown name, a missing value, and a value outside the declared constraints.
    """
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise TemplateError(f"the template has no parameter {', '.join(unknown)}; it has {sorted(declared)}")
    return {name: _value(name, body or {}, given.get(name)) for name, body in declared.items()}


def _value(name: str, body: dict[str, Any], given: str | None) -> ParameterValue:
    kind = str(body.get("Type", "String"))
    if kind.startswith("AWS::SSM::Parameter::Value"):
        raise TemplateError(
            f"the type {kind} reads SSM Parameter Store, which is empty here; give a String parameter",
            logical_id="Parameters",
            property_path=name,
        )
    if given is None and "Default" not in body:
        raise TemplateError(f"no value: give one with --param {name}=…", logical_id="Parameters", property_path=name)
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
            raise fault(f"{text!r} is not one of {texts}")
    if "AllowedPattern" in body and not re.fullmatch(str(body["AllowedPattern"]), text):
        raise fault(f"{text!r} does not match {body['AllowedPattern']}")
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
