"""Roles with their policies, and user pools with their clients and groups."""

from typing import Any

from headwater.deploy.deployment import Deployment, deploy_each
from headwater.template.intrinsics import Resource


async def deploy_roles(deployment: Deployment) -> None:
    """Register all roles first, then what is attached to them."""
    await deploy_each(deployment, "AWS::IAM::Role", _deploy_role)
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        await deploy_each(deployment, kind, _attach_policy)


async def _deploy_role(deployment: Deployment, resource: Resource) -> None:
    own = {deployment.stack.ref(policy.logical_id) for policy in deployment.of_type("AWS::IAM::ManagedPolicy")}
    properties: dict[str, Any] = dict(resource.properties)
    attached = [arn for arn in properties.get("ManagedPolicyArns") or [] if arn in own]
    properties["ManagedPolicyArns"] = [arn for arn in properties.get("ManagedPolicyArns") or [] if arn not in own]
    name = deployment.stack.physical_id(resource.logical_id)
    deployment.roles.add_role(name, properties)
    for policy in deployment.of_type("AWS::IAM::ManagedPolicy"):
        if deployment.stack.ref(policy.logical_id) in attached:
            deployment.roles.attach([name], policy.properties["PolicyDocument"])


async def _attach_policy(deployment: Deployment, resource: Resource) -> None:
    roles = [str(name) for name in resource.properties.get("Roles") or []]
    deployment.roles.attach(roles, resource.properties["PolicyDocument"])


async def deploy_user_pool(deployment: Deployment, resource: Resource) -> None:
    """Register a pool; its signing key is made at the first start."""
    pool_id = deployment.stack.physical_id(resource.logical_id)

    def mine(kind: str) -> list[Resource]:
        return [one for one in deployment.of_type(kind) if one.properties.get("UserPoolId") == pool_id]

    clients = [deployment.stack.physical_id(one.logical_id) for one in mine("AWS::Cognito::UserPoolClient")]
    groups = [str(one.properties.get("GroupName")) for one in mine("AWS::Cognito::UserPoolGroup")]
    deployment.user_pools.add(resource.logical_id, pool_id, clients, groups)
    deployment.report(resource, pool_id)
