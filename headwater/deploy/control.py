"""`/_headwater/…`: what other commands ask a running instance for, and the user pools' public keys."""

import hmac
from collections.abc import Mapping
from typing import Any

import orjson

from headwater.deploy.deployment import Deployment
from headwater.deploy.functions.logs import function_logs
from headwater.deploy.graphql.explanation import explain_subscription
from headwater.deploy.iam_report import iam_report
from headwater.deploy.iot.devices import add_device
from headwater.deploy.provisioning.claims import make_claim
from headwater.deploy.routing import json_response
from headwater.deploy.rules.explanation import explain_running
from headwater.errors import ServiceError
from headwater.values.http import HttpHandler, HttpRequest, HttpResponse

PREFIX = "/_headwater/"


class ControlApi:
    """Answers other commands. They show the administrator's secret key, which only the data directory's owner has."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def handlers(self) -> dict[str, HttpHandler]:
        """By path prefix."""
        keys = {f"/{pool_id}/": self._jwks for pool_id in self._deployment.user_pools.pools}
        return {PREFIX: self._control, **keys}

    async def _jwks(self, request: HttpRequest) -> HttpResponse:
        found = self._deployment.user_pools.jwks(request)
        return found if found is not None else json_response(404, {"message": f"nothing at {request.raw_path}"})

    async def _control(self, request: HttpRequest) -> HttpResponse:
        name = request.raw_path.removeprefix(PREFIX)
        if name == "health":
            return json_response(200, {"status": "ready"})
        wanted = f"Bearer {self._deployment.administrator_key.secret}"
        if not hmac.compare_digest(request.header("authorization").encode(), wanted.encode()):
            return json_response(401, {"message": "this needs the secretAccessKey of run.json as a bearer token"})
        try:
            body = orjson.loads(request.body) if request.body else {}
        except ValueError:
            return json_response(400, {"message": "the body is not JSON"})
        if name == "token" and request.method == "POST" and isinstance(body, Mapping):
            return self._token(body)
        if name == "devices" and request.method == "POST" and isinstance(body, Mapping):
            return await self._device(body)
        if name == "claims" and request.method == "POST" and isinstance(body, Mapping):
            return await self._claim(body)
        if name == "explain/subscription" and request.method == "POST" and isinstance(body, Mapping):
            return explain_subscription(self._deployment, body)
        if name == "explain/rule" and request.method == "POST" and isinstance(body, Mapping):
            return explain_running(self._deployment, body)
        if name == "logs" and request.method == "GET":
            return await self._logs(request)
        if name == "iam/report" and request.method == "GET":
            return json_response(200, iam_report(self._deployment))
        if name == "metrics" and request.method == "GET":
            return json_response(200, self.metrics())
        return json_response(404, {"message": f"there is no {request.method} {request.raw_path}"})

    def _token(self, body: Mapping[str, Any]) -> HttpResponse:
        try:
            return json_response(200, self._deployment.user_pools.issue(body, self._deployment.clock()))
        except ServiceError as error:
            return json_response(400, {"message": error.message})

    async def _logs(self, request: HttpRequest) -> HttpResponse:
        try:
            return json_response(200, await function_logs(self._deployment, request.raw_query))
        except ServiceError as error:
            return json_response(404, {"message": error.message})

    async def _device(self, body: Mapping[str, Any]) -> HttpResponse:
        try:
            return json_response(200, await add_device(self._deployment, body))
        except ServiceError as error:
            return json_response(400, {"message": error.message})

    async def _claim(self, body: Mapping[str, Any]) -> HttpResponse:
        try:
            return json_response(200, await make_claim(self._deployment, body))
        except ServiceError as error:
            return json_response(400, {"message": error.message})

    def metrics(self) -> dict[str, Any]:
        """Counters since the start."""
        deployment = self._deployment
        return {
            "apis": {name: {**api.http.metrics(), **api.realtime.metrics()} for name, api in deployment.apis.items()},
            "cloudwatch": {
                "logs": list(deployment.rules.records.logs),
                "metrics": list(deployment.rules.records.metrics),
            },
            "rules": {
                name: {"fired": rule.fired, "failed": rule.failed} for name, rule in deployment.rules.rules.items()
            },
        }
