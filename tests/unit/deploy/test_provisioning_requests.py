"""Fleet provisioning without sockets: tokens, their end, hooks, overrides, and requests nobody should send."""

import asyncio
import datetime
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.deploy.iot.database import Change
from headwater.deploy.iot.registry import DeviceRegistry
from headwater.deploy.provisioning.body import ProvisioningBody
from headwater.deploy.provisioning.ownership import LIFETIME_S, Ownership
from headwater.deploy.provisioning.registration import Registration
from headwater.deploy.provisioning.requests import FleetProvisioning, Request, parse_request
from headwater.deploy.provisioning.templates import ProvisioningTemplates, Settings
from headwater.errors import ServiceError
from headwater.mqtt.ports import ClientContext, Publish
from headwater.server.aws.permissions import Account
from headwater.server.http.tls import CertificateAuthority
from headwater.storage.store import Store
from tests.unit.deploy.test_iot_registry import ALLOW_ALL, signing_request

ACCOUNT = Account("us-east-1", "123456789012")
ROLE = "arn:aws:iam::123456789012:role/provisioning"
HOOK = "arn:aws:lambda:us-east-1:123456789012:function:hook"
CLAIMANT = ClientContext("claimant", "c" * 64)
CREATE, PROVISION = "$aws/certificates/create/json", "$aws/provisioning-templates/fleet/provision/json"


def template(**overrides: str) -> str:
    return json.dumps(
        {
            "Parameters": {"Serial": {"Type": "String"}, "Group": {"Type": "String", "Default": "a"}},
            "Resources": {
                "c": {
                    "Type": "AWS::IoT::Certificate",
                    "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}},
                },
                "t": {
                    "Type": "AWS::IoT::Thing",
                    "OverrideSettings": overrides,
                    "Properties": {
                        "ThingName": {"Ref": "Serial"},
                        "AttributePayload": {"new": "1"},
                        "ThingTypeName": "pump",
                        "ThingGroups": [{"Ref": "Group"}],
                    },
                },
                "p": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "device"}},
            },
        }
    )


@dataclass
class Bench:
    """A fleet with a clock to turn and a hook to program; `answers` are what clients were sent."""

    registry: DeviceRegistry
    templates: ProvisioningTemplates
    ownership: Ownership
    requests: FleetProvisioning
    now: list[float]
    hook: list[Any]
    asked: list[Any]
    answers: list[tuple[str, str, bytes]] = field(default_factory=list)
    denied: set[str] = field(default_factory=set)
    rest: list[Publish] = field(default_factory=list)

    async def publish(
        self, topic: str, payload: bytes | Mapping[str, Any], client: ClientContext | None = CLAIMANT
    ) -> Any:
        """The answer's document with `accepted` or `rejected`; None if there is none."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        before = len(self.answers)
        work = self.requests.in_front_of(self._others)([Publish(topic, data, client=client)])
        if work is not None:
            await work
        if len(self.answers) == before:
            return None
        _, answered, body = self.answers[-1]
        decode = cbor2.loads if "/cbor/" in answered else json.loads
        return answered.rsplit("/", 1)[1], decode(body)

    def _others(self, batch: Any) -> None:
        self.rest += batch

    async def token(self) -> str:
        _, made = await self.publish(CREATE, b"")
        return str(made["certificateOwnershipToken"])


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store, now, numbers = Store.open(None), [1000.0], iter(range(10**6))
    hook: list[Any] = []
    asked: list[Any] = []

    async def invoke(arn: str, payload: bytes, *, timeout_s: float) -> Any:
        assert (arn, timeout_s) == (HOOK, 5.0)
        asked.append(json.loads(payload))
        answer = hook.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def authorize(role_arn: str) -> Any:
        assert role_arn == ROLE

        def check(action: str, resource: str) -> None:
            if action in made.denied:
                raise ServiceError("AccessDeniedException", f"not {action} on {resource}")

        return check

    def answer(client: ClientContext, topic: str, payload: bytes) -> bool:
        made.answers.append((client.client_id, topic, payload))
        return True

    registry = DeviceRegistry(
        store,
        ACCOUNT,
        lambda: CertificateAuthority(tmp_path / "tls", datetime.datetime.now(datetime.UTC)),
        clock=lambda: now[0],
        new_id=lambda: f"id-{next(numbers)}",
    )
    templates = ProvisioningTemplates(registry.database, ACCOUNT, clock=lambda: now[0])
    ownership = Ownership(registry.database, clock=lambda: now[0], new_token=lambda: f"token-{next(numbers)}")
    registration = Registration(registry, clock=lambda: now[0], new_id=lambda: "thing-id")
    requests = FleetProvisioning(
        registry.certificates,
        templates,
        registration,
        ownership,
        invoke=invoke,
        authorize=authorize,
        answer=answer,
    )
    made = Bench(registry, templates, ownership, requests, now, hook, asked)
    await registry.policies.create("device", ALLOW_ALL)
    await registry.things.create_type("pump", {})
    for name in ("a", "b"):
        await registry.groups.create(name, None, {})
    await templates.create("fleet", template(), Settings(ROLE, is_enabled=True))
    yield made
    await store.close()


@pytest.mark.parametrize(
    ("topic", "request_"),
    [
        ("$aws/certificates/create/json", Request("create", "json")),
        ("$aws/certificates/create-from-csr/cbor", Request("create-from-csr", "cbor")),
        ("$aws/provisioning-templates/t/provision/json", Request("provision", "json", "t")),
        ("$aws/provisioning-templates//provision/json", None),
        ("$aws/certificates/create/json/accepted", None),
        ("$aws/certificates/create/xml", None),
        ("a/$aws/certificates/create/json", None),
    ],
)
def test_requests_are_known_by_their_topic(topic: str, request_: Request | None) -> None:
    assert parse_request(topic) == request_


async def test_requests_and_answers_are_no_business_of_the_rules(bench: Bench) -> None:
    assert await bench.publish(f"{CREATE}/accepted", b"{}") is None
    assert await bench.publish(CREATE, b"", client=None) is None
    assert (await bench.publish(CREATE, b""))[0] == "accepted"
    assert bench.rest == []
    await bench.publish("dt/1", b"{}")
    assert [publish.topic for publish in bench.rest] == ["dt/1"]


async def test_a_token_ends_after_an_hour_and_its_certificate_with_it(bench: Bench) -> None:
    token = await bench.token()
    certificate_id = bench.ownership.certificate_of(token)
    await bench.ownership.sweep()
    assert bench.registry.certificates.describe(certificate_id)["status"] == "PENDING_ACTIVATION"

    bench.now[0] += LIFETIME_S

    outcome, error = await bench.publish(PROVISION, {"certificateOwnershipToken": token, "parameters": {"Serial": "x"}})
    assert (outcome, error["errorCode"]) == ("rejected", "InvalidCertificateOwnershipToken")
    assert "expired" in error["errorMessage"]
    await bench.ownership.sweep()
    with pytest.raises(ServiceError, match="does not exist"):
        bench.registry.certificates.describe(certificate_id)


async def test_a_registered_certificate_outlives_its_token(bench: Bench) -> None:
    token = await bench.token()
    certificate_id = bench.ownership.certificate_of(token)
    await bench.publish(PROVISION, {"certificateOwnershipToken": token, "parameters": {"Serial": "x"}})

    bench.now[0] += LIFETIME_S
    await bench.ownership.sweep()

    assert bench.registry.is_active(certificate_id)


async def test_claims_end_after_five_minutes(bench: Bench) -> None:
    made = await bench.registry.certificates.create_claim(ALLOW_ALL, datetime.timedelta(minutes=5))
    assert bench.registry.standing_of_certificate(made["certificateId"], "x").policies == (ALLOW_ALL,)
    assert "claim" not in bench.registry.certificates.describe(made["certificateId"])

    changed: list[str] = []
    bench.registry.database.listen(lambda change: changed.append(change.certificate_id))
    bench.now[0] += 300
    await bench.ownership.sweep()

    assert bench.registry.standing_of_certificate(made["certificateId"], "x").policies == ()
    assert changed == [made["certificateId"]]


async def test_a_certificate_and_its_token_are_kept_together(bench: Bench) -> None:
    commits = 0

    def count(change: Change) -> None:
        nonlocal commits
        commits += 1

    bench.registry.database.listen(count)
    await bench.token()

    assert commits == 1


async def test_two_requests_with_one_token_register_once(bench: Bench) -> None:
    token = await bench.token()

    await asyncio.gather(
        *(
            bench.publish(PROVISION, {"certificateOwnershipToken": token, "parameters": {"Serial": name}})
            for name in ("x", "y")
        )
    )

    outcomes = sorted(topic.rsplit("/", 1)[1] for _, topic, _ in bench.answers[1:])
    assert outcomes == ["accepted", "rejected"]
    things, _ = bench.registry.things.listed(type_name="", attribute="", value="", is_prefix=False, token="", size=None)
    assert len(things) == 1


@pytest.mark.parametrize(
    "answer",
    [
        ServiceError("FunctionFailed", "it raised"),
        None,
        True,
        {},
        {"allowProvisioning": "true"},
        {"allowProvisioning": False},
        {"allowProvisioning": True, "parameterOverrides": {"Serial": 5}},
        {"allowProvisioning": True, "parameterOverrides": "x"},
    ],
)
async def test_only_a_hook_that_says_so_allows_a_device(bench: Bench, answer: Any) -> None:
    await bench.templates.update("fleet", {"hook_arn": HOOK}, None)
    bench.hook.append(answer)
    token = await bench.token()

    outcome, error = await bench.publish(PROVISION, {"certificateOwnershipToken": token, "parameters": {"Serial": "x"}})

    assert (outcome, error) == (
        "rejected",
        {"statusCode": 403, "errorCode": "AccessDenied", "errorMessage": "User not authorized to perform this action."},
    )


async def test_the_hook_is_asked_with_everything_and_overrides_parameters(bench: Bench) -> None:
    await bench.templates.update("fleet", {"hook_arn": HOOK}, None)
    bench.hook.append({"allowProvisioning": True, "parameterOverrides": {"Serial": "named-by-hook"}})
    token = await bench.token()
    certificate_id = bench.ownership.certificate_of(token)

    _, accepted = await bench.publish(
        PROVISION, {"certificateOwnershipToken": token, "parameters": {"Serial": "x", "Extra": "y"}}
    )

    assert accepted == {"deviceConfiguration": {}, "thingName": "named-by-hook"}
    assert bench.asked == [
        {
            "claimCertificateId": "c" * 64,
            "certificateId": certificate_id,
            "certificatePem": bench.registry.certificates.describe(certificate_id)["certificatePem"],
            "templateArn": "arn:aws:iot:us-east-1:123456789012:provisioningtemplate/fleet",
            "clientId": "claimant",
            "parameters": {"Serial": "x", "Extra": "y"},
        }
    ]


async def test_a_device_cannot_choose_the_certificate_that_is_registered(bench: Bench) -> None:
    other = await bench.registry.certificates.create_from_csr(signing_request(), is_active=False)
    token = await bench.token()
    parameters = {"Serial": "x", "AWS::IoT::Certificate::Id": other["certificateId"]}

    await bench.publish(PROVISION, {"certificateOwnershipToken": token, "parameters": parameters})

    assert not bench.registry.is_active(other["certificateId"])
    assert bench.registry.things_of(other["certificateId"]) == []


@pytest.mark.parametrize("action", ["iot:CreateThing", "iot:UpdateCertificate", "iot:AttachPolicy"])
async def test_what_the_role_may_not_do_leaves_nothing_behind(bench: Bench, action: str) -> None:
    bench.denied.add(action)
    token = await bench.token()

    outcome, error = await bench.publish(PROVISION, {"certificateOwnershipToken": token, "parameters": {"Serial": "x"}})

    assert (outcome, error["statusCode"], error["errorCode"]) == ("rejected", 403, "AccessDenied")
    with pytest.raises(ServiceError, match="not found"):
        bench.registry.things.describe("x")
    assert bench.ownership.certificate_of(token)


async def test_a_failure_half_way_leaves_nothing_behind(bench: Bench) -> None:
    await bench.registry.policies.delete("device")
    token = await bench.token()

    outcome, error = await bench.publish(PROVISION, {"certificateOwnershipToken": token, "parameters": {"Serial": "x"}})

    assert (outcome, error["statusCode"], error["errorCode"]) == ("rejected", 404, "ResourceNotFound")
    with pytest.raises(ServiceError, match="not found"):
        bench.registry.things.describe("x")
    assert not bench.registry.is_active(bench.ownership.certificate_of(token))


@pytest.mark.parametrize(
    ("overrides", "attributes", "kind", "groups"),
    [
        ({}, {"old": "0"}, "valve", ["b"]),
        ({"AttributePayload": "MERGE", "ThingGroups": "MERGE"}, {"old": "0", "new": "1"}, "valve", ["a", "b"]),
        (
            {"AttributePayload": "REPLACE", "ThingTypeName": "REPLACE", "ThingGroups": "REPLACE"},
            {"new": "1"},
            "pump",
            ["a"],
        ),
    ],
)
async def test_a_thing_that_exists_is_changed_as_the_overrides_say(
    bench: Bench, overrides: dict[str, str], attributes: dict[str, str], kind: str, groups: list[str]
) -> None:
    registry = bench.registry
    await registry.things.create_type("valve", {})
    await registry.things.create("x", "valve", {"old": "0"})
    await registry.groups.change_thing("x", add=["b"])
    await bench.templates.create_version("fleet", template(**overrides), is_default=True)
    token = await bench.token()

    await bench.publish(PROVISION, {"certificateOwnershipToken": token, "parameters": {"Serial": "x"}})

    thing = registry.things.describe("x")
    assert (thing["attributes"], thing["thingTypeName"]) == (attributes, kind)
    assert [one["groupName"] for one in registry.groups.of_thing("x", token="", size=None)[0]] == groups
    assert len(registry.certificates.principals_of("x", token="", size=None)[0]) == 1


@pytest.mark.parametrize("name", ["AttributePayload", "ThingTypeName", "ThingGroups"])
async def test_a_thing_that_exists_may_fail_the_request(bench: Bench, name: str) -> None:
    await bench.registry.things.create("x")
    await bench.templates.create_version("fleet", template(**{name: "FAIL"}), is_default=True)
    token = await bench.token()

    outcome, error = await bench.publish(PROVISION, {"certificateOwnershipToken": token, "parameters": {"Serial": "x"}})

    assert (outcome, error["statusCode"], error["errorCode"]) == ("rejected", 409, "ResourceConflicts")


async def test_a_template_that_is_disabled_or_absent_registers_nothing(bench: Bench) -> None:
    await bench.templates.update("fleet", {"is_enabled": False}, None)
    token = await bench.token()
    body = {"certificateOwnershipToken": token, "parameters": {"Serial": "x"}}

    _, disabled = await bench.publish(PROVISION, body)
    _, absent = await bench.publish(PROVISION.replace("fleet", "none"), body)

    assert (disabled["statusCode"], "not enabled" in disabled["errorMessage"]) == (400, True)
    assert (absent["statusCode"], absent["errorCode"]) == (404, "ResourceNotFound")


@pytest.mark.parametrize(
    ("configuration", "fault"),
    [
        ({"a": {"Ref": "Group"}, "b": {"Ref": "Group"}, "c": {"Ref": "Group"}}, "the device configuration has"),
        ({"a": {"Fn::Select": ["9", {"Fn::Split": ["x", {"Ref": "Group"}]}]}}, "Fn::Select: there is no item '9'"),
    ],
)
async def test_what_no_publish_carries_registers_nothing(bench: Bench, configuration: Any, fault: str) -> None:
    body = json.dumps({**json.loads(template()), "DeviceConfiguration": configuration})
    await bench.templates.create("large", body, Settings(ROLE, is_enabled=True))
    token = await bench.token()
    given = {"certificateOwnershipToken": token, "parameters": {"Serial": "s-1", "Group": "'\n" * 30_000}}

    answered, told = await bench.publish(PROVISION.replace("fleet", "large"), given)

    assert (answered, told["errorCode"]) == ("rejected", "InvalidParameters")
    assert told["errorMessage"].startswith(fault)
    assert len(bench.answers[-1][2]) < 2048
    with pytest.raises(ServiceError):
        bench.registry.things.describe("s-1")
    assert not bench.registry.is_active(bench.ownership.certificate_of(token))


def test_a_template_body_is_parsed_with_what_devices_have_to_give() -> None:
    assert ProvisioningBody.parse(template()).wanted_parameters == ["Serial"]


PAYLOADS = st.one_of(
    st.binary(max_size=60),
    st.dictionaries(
        st.sampled_from(["certificateOwnershipToken", "parameters", "certificateSigningRequest"]),
        st.recursive(
            st.one_of(st.none(), st.text(max_size=8), st.integers()),
            lambda inner: st.dictionaries(st.sampled_from(["Serial", "Group", "x"]), inner, max_size=3),
            max_leaves=5,
        ),
    ),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payload=PAYLOADS,
    form=st.sampled_from(["json", "cbor"]),
    place=st.sampled_from(["certificates/create-from-csr", "provisioning-templates/fleet/provision"]),
    has_token=st.booleans(),
)
def test_whatever_a_device_sends_it_is_answered(
    bench_loop: Any, payload: Any, form: str, place: str, has_token: bool
) -> None:
    loop, bench = bench_loop

    async def run() -> None:
        sent = payload
        if not isinstance(payload, bytes):
            document = {**payload, **({"certificateOwnershipToken": await bench.token()} if has_token else {})}
            sent = json.dumps(document).encode() if form == "json" else cbor2.dumps(document)
        outcome, answer = await bench.publish(f"$aws/{place}/{form}", sent)
        if outcome == "rejected":
            assert set(answer) == {"statusCode", "errorCode", "errorMessage"}
            assert 400 <= answer["statusCode"] < 500

    loop.run_until_complete(run())


@pytest.fixture
def bench_loop(tmp_path: Path) -> Any:
    loop = asyncio.new_event_loop()
    generator = bench.__wrapped__(tmp_path)  # type: ignore[attr-defined]  # pytest keeps the function it wraps
    made = loop.run_until_complete(generator.__anext__())
    yield loop, made
    with pytest.raises(StopAsyncIteration):
        loop.run_until_complete(generator.__anext__())
    loop.close()
