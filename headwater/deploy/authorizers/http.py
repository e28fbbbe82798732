"""HTTP publishes that an authorizer lets in: `POST /topics/<topic>` without a signature of AWS's.

Source: AWS IoT Core Developer Guide, "Connecting to AWS IoT Core by using custom authentication", "HTTP".
"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from headwater.auth.sigv4 import SignableRequest, find_signature
from headwater.deploy.authorizers.authorizers import Authorizers
from headwater.deploy.authorizers.credentials import Presented
from headwater.deploy.authorizers.custom import CustomAuthentication, decision_context
from headwater.deploy.authorizers.grants import Grant
from headwater.deploy.iot.answers import error_answer
from headwater.deploy.iot.data_api import topic_of
from headwater.errors import ServiceError
from headwater.server.aws.permissions import Account
from headwater.values.http import HttpHandler, HttpRequest, HttpResponse
from headwater.values.policy import decide

_PREFIX = "/topics/"
_KEPT = "custom-authorizer"


class CustomHttp:
    """`in_front_of` takes the requests of custom authentication away from who answers signed ones."""

    def __init__(
        self,
        custom: CustomAuthentication,
        authorizers: Authorizers,
        account: Account,
        *,
        publish: HttpHandler,
        clock: Callable[[], float],
    ) -> None:
        self._custom = custom
        self._authorizers = authorizers
        self._account = account
        self._publish = publish
        self._clock = clock

    def in_front_of(self, others: HttpHandler) -> HttpHandler:
        """Handle what an authorizer decides on, hand on everything else."""

        # No coroutine of its own: every request to the AWS endpoint passes here.
        def handle(request: HttpRequest) -> Awaitable[HttpResponse]:
            presented = _presented(request)
            name = None
            if presented is not None:
                name = self._custom.authorizer_of(presented, "http", is_bare=True)
            if presented is None or name is None:
                return others(request)
            return self._publish_if_granted(request, name, presented)

        return handle

    async def _publish_if_granted(self, request: HttpRequest, name: str, presented: Presented) -> HttpResponse:
        try:
            self._check(request, await self._grant(request, name, presented))
        except ServiceError as error:
            return error_answer(error)
        return await self._publish(request)

    async def _grant(self, request: HttpRequest, name: str, presented: Presented) -> Grant:
        """The authorizer's answer; kept for the connection if the authorizer says so.

        Requests of one connection with the very same headers share `derived`.
        """
        key, now = (name, request.raw_query), self._clock()
        kept = request.derived.get(_KEPT)
        if kept is not None and kept[0] == key and kept[1] > now:
            grant: Grant = kept[2]
            return grant
        grant = await self._custom.decide(name, presented)
        if self._authorizers.describe(name)["enableCachingForHttp"]:
            request.derived[_KEPT] = (key, now + grant.refresh_after_s, grant)
        return grant

    def _check(self, request: HttpRequest, grant: Grant) -> None:
        """Raises: ServiceError ForbiddenException."""
        topic = topic_of(request.raw_path)
        actions = ["Publish"]
        # Given more than once, whichever counts where it is published.
        if "true" in parse_qs(request.raw_query).get("retain", ()):
            actions.append("RetainPublish")
        for action in actions:
            resource = self._account.arn("iot", f"topic/{topic}")
            context = decision_context("", request.peer)
            if not decide(grant.policies, f"iot:{action}", resource, context).allowed:
                raise ServiceError("ForbiddenException", f"the authorizer does not allow iot:{action}", status=403)


def _presented(request: HttpRequest) -> Presented | None:
    """What a publish without a signature shows; None for every other request."""
    if request.method != "POST" or not request.raw_path.startswith(_PREFIX):
        return None
    try:
        if find_signature(SignableRequest.of(request)) is not None:
            return None
    except ServiceError:
        return None
    host = request.header("host")
    return Presented(
        server_name=host.rpartition(":")[0] or host,
        headers=request.headers,
        query=request.raw_query,
        has_mqtt=False,
        has_http=True,
    )
