"""HTTP data sources of GraphQL APIs: to this machine, and to hosts the user allowed."""

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from headwater.datasource.sources.http_source import HttpSource
from headwater.datasource.sources.signing import SigningConfig
from headwater.deploy.deployment import Deployment
from headwater.errors import TemplateError


def http_source(deployment: Deployment, properties: Mapping[str, Any]) -> HttpSource:
    """The source of an `HttpConfig`, signing with a key of its role where it says so.

    Raises: TemplateError for an endpoint that is elsewhere and not allowed.
    """
    config = properties.get("HttpConfig")
    endpoint = config.get("Endpoint") if isinstance(config, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(endpoint, str):
        raise TemplateError("missing: an HTTP data source needs it", property_path="HttpConfig.Endpoint")
    host = (urlsplit(endpoint).hostname or "").lower()
    allowed = frozenset(deployment.options.allowed_hosts)
    if host not in allowed and not _is_local(host):
        raise TemplateError(
            f"{endpoint!r}: requests leave this machine only to hosts given with --allow-host {host}",
            property_path="HttpConfig.Endpoint",
        )
    return HttpSource(
        endpoint,
        now=deployment.clock,
        allows=allowed.__contains__,
        signing=_signing(deployment, properties, config),
    )


def _signing(deployment: Deployment, properties: Mapping[str, Any], config: Mapping[str, Any]) -> SigningConfig | None:
    authorization = config.get("AuthorizationConfig")
    if authorization is None:
        return None
    kind = authorization.get("AuthorizationType")
    signer = authorization.get("AwsIamConfig") or {}
    if kind != "AWS_IAM" or not signer.get("SigningServiceName"):
        raise TemplateError(
            f"found {authorization!r}; expected AWS_IAM with AwsIamConfig.SigningServiceName",
            property_path="HttpConfig.AuthorizationConfig",
        )
    role_arn = str(properties.get("ServiceRoleArn", ""))
    if not role_arn:
        raise TemplateError("missing: signing needs the keys of a role", property_path="ServiceRoleArn")
    key = deployment.roles.issue_key(role_arn.rsplit("/", 1)[-1])
    region = str(signer.get("SigningRegion") or deployment.options.region)
    return SigningConfig(region, str(signer["SigningServiceName"]), key.access_key_id, key.secret)


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
