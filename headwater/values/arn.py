"""Amazon resource names: six colon-separated parts, the last of which may hold colons itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arn:
    """One parsed ARN, e.g. `arn:aws:kinesis:us-east-1:123456789012:stream/telemetry`."""

    service: str
    region: str
    account_id: str
    resource: str
    partition: str = "aws"

    @classmethod
    def parse(cls, text: str) -> "Arn":
        """Raises: ValueError unless the text has the prefix `arn` and six parts."""
        parts = text.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn" or not parts[5]:
            raise ValueError(f"not an ARN: {text!r}, expected arn:partition:service:region:account:resource")
        return cls(partition=parts[1], service=parts[2], region=parts[3], account_id=parts[4], resource=parts[5])

    @property
    def name(self) -> str:
        """What follows the first `/` or `:` of the resource; the whole resource if it has neither (queues, topics)."""
        for index, char in enumerate(self.resource):
            if char in "/:":
                return self.resource[index + 1 :]
        return self.resource

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account_id}:{self.resource}"


def is_arn(text: str) -> bool:
    """Whether a name-or-ARN argument is an ARN."""
    return text.startswith("arn:") and text.count(":") >= 5


def build_arn(service: str, region: str, account_id: str, resource: str) -> str:
    """The ARN of a resource in the standard partition."""
    return f"arn:aws:{service}:{region}:{account_id}:{resource}"
