"""AppSync callers: the mode the headers choose, the identity resolvers see, and who is refused."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from headwater.auth.appsync import (
    ApiKeys,
    AppSyncAuthenticator,
    AuthSettings,
    OidcProvider,
    UserPool,
    source_ip_of,
    visible_headers,
)
from headwater.auth.authorizer import LambdaAuthorizer, SignatureRefused
from headwater.auth.jwt import JwtVerifier, PoolKey, make_pool_key, sign_jwt
from headwater.auth.key_sets import RenewedKeys
from headwater.errors import RequestError, ServiceError
from headwater.values.http import HttpRequest
from headwater.values.identity import AwsPrincipal, GraphQLCaller

NOW = 1_800_000_000.0
POOL = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_local"
ROLE = AwsPrincipal("ASIAROLE", "123456789012", "fanout")


@pytest.fixture(scope="module")
def pool_key() -> PoolKey:
    return make_pool_key()


def keys_of(key: PoolKey) -> RenewedKeys:
    async def fetch() -> None:
        return None

    return RenewedKeys(JwtVerifier(key.jwks()), fetch)


class Authorizer:
    """A Lambda authorizer that answers what it was told to and keeps its events."""

    def __init__(self, reply: Any) -> None:
        self.reply = reply
        self.events: list[dict[str, Any]] = []

    async def __call__(self, function: str, event: dict[str, Any]) -> Any:
        self.events.append(event)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


def authenticator(invoke: Authorizer | None = None, **settings: Any) -> AppSyncAuthenticator:
    return AppSyncAuthenticator(
        AuthSettings(api_id="api1", account_id="123456789012", **settings),
        find_secret=lambda key: (ROLE, "secret") if key == ROLE.access_key_id else None,
        invoke=invoke,
    )


def post(headers: Mapping[str, str], body: bytes = b"{}") -> HttpRequest:
    return HttpRequest("POST", "/graphql", "", tuple(headers.items()), body, peer="127.0.0.1")


async def call(subject: AppSyncAuthenticator, headers: Mapping[str, str], *, now: float = NOW) -> GraphQLCaller:
    return await subject.authenticate(subject.http_attempt(post(headers), request_id="r1", query="{ a }"), now=now)


async def refusal(subject: AppSyncAuthenticator, headers: Mapping[str, str], *, now: float = NOW) -> str:
    with pytest.raises(RequestError) as caught:
        await call(subject, headers, now=now)
    assert caught.value.error_type == "UnauthorizedException"
    return caught.value.message


async def test_an_api_key_has_no_identity_and_expires() -> None:
    subject = authenticator(api_keys=ApiKeys({"da2-key": NOW + 1}))

    caller = await call(subject, {"x-api-key": "da2-key"})

    assert (caller.mode, caller.identity) == ("API_KEY", None)
    assert await refusal(subject, {"x-api-key": "da2-key"}, now=NOW + 1) == "You are not authorized to make this call."
    assert await refusal(subject, {"x-api-key": "other"}) == "You are not authorized to make this call."


def test_an_api_key_alone_is_known_at_once_until_it_expires() -> None:
    subject = authenticator(api_keys=ApiKeys({"da2-k": NOW + 10}), is_iam=True)
    request, signed = post({"x-api-key": "da2-k"}), post({"x-api-key": "da2-k", "authorization": "AWS4-HMAC-SHA256 x"})

    known, again, late = (subject.quick_caller(request, now) for now in (NOW, NOW, NOW + 10))

    assert known == GraphQLCaller("API_KEY", source_ip=("127.0.0.1",))
    assert again is known
    assert late is None
    assert subject.quick_caller(signed, NOW) is None
    assert subject.quick_caller(post({"x-api-key": "da2-other"}), NOW) is None


def test_an_api_key_alone_starts_a_subscription_at_once_until_it_expires() -> None:
    subject = authenticator(api_keys=ApiKeys({"da2-k": NOW + 10}), is_iam=True)
    header = {"host": "x", "x-api-key": "da2-k"}
    others = [{**header, "authorization": "AWS4-HMAC-SHA256 x"}, {**header, "x-api-key": "da2-other"}, {"host": "x"}]

    assert subject.quick_start(header, ("127.0.0.1",), NOW) == GraphQLCaller("API_KEY", source_ip=("127.0.0.1",))
    assert subject.quick_start(header, ("127.0.0.1",), NOW + 10) is None
    assert [subject.quick_start(other, ("127.0.0.1",), NOW) for other in others] == [None] * 3
    assert authenticator(is_iam=True).quick_start(header, ("127.0.0.1",), NOW) is None


def test_the_caller_of_a_start_is_known_by_its_addresses_and_only_so_many_are_kept() -> None:
    subject = authenticator(api_keys=ApiKeys({"da2-good": NOW + 10}))
    header = {"x-api-key": "da2-good", "host": "h"}

    found = [subject.quick_start(header, (f"10.0.0.{number % 300}",), NOW) for number in range(900)]

    assert [one.source_ip for one in found if one] == [(f"10.0.0.{number % 300}",) for number in range(900)]
    assert subject.quick_start(header, ("10.0.0.299",), NOW) is subject.quick_start(header, ("10.0.0.299",), NOW)
    assert len(subject._key_callers) <= 256


async def test_a_request_without_credentials_is_told_so() -> None:
    assert await refusal(authenticator(), {}) == "Missing authorization header"


def signed(
    path: str, *, key: str = ROLE.access_key_id, secret: str = "secret", service: str = "appsync"
) -> dict[str, str]:
    """The headers of a POST of `{}`, in lower case, as botocore signs them."""
    request = AWSRequest(method="POST", url=f"http://localhost:8080{path}", data=b"{}")
    SigV4Auth(Credentials(key, secret), service, "us-east-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()} | {"host": "localhost:8080"}


def signed_at(headers: Mapping[str, str]) -> float:
    return datetime.strptime(headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()


async def test_a_signed_request_is_its_roles(pool_key: PoolKey) -> None:
    subject = authenticator(is_iam=True)
    headers = signed("/graphql")
    now = signed_at(headers)

    caller = await call(subject, headers | {"x-api-key": "ignored"}, now=now)

    assert caller.principal == ROLE
    assert caller.identity == {
        "accountId": "123456789012",
        "cognitoIdentityPoolId": None,
        "cognitoIdentityId": None,
        "sourceIp": ["127.0.0.1"],
        "username": "ASIAROLE:fanout",
        "userArn": "arn:aws:sts::123456789012:assumed-role/fanout/fanout",
        "cognitoIdentityAuthType": None,
        "cognitoIdentityAuthProvider": None,
    }
    await refusal(subject, headers, now=now + 3600)
    await refusal(authenticator(), headers, now=now)


async def test_a_wrong_signature_is_explained_to_the_real_time_channel_alone() -> None:
    subject = authenticator(is_iam=True)
    headers = signed("/graphql/connect", secret="wrong")
    stamp, now = headers["x-amz-date"], signed_at(headers)
    attempt = subject.connect_attempt(headers, request_id="r", source_ip=("127.0.0.1",))

    with pytest.raises(SignatureRefused) as caught:
        await subject.authenticate(attempt, now=now)
    with pytest.raises(SignatureRefused) as late:
        await subject.authenticate(attempt, now=now + 3600)

    assert caught.value.message == "You are not authorized to make this call."
    sha256 = hashlib.sha256(b"{}").hexdigest()
    canonical = f"POST\n/graphql/connect\n\nhost:localhost:8080\nx-amz-date:{stamp}\n\nhost;x-amz-date\n{sha256}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    assert caught.value.explanation == (
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details.\n\n"
        f"The Canonical String for this request should have been\n'{canonical}'\n\n"
        "The String-to-Sign should have been\n"
        f"'AWS4-HMAC-SHA256\n{stamp}\n{stamp[:8]}/us-east-1/appsync/aws4_request\n{digest}'\n"
    )
    assert late.value.explanation.startswith(f"Signature expired: {stamp} is now earlier than ")


async def test_a_signature_of_another_service_or_an_unknown_key_is_refused() -> None:
    for key, service in ((ROLE.access_key_id, "dynamodb"), ("AKIDUNKNOWN", "appsync")):
        await refusal(authenticator(is_iam=True), signed("/graphql", key=key, service=service))


async def test_a_user_pool_token_gives_the_exact_identity(pool_key: PoolKey) -> None:
    pool = UserPool(POOL, JwtVerifier(pool_key.jwks()), re.compile("client-.*"))
    claims = {
        "sub": "u1",
        "iss": POOL,
        "token_use": "id",
        "aud": "client-1",
        "cognito:username": "ann",
        "cognito:groups": ["operators"],
        "exp": NOW + 60,
    }

    caller = await call(authenticator(user_pools=(pool,)), {"authorization": f"Bearer {sign_jwt(pool_key, claims)}"})

    assert caller.groups == ("operators",)
    assert caller.identity == {
        "sub": "u1",
        "issuer": POOL,
        "username": "ann",
        "claims": claims,
        "sourceIp": ["127.0.0.1"],
        "defaultAuthStrategy": "ALLOW",
        "groups": ["operators"],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exp": NOW - 1}, "Token has expired."),
        ({"token_use": "refresh"}, "You are not authorized to make this call."),
        ({"client_id": "stranger"}, "You are not authorized to make this call."),
        ({"iss": "https://elsewhere"}, "You are not authorized to make this call."),
    ],
)
async def test_a_user_pool_token_is_refused(pool_key: PoolKey, change: dict[str, Any], message: str) -> None:
    pool = UserPool(POOL, JwtVerifier(pool_key.jwks()), re.compile("client-.*"))
    claims = {"sub": "u1", "iss": POOL, "token_use": "access", "client_id": "client-1", "exp": NOW + 60, **change}

    refused = await refusal(authenticator(user_pools=(pool,)), {"authorization": sign_jwt(pool_key, claims)})

    assert refused == message


@pytest.mark.parametrize("authorization", ["abc", "Bearer abc", "AWS4-HMAC-SHA256 Credential=a", "a.b"])
async def test_an_api_of_tokens_says_that_other_credentials_are_none(pool_key: PoolKey, authorization: str) -> None:
    pool, headers = UserPool(POOL, JwtVerifier(pool_key.jwks())), {"authorization": authorization}
    other = authenticator(Authorizer({"isAuthorized": False}), authorizer=LambdaAuthorizer("f"), user_pools=(pool,))

    assert await refusal(authenticator(user_pools=(pool,)), headers) == "Unable to parse JWT token."
    assert await refusal(other, headers) == "You are not authorized to make this call."
    assert await refusal(authenticator(api_keys=ApiKeys({})), headers) == "You are not authorized to make this call."


async def test_an_oidc_token_needs_iat_and_an_accepted_client(pool_key: PoolKey) -> None:
    provider = OidcProvider("https://issuer", keys_of(pool_key), re.compile("app"), iat_ttl_ms=60_000)
    subject = authenticator(oidc_providers=(provider,), is_iam=True)
    claims = {"sub": "u1", "iss": "https://issuer", "azp": "app", "aud": ["x"], "iat": NOW, "exp": NOW + 600}

    caller = await call(subject, {"authorization": sign_jwt(pool_key, claims)})

    assert caller.identity == {"sub": "u1", "issuer": "https://issuer", "claims": claims}
    for change in ({"azp": "other"}, {"iss": "https://other"}):
        await refusal(subject, {"authorization": sign_jwt(pool_key, {**claims, **change})})
    await refusal(subject, {"authorization": sign_jwt(pool_key, claims)}, now=NOW + 61)
    del claims["iat"]
    await refusal(subject, {"authorization": sign_jwt(pool_key, claims)})


async def test_the_issuer_is_not_checked_where_oidc_is_the_only_mode(pool_key: PoolKey) -> None:
    provider = OidcProvider("https://issuer", keys_of(pool_key))
    claims = {"sub": "u1", "iss": "https://other", "iat": NOW, "exp": NOW + 600}

    caller = await call(authenticator(oidc_providers=(provider,)), {"authorization": sign_jwt(pool_key, claims)})

    assert caller.mode == "OPENID_CONNECT"


async def test_a_lambda_authorizer_gets_the_services_event_and_its_context_is_the_identity() -> None:
    reply = {
        "isAuthorized": True,
        "resolverContext": {"tenant": "t1"},
        "deniedFields": ["Query.secret", "arn:aws:appsync:us-east-1:1:apis/api1/types/Device/fields/key"],
    }
    authorizer = Authorizer(reply)
    subject = authenticator(authorizer, authorizer=LambdaAuthorizer("authorize"))

    caller = await call(subject, {"authorization": "partner-token", "host": "localhost"})

    assert caller.identity == {"resolverContext": {"tenant": "t1"}}
    assert caller.denied_fields == {"Query.secret", "Device.key"}
    assert authorizer.events == [
        {
            "authorizationToken": "partner-token",
            "requestContext": {
                "apiId": "api1",
                "accountId": "123456789012",
                "requestId": "r1",
                "queryString": "{ a }",
                "operationName": None,
                "variables": {},
            },
            "requestHeaders": {"authorization": "partner-token", "host": "localhost"},
        }
    ]


async def test_an_authorizers_reply_is_reused_for_its_time_to_live() -> None:
    authorizer = Authorizer({"isAuthorized": True, "ttlOverride": 10})
    subject = authenticator(authorizer, authorizer=LambdaAuthorizer("authorize", ttl_s=300))

    for moment in (NOW, NOW + 9, NOW + 10):
        await call(subject, {"authorization": "t"}, now=moment)

    assert len(authorizer.events) == 2


async def test_a_time_to_live_of_zero_keeps_nothing() -> None:
    authorizer = Authorizer({"isAuthorized": True, "ttlOverride": 0})
    subject = authenticator(authorizer, authorizer=LambdaAuthorizer("authorize", ttl_s=300))

    for _ in range(2):
        await call(subject, {"authorization": "t"})

    assert len(authorizer.events) == 2


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"isAuthorized": False},
        {"isAuthorized": "true"},
        None,
        {"isAuthorized": True, "resolverContext": {"nested": {}}},
        {"isAuthorized": True, "deniedFields": "Query.secret"},
        ServiceError("TooManyRequestsException", "busy"),
    ],
)
async def test_any_other_reply_of_an_authorizer_refuses(reply: Any) -> None:
    subject = authenticator(Authorizer(reply), authorizer=LambdaAuthorizer("authorize"))

    assert await refusal(subject, {"authorization": "t"}) == "You are not authorized to make this call."


async def test_denied_fields_that_deny_nothing_are_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    reply = {"isAuthorized": True, "deniedFields": ["Mutation", "Mutation.*", "Query.secret"]}
    subject = authenticator(Authorizer(reply), authorizer=LambdaAuthorizer("authorize"))

    caller = await call(subject, {"authorization": "t"})

    assert caller.denied_fields == {"Query.secret"}
    assert [record.args for record in caplog.records] == [("Mutation",), ("Mutation.*",)]


async def test_an_authorizer_that_says_neither_yes_nor_no_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    subject = authenticator(Authorizer({"authorized": True}), authorizer=LambdaAuthorizer("authorize"))

    await refusal(subject, {"authorization": "t"})

    assert "isAuthorized" in caplog.text


async def test_a_token_that_fails_the_validation_expression_does_not_reach_the_authorizer() -> None:
    authorizer = Authorizer({"isAuthorized": True})
    settings = LambdaAuthorizer("authorize", identity_validation=re.compile("^partner-"))

    await refusal(authenticator(authorizer, authorizer=settings), {"authorization": "other"})

    assert authorizer.events == []


async def test_at_connect_the_authorizer_sees_the_connect_operation_and_no_query() -> None:
    authorizer = Authorizer({"isAuthorized": True})
    subject = authenticator(authorizer, authorizer=LambdaAuthorizer("authorize", ttl_s=0))
    header = {"Authorization": "t", "host": "localhost"}

    await subject.authenticate(subject.connect_attempt(header, request_id="r", source_ip=["127.0.0.1"]), now=NOW)
    await subject.authenticate(
        subject.start_attempt(
            header,
            '{"query":"subscription { a }"}',
            request_id="r",
            source_ip=["127.0.0.1"],
            query="subscription { a }",
        ),
        now=NOW,
    )

    contexts = [event["requestContext"] for event in authorizer.events]
    assert [(c["operationName"], c["queryString"]) for c in contexts] == [
        ("DeepDish:Connect", ""),
        (None, "subscription { a }"),
    ]


def test_source_addresses_are_the_forwarded_ones_and_the_peer() -> None:
    assert source_ip_of(post({"x-forwarded-for": "10.0.0.1, 10.0.0.2"})) == ("10.0.0.1", "10.0.0.2", "127.0.0.1")


def test_resolvers_see_repeated_headers_as_a_list_and_no_cookie() -> None:
    seen = visible_headers((("a", "1"), ("cookie", "x"), ("a", "2"), ("a", "3"), ("b", "4")))

    assert seen == {"a": ["1", "2", "3"], "b": "4"}
