"""Custom authentication without functions and timers: answers are programmed, delays are turned by hand."""

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from headwater.deploy.authorizers.authorizers import Authorizers
from headwater.deploy.authorizers.custom import CustomAuthentication
from headwater.deploy.authorizers.domains import Domains
from headwater.deploy.iot.database import IotDatabase
from headwater.server.aws.permissions import Account

ACCOUNT = Account("us-east-1", "123456789012")
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:authorizer"
ARN = "arn:aws:iot:us-east-1:123456789012"


def allowing(*actions: str, resource: str = "*") -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": [f"iot:{action}" for action in actions], "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def answer(**changed: Any) -> dict[str, Any]:
    """What a function says that lets everybody do everything."""
    return {
        "isAuthenticated": True,
        "principalId": "Someone1",
        "policyDocuments": [allowing("*")],
        "disconnectAfterInSeconds": 3600,
        "refreshAfterInSeconds": 300,
        **changed,
    }


@dataclass
class CustomBench:
    """`answers` are given in turn, the last one for ever; `timers` are (delay, work)."""

    database: IotDatabase
    now: list[float]
    answers: list[Any] = field(default_factory=lambda: [answer()])
    events: list[dict[str, Any]] = field(default_factory=list)
    timers: list[tuple[float, Callable[[], Coroutine[Any, Any, None]]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.authorizers = Authorizers(self.database, ACCOUNT, clock=lambda: self.now[0])
        self.domains = Domains(self.database, ACCOUNT, clock=lambda: self.now[0])
        self.authentication = CustomAuthentication(
            self.authorizers,
            self.domains,
            invoke=self._invoke,
            later=lambda delay_s, work: self.timers.append((delay_s, work)),
            clock=lambda: self.now[0],
            endpoint="localhost",
        )

    async def _invoke(self, function_arn: str, payload: bytes, *, timeout_s: float) -> Any:
        assert (function_arn, timeout_s) == (FUNCTION, 5.0)
        self.events.append(json.loads(payload))
        given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(given, Exception):
            raise given
        return given

    async def add(self, name: str = "own", **members: Any) -> None:
        """An active authorizer without signing, unless `members` say otherwise."""
        given = {"authorizerFunctionArn": FUNCTION, "signingDisabled": True, "status": "ACTIVE", **members}
        await self.authorizers.create(name, given)
