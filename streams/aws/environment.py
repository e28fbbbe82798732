"""What a function finds in its environment: the template's settings, the role's keys, and where AWS is."""

import os

from streams.aws.connection import AwsService
from streams.aws.signing import Credentials


def required(name: str) -> str:
    """Read a variable the template must set.

    Raises: RuntimeError naming it, so that the first invocation says what the deployment lacks.
    """
    value = os.environ.get(name)
    if not value:
        raise RuntimeError(f"environment variable {name} is missing or empty: the template sets it on this function")
    return value


def credentials() -> Credentials:
    """Take the role's keys where Lambda puts them; read for each call, because a long-lived sandbox gets new ones."""
    return Credentials(
        required("AWS_ACCESS_KEY_ID"), required("AWS_SECRET_ACCESS_KEY"), os.environ.get("AWS_SESSION_TOKEN", "")
    )


def service_endpoint(service: str, region: str, *, host: str = "") -> str:
    """Find a service as every AWS SDK does: its own variable, the common one, then AWS itself."""
    own = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}")
    return own or os.environ.get("AWS_ENDPOINT_URL") or f"https://{host or service}.{region}.amazonaws.com"


def service(signing_name: str, *, endpoint_name: str = "", host: str = "") -> AwsService:
    """Make a client of one service with the function's role.

    `signing_name` is what the service's signatures say (`dynamodb`, `iotdata`); `endpoint_name` is how its own
    endpoint variable is spelled, and `host` the part of its host name before the region, where they differ.
    """
    region = required("AWS_REGION")
    endpoint = service_endpoint(endpoint_name or signing_name, region, host=host or signing_name)
    return AwsService(signing_name, region=region, endpoint=endpoint, credentials=credentials)
