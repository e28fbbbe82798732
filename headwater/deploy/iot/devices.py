"""`headwater device add` on the instance's side: thing, certificate, policy, and what the device publishes."""

from collections.abc import Mapping
from typing import Any

from headwater.deploy.deployment import Deployment
from headwater.deploy.fleet import FleetProfile
from headwater.deploy.iot.limits import check_thing_name, invalid
from headwater.errors import ServiceError


async def add_device(deployment: Deployment, request: Mapping[str, Any]) -> dict[str, Any]:
    """Register a device that brings a signing request for its own key.

    `request` has `name`, `certificateSigningRequest` and, where there is more than one policy, `policy`.
    Raises: ServiceError naming what is missing or wrong; a thing that exists gets one more certificate.
    """
    devices = deployment.devices
    name = check_thing_name(request.get("name"), "name")
    policy = _policy(deployment, request.get("policy"))
    devices.policies.get(policy)
    existed = _exists(deployment, name)
    issued = await devices.certificates.create_from_csr(request.get("certificateSigningRequest"), is_active=True)
    if not existed:
        await devices.things.create(name)
    await devices.policies.attach(policy, issued["certificateArn"])
    await devices.certificates.attach_thing(name, issued["certificateArn"])
    topic, payload = _example(deployment, name)
    return {**issued, "policyName": policy, "existed": existed, "topic": topic, "payload": payload}


def _exists(deployment: Deployment, name: str) -> bool:
    try:
        deployment.devices.things.describe(name)
    except ServiceError:
        return False
    return True


def _policy(deployment: Deployment, given: object) -> str:
    if given:
        return str(given)
    own = [deployment.stack.physical_id(one.logical_id) for one in deployment.of_type("AWS::IoT::Policy")]
    if len(own) != 1:
        found = ", ".join(own) or "none"
        raise invalid(f"the template has {len(own)} policies ({found}); name one with --policy")
    return own[0]


def _example(deployment: Deployment, name: str) -> tuple[str, str]:
    """What the template's fleet publishes; without a fleet nobody knows, and there is no example."""
    if not deployment.loaded.fleet:
        return "", ""
    topic, payload = FleetProfile.parse(deployment.loaded.fleet).example(name)
    return topic, payload.decode()
