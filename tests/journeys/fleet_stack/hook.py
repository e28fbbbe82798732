"""Before a device is registered: names it by its serial number, and turns away those that are blocked."""

from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    serial = event["parameters"]["SerialNumber"]
    if serial.startswith("broken"):
        raise RuntimeError("no such serial number")
    return {
        "allowProvisioning": not serial.startswith("blocked"),
        "parameterOverrides": {"Location": "Seattle", "SeenClaim": event["claimCertificateId"]},
    }
