"""`headwater device provision` on the instance's side: a claim, and what a device has to tell."""

from collections.abc import Mapping
from typing import Any

from headwater.deploy.deployment import Deployment


async def make_claim(deployment: Deployment, request: Mapping[str, Any]) -> dict[str, Any]:
    """A claim of the template `template`. Raises: ServiceError for one that is not there or not enabled."""
    name = str(request.get("template", ""))
    body, _, _ = deployment.provisioning.templates.active(name)
    claim = await deployment.provisioning.api.claim(name)
    return {**claim, "parameters": body.wanted_parameters}
