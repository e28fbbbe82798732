"""Signatures of HTTP data sources are those botocore makes."""

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from headwater.datasource.sources.signing import SigningConfig, sign


def test_the_signature_is_the_one_botocore_makes() -> None:
    query = [("Action", "List things"), ("Version", "2010-05-08")]
    body = b'{"a": 1}'
    config = SigningConfig("us-east-1", "states", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")

    signed = sign(
        config,
        "POST",
        "/a/b",
        query,
        {"host": "example.com", "content-type": "application/json"},
        body,
        1_700_000_000.0,
    )

    request = AWSRequest(
        "POST",
        "https://example.com/a/b?Action=List%20things&Version=2010-05-08",
        headers={
            "content-type": "application/json",
            "x-amz-date": signed["x-amz-date"],
            "x-amz-content-sha256": signed["x-amz-content-sha256"],
        },
        data=body,
    )
    request.context["timestamp"] = signed["x-amz-date"]
    signer = SigV4Auth(Credentials(config.access_key_id, config.secret_access_key), "states", "us-east-1")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert signed["authorization"].endswith(signer.signature(text, request))
