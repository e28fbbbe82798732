"""A device's thing and X.509 certificates in IoT Core: made at registration, gone with the device.

boto3 is imported by the functions that need it: one registration in many brings a request, and boto3 costs every cold
start 200 ms.
"""

from typing import Any

from resolvers.caller import BadRequest
from streams.aws.environment import required


def is_thing_name(device_id: str) -> bool:
    """Say whether IoT Core takes a device's id for a thing: a dot is what it does not take."""
    return "." not in device_id


def issue_certificate(device_id: str, signing_request: str) -> dict[str, str]:
    """Register the thing with IoT Core and sign its certificate; the device keeps its private key.

    Raises: BadRequest for a signing request that IoT Core refuses. Whatever else fails leaves no certificate behind.
    """
    iot = _iot()
    try:
        certificate = iot.create_certificate_from_csr(certificateSigningRequest=signing_request, setAsActive=True)
    except iot.exceptions.InvalidRequestException as error:
        raise BadRequest(f"certificateSigningRequest is refused by IoT Core: {error}") from error
    arn = certificate["certificateArn"]
    try:
        iot.create_thing(thingName=device_id)
        iot.attach_policy(policyName=required("DEVICE_POLICY_NAME"), target=arn)
        iot.attach_thing_principal(thingName=device_id, principal=arn)
        endpoint = iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    except Exception:
        # Nobody would ever learn of it, and it is active.
        _delete_certificate(iot, arn)
        raise
    return {
        "certificatePem": certificate["certificatePem"],
        "certificateId": certificate["certificateId"],
        "endpoint": endpoint,
    }


def revoke_certificates(device_id: str) -> int:
    """Delete the thing and the certificates that are its alone; returns how many that were.

    Every step finds its work done when it comes again. A certificate that other things have too stays active: the
    device policy asks for an attached thing, so it opens no connection as this device.
    """
    if not is_thing_name(device_id):
        # IoT Core refuses to look for it.
        return 0
    iot = _iot()
    try:
        principals = _principals(iot, device_id)
    except iot.exceptions.ResourceNotFoundException:
        return 0
    deleted = 0
    for principal in principals:
        is_its_own = iot.list_principal_things(principal=principal, maxResults=2)["things"] == [device_id]
        if ":cert/" in principal and is_its_own:
            _delete_certificate(iot, principal)
            deleted += 1
        else:
            iot.detach_thing_principal(thingName=device_id, principal=principal)
    iot.delete_thing(thingName=device_id)
    return deleted


def _iot() -> Any:
    import boto3

    return boto3.client("iot")


def _principals(iot: Any, device_id: str) -> list[str]:
    found: list[str] = []
    page: dict[str, Any] = {}
    while True:
        page = iot.list_thing_principals(
            thingName=device_id, **({"nextToken": page["nextToken"]} if page.get("nextToken") else {})
        )
        found += page["principals"]
        if not page.get("nextToken"):
            return found


def _delete_certificate(iot: Any, arn: str) -> None:
    """Deactivate, then take apart, then delete: wherever it stops, the certificate opens no connection any more.

    The thing is let go last but one, because it is by the thing that the next attempt finds the certificate.
    """
    certificate_id = arn.rpartition("/")[2]
    iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    for policy in iot.list_attached_policies(target=arn)["policies"]:
        iot.detach_policy(policyName=policy["policyName"], target=arn)
    for thing in iot.list_principal_things(principal=arn)["things"]:
        iot.detach_thing_principal(thingName=thing, principal=arn)
    iot.delete_certificate(certificateId=certificate_id)
