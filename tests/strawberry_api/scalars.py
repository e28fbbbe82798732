"""AppSync's scalars for Strawberry: dates stay text, AWSJSON is a string outside and a value inside."""

import json
import re
from typing import Any, NewType

import strawberry

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d(:\d\d)?)")


def _date_time(text: Any) -> str:
    if not isinstance(text, str) or not _DATE_TIME.fullmatch(text):
        raise ValueError(f"Unable to parse `{text}` as a valid date.")
    return text


AWSDateTime = NewType("AWSDateTime", str)
AWSJSON = NewType("AWSJSON", object)
SCALARS: dict[object, Any] = {
    AWSDateTime: strawberry.scalar(name="AWSDateTime", serialize=_date_time, parse_value=_date_time),
    AWSJSON: strawberry.scalar(
        name="AWSJSON", serialize=lambda value: json.dumps(value, separators=(",", ":")), parse_value=json.loads
    ),
}
