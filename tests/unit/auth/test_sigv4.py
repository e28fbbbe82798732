"""Signatures: what AWS's own signer makes is verified, and nothing else is."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from headwater.auth.sigv4 import (
    SignableRequest,
    SigV4Verifier,
    appsync_realtime_request,
    find_signature,
)
from headwater.errors import ServiceError

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=10)


def signed(
    url: str,
    *,
    method: str = "POST",
    body: bytes = b"{}",
    headers: Mapping[str, str] | None = None,
    service: str = "dynamodb",
    token: str | None = None,
    is_payload_signed: bool = True,
) -> SignableRequest:
    request = AWSRequest(method=method, url=url, data=body, headers=dict(headers or {}))
    request.context["payload_signing_enabled"] = is_payload_signed
    signer = S3SigV4Auth if service == "s3" and is_payload_signed else SigV4Auth
    signer(Credentials(KEY, SECRET, token), service, "us-east-1").add_auth(request)
    return on_the_wire(str(request.url), method, body, dict(request.headers.items()))


def on_the_wire(url: str, method: str, body: bytes, headers: Mapping[str, str]) -> SignableRequest:
    parts = urlsplit(url)
    lowered = {name.lower(): value for name, value in headers.items()}
    lowered.setdefault("host", parts.netloc)
    return SignableRequest(method, parts.path, parts.query, tuple(lowered.items()), body)


def verify(request: SignableRequest, *, secret: str = SECRET, late_s: float = 0.0) -> str:
    signature = find_signature(request)
    assert signature is not None
    now = datetime.strptime(signature.timestamp + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
    SigV4Verifier().verify(request, signature, secret=secret, now=now + late_s)
    return signature.access_key_id


@given(
    path=TEXT,
    query=st.lists(st.tuples(TEXT, TEXT), max_size=4),
    body=st.binary(max_size=40),
    header=st.text("abc  ,=", max_size=12),
    service=st.sampled_from(["dynamodb", "s3", "iotdata", "appsync"]),
)
def test_a_request_signed_by_botocore_is_verified(
    path: str, query: list[tuple[str, str]], body: bytes, header: str, service: str
) -> None:
    text = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in query)
    url = f"http://localhost:8080/{quote(path)}?{text}"

    request = signed(url, body=body, headers={"X-Extra": header}, service=service)

    assert verify(request) == KEY


def test_dot_segments_and_doubled_slashes_are_normalised_except_for_s3() -> None:
    assert verify(signed("http://localhost/a/./b/../c//d/")) == KEY
    assert verify(signed("http://localhost/a//b/../c", service="s3")) == KEY


def test_a_session_token_header_is_part_of_the_signature() -> None:
    assert verify(signed("http://localhost/", token="session")) == KEY


@pytest.mark.parametrize("change", ["body", "path", "query", "header", "secret"])
def test_anything_that_was_changed_breaks_the_signature(change: str) -> None:
    request = signed("http://localhost/a?b=c", headers={"X-Amz-Target": "DynamoDB_20120810.PutItem"})
    headers = tuple((k, "DynamoDB_20120810.GetItem" if k == "x-amz-target" else v) for k, v in request.headers)
    changed = SignableRequest(
        request.method,
        "/other" if change == "path" else request.path,
        "b=d" if change == "query" else request.query,
        headers if change == "header" else request.headers,
        b"{ }" if change == "body" else request.body,
    )

    with pytest.raises(ServiceError, match="signature we calculated does not match") as caught:
        verify(changed, secret="other" if change == "secret" else SECRET)

    assert caught.value.code == "InvalidSignatureException"


def test_a_signature_is_accepted_for_fifteen_minutes_either_way() -> None:
    request = signed("http://localhost/")

    verify(request, late_s=900)
    verify(request, late_s=-900)
    with pytest.raises(ServiceError, match=r"Signature expired: .* is now earlier than .* - 15 min\.\)"):
        verify(request, late_s=901)
    with pytest.raises(ServiceError, match="Signature not yet current"):
        verify(request, late_s=-901)


def test_a_presigned_url_is_verified_until_it_expires() -> None:
    request = AWSRequest(method="GET", url="http://localhost:8080/mqtt", headers={})
    SigV4QueryAuth(Credentials(KEY, SECRET, "token"), "iotdevicegateway", "us-east-1", expires=60).add_auth(request)
    presigned = on_the_wire(str(request.url), "GET", b"", {})

    assert verify(presigned, late_s=60) == KEY
    with pytest.raises(ServiceError, match="Signature expired"):
        verify(presigned, late_s=61)


def test_a_session_token_appended_to_a_presigned_mqtt_url_is_not_signed() -> None:
    request = AWSRequest(method="GET", url="http://localhost:8080/mqtt", headers={})
    SigV4QueryAuth(Credentials(KEY, SECRET), "iotdevicegateway", "us-east-1", expires=60).add_auth(request)
    presigned = on_the_wire(f"{request.url}&X-Amz-Security-Token=a%2Fb", "GET", b"", {})

    assert verify(presigned) == KEY


def test_an_unsigned_payload_is_accepted_only_if_it_was_signed_as_such() -> None:
    request = signed("https://localhost/bucket/key", body=b"abc", service="s3", is_payload_signed=False)
    other = SignableRequest(request.method, request.path, request.query, request.headers, b"xyz")

    assert verify(other) == KEY
    with pytest.raises(ServiceError):
        verify(SignableRequest("POST", "/bucket/key", "", signed("http://localhost/bucket/key").headers, b"xyz"))


def test_a_real_time_header_object_is_verified_as_the_post_it_was_signed_for() -> None:
    headers = {
        "accept": "application/json, text/javascript",
        "content-encoding": "amz-1.0",
        "content-type": "application/json; charset=UTF-8",
    }
    connect = signed("http://localhost:8080/graphql/connect", headers=headers, service="appsync")
    data = '{"query":"subscription { onX { id } }","variables":{}}'
    start = signed("http://localhost:8080/graphql", body=data.encode(), headers=headers, service="appsync")

    rebuilt_connect = appsync_realtime_request("/graphql", dict(connect.headers), b"{}", is_connect=True)
    rebuilt_start = appsync_realtime_request("/graphql", dict(start.headers), data.encode(), is_connect=False)

    assert verify(rebuilt_connect) == KEY
    assert verify(rebuilt_start) == KEY
    authorization = dict(connect.headers)["authorization"]
    assert "SignedHeaders=accept;content-encoding;content-type;host;x-amz-date" in authorization


@pytest.mark.parametrize(
    ("headers", "query", "code"),
    [
        ({"authorization": "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request"}, "", "IncompleteSignatureException"),
        (
            {
                "authorization": "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=x",
                "x-amz-date": "20260101T000000Z",
            },
            "",
            "IncompleteSignatureException",
        ),
        ({}, "X-Amz-Algorithm=AWS4-HMAC-SHA256", "IncompleteSignatureException"),
        ({"authorization": "AWS4-HMAC-SHA256 x"}, "X-Amz-Algorithm=y", "InvalidSignatureException"),
    ],
)
def test_a_malformed_signature_is_refused(headers: dict[str, str], query: str, code: str) -> None:
    with pytest.raises(ServiceError) as caught:
        find_signature(SignableRequest("POST", "/", query, tuple(headers.items()), b""))

    assert caught.value.code == code


def test_a_request_without_signature_has_none() -> None:
    assert find_signature(SignableRequest("POST", "/", "", (("authorization", "Bearer x"),), b"")) is None


@given(TEXT, TEXT)
def test_no_text_in_the_header_or_query_is_a_crash(authorization: str, query: str) -> None:
    headers = (("authorization", "AWS4-HMAC-SHA256 " + authorization), ("x-amz-date", query))
    request = SignableRequest("POST", "/", f"X-Amz-Algorithm={query}", headers, b"")
    for candidate in (request, SignableRequest("POST", "/", query, headers, b"")):
        with pytest.raises(ServiceError):
            find_signature(candidate)
