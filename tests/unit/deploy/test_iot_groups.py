"""Thing groups and policy versions: what may be made of them, and what they mean for a client."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headwater.deploy.iot.registry import DeviceRegistry, groups_above
from headwater.errors import ServiceError
from headwater.storage.store import Store
from tests.unit.deploy.test_iot_registry import ALLOW_ALL, issue, registry_on

GROUP_ARN = "arn:aws:iot:us-east-1:123456789012:thinggroup/"


def allowing(action: str) -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": f"iot:{action}", "Resource": "*"}]}
    )


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[DeviceRegistry]:
    store = Store.open(None)
    made = registry_on(store, tmp_path)
    for name, parent in (("fleet", None), ("pumps", "fleet"), ("big", "pumps"), ("test", None)):
        await made.groups.create(name, parent, {})
    await made.things.create("p1")
    yield made
    await store.close()


async def refusal(work: Any) -> tuple[str, str]:
    with pytest.raises(ServiceError) as refused:
        await work
    return refused.value.code, refused.value.message


async def test_a_group_knows_the_way_to_its_root(registry: DeviceRegistry) -> None:
    described = registry.groups.describe("big")

    assert described["thingGroupArn"] == GROUP_ARN + "big"
    assert described["thingGroupMetadata"]["parentGroupName"] == "pumps"
    above = [one["groupName"] for one in described["thingGroupMetadata"]["rootToParentThingGroups"]]
    assert above == ["fleet", "pumps"]
    assert "parentGroupName" not in registry.groups.describe("fleet")["thingGroupMetadata"]


async def test_groups_are_listed_by_parent_prefix_and_page(registry: DeviceRegistry) -> None:
    def names(**options: Any) -> list[str]:
        wanted = {"parent": "", "prefix": "", "is_recursive": True, "token": "", "size": None, **options}
        return [one["groupName"] for one in registry.groups.listed(**wanted)[0]]

    assert names() == ["big", "fleet", "pumps", "test"]
    assert names(parent="fleet", is_recursive=False) == ["pumps"]
    assert names(parent="fleet") == ["big", "pumps"]
    assert names(prefix="p") == ["pumps"]
    first, token = registry.groups.listed(parent="", prefix="", is_recursive=True, token="", size=3)
    rest, end = registry.groups.listed(parent="", prefix="", is_recursive=True, token=token, size=3)
    assert (len(first), len(rest), end) == (3, 1, "")


async def test_a_thing_is_in_one_group_of_a_hierarchy_and_in_ten_groups_at_most(registry: DeviceRegistry) -> None:
    await registry.groups.change_thing("p1", add=["big", "test"])

    code, message = await refusal(registry.groups.change_thing("p1", add=["fleet"]))
    assert code == "InvalidRequestException"
    assert "hierarchy of fleet" in message
    for number in range(8):
        await registry.groups.create(f"g{number}", None, {})
        await registry.groups.change_thing("p1", add=[f"g{number}"])
    await registry.groups.create("g8", None, {})
    assert (await refusal(registry.groups.change_thing("p1", add=["g8"])))[1].endswith("the limit is 10")
    await registry.groups.change_thing("p1", add=["fleet"], remove=["big"])
    assert registry.groups.things_in("fleet", is_recursive=False, token="", size=None)[0] == ["p1"]


async def test_things_of_child_groups_are_listed_when_asked_for(registry: DeviceRegistry) -> None:
    await registry.groups.change_thing("p1", add=["big"])

    assert registry.groups.things_in("fleet", is_recursive=False, token="", size=None)[0] == []
    assert registry.groups.things_in("fleet", is_recursive=True, token="", size=None)[0] == ["p1"]
    assert [one["groupName"] for one in registry.groups.of_thing("p1", token="", size=None)[0]] == ["big"]


async def test_a_deleted_thing_leaves_its_groups(registry: DeviceRegistry) -> None:
    await registry.groups.change_thing("p1", add=["big"])

    await registry.things.delete("p1")

    assert registry.groups.things_in("big", is_recursive=False, token="", size=None)[0] == []


async def test_a_group_with_children_stays_and_one_with_things_goes(registry: DeviceRegistry) -> None:
    await registry.groups.change_thing("p1", add=["big"])

    assert "child groups" in (await refusal(registry.groups.delete("pumps", None)))[1]
    assert (await refusal(registry.groups.delete("big", 7)))[0] == "VersionConflictException"
    await registry.groups.delete("big", 1)
    await registry.groups.delete("big", None)
    assert registry.groups.of_thing("p1", token="", size=None)[0] == []
    await registry.groups.delete("pumps", None)


async def test_a_hierarchy_has_seven_levels(registry: DeviceRegistry) -> None:
    parent = "big"
    for number in range(4, 8):
        await registry.groups.create(f"level{number}", parent, {})
        parent = f"level{number}"

    assert "7 levels" in (await refusal(registry.groups.create("level8", parent, {})))[1]


async def test_the_same_group_again_is_no_error_and_another_one_is(registry: DeviceRegistry) -> None:
    again = await registry.groups.create("pumps", "fleet", {})

    assert again["thingGroupId"] == registry.groups.describe("pumps")["thingGroupId"]
    assert (await refusal(registry.groups.create("pumps", None, {})))[0] == "ResourceAlreadyExistsException"
    assert (await refusal(registry.groups.create("x", "absent", {})))[0] == "ResourceNotFoundException"
    assert (await refusal(registry.groups.create("a b", None, {})))[0] == "InvalidRequestException"
    assert (await refusal(registry.groups.create("x", None, {"queryString": "a"})))[0] == "InvalidRequestException"


async def test_an_update_replaces_or_merges_attributes_and_counts(registry: DeviceRegistry) -> None:
    def attributes() -> Any:
        return registry.groups.describe("big")["thingGroupProperties"]["attributePayload"]["attributes"]

    await registry.groups.update("big", {"attributePayload": {"attributes": {"a": "1", "b": "2"}}}, 1)
    version = await registry.groups.update("big", {"attributePayload": {"attributes": {"c": "3"}, "merge": True}}, 2)

    assert (version, attributes()) == (3, {"a": "1", "b": "2", "c": "3"})
    await registry.groups.update("big", {"thingGroupDescription": "large ones"}, None)
    assert attributes() == {"a": "1", "b": "2", "c": "3"}
    assert (await refusal(registry.groups.update("big", {}, 1)))[0] == "VersionConflictException"


async def test_a_things_client_has_the_policies_of_its_groups_and_of_those_above(registry: DeviceRegistry) -> None:
    certificate_id, arn = await issue(registry)
    await registry.certificates.attach_thing("p1", arn)
    for name, target in (("of-cert", arn), ("of-fleet", GROUP_ARN + "fleet"), ("of-big", GROUP_ARN + "big")):
        await registry.policies.create(name, allowing(name))
        await registry.policies.attach(name, target)

    before = registry.standing_of_certificate(certificate_id, "p1").policies
    await registry.groups.change_thing("p1", add=["big"])
    after = registry.standing_of_certificate(certificate_id, "p1").policies

    assert before == (allowing("of-cert"),)
    assert set(after) == {allowing("of-cert"), allowing("of-fleet"), allowing("of-big")}
    assert registry.standing_of_certificate(certificate_id, "another").policies == (allowing("of-cert"),)
    assert set(registry.standing_of_thing("p1").policies) == set(after)
    names = [one["policyName"] for one in registry.effective_policies(certificate_id, "p1")]
    assert names == ["of-big", "of-cert", "of-fleet"]


async def test_a_group_takes_two_policies_and_shows_inherited_ones_when_asked(registry: DeviceRegistry) -> None:
    for name, group in (("a", "fleet"), ("b", "big"), ("c", "big")):
        await registry.policies.create(name, ALLOW_ALL)
        await registry.policies.attach(name, GROUP_ARN + group)
    await registry.policies.create("d", ALLOW_ALL)

    def listed(**options: Any) -> list[str]:
        rows, _ = registry.policies.attached_to(GROUP_ARN + "big", token="", size=None, **options)
        return [one["policyName"] for one in rows]

    assert listed() == ["b", "c"]
    assert listed(above=groups_above) == ["a", "b", "c"]
    assert registry.policies.targets_of("b", token="", size=None)[0] == [GROUP_ARN + "big"]
    assert (await refusal(registry.policies.attach("d", GROUP_ARN + "big")))[0] == "LimitExceededException"
    assert (await refusal(registry.policies.attach("d", GROUP_ARN + "absent")))[0] == "ResourceNotFoundException"
    await registry.policies.detach("b", GROUP_ARN + "big")
    assert listed() == ["c"]


async def test_the_default_version_of_a_policy_is_the_one_that_counts(registry: DeviceRegistry) -> None:
    certificate_id, arn = await issue(registry)
    await registry.policies.create("p", allowing("Connect"))
    await registry.policies.attach("p", arn)

    second = await registry.policies.create_version("p", allowing("Publish"), is_default=False)
    assert registry.standing_of_certificate(certificate_id, "x").policies == (allowing("Connect"),)
    await registry.policies.set_default_version("p", second["policyVersionId"])

    assert second["policyVersionId"] == "2"
    assert registry.standing_of_certificate(certificate_id, "x").policies == (allowing("Publish"),)
    assert registry.policies.get("p")["defaultVersionId"] == "2"
    assert registry.policies.version("p", "1")["isDefaultVersion"] is False
    assert [one["versionId"] for one in registry.policies.versions("p")] == ["2", "1"]


async def test_a_policy_has_five_versions_and_numbers_do_not_come_back(registry: DeviceRegistry) -> None:
    await registry.policies.create("p", allowing("Connect"))
    for _ in range(4):
        await registry.policies.create_version("p", allowing("Publish"), is_default=True)

    code, _ = await refusal(registry.policies.create_version("p", ALLOW_ALL, is_default=True))
    assert code == "VersionsLimitExceededException"
    assert (await refusal(registry.policies.delete_version("p", "5")))[0] == "DeleteConflictException"
    assert (await refusal(registry.policies.delete("p")))[0] == "DeleteConflictException"
    await registry.policies.set_default_version("p", "1")
    for number in "5432":
        await registry.policies.delete_version("p", number)
    made = await registry.policies.create_version("p", ALLOW_ALL, is_default=False)
    assert made["policyVersionId"] == "6"
    assert (await refusal(registry.policies.set_default_version("p", "9")))[0] == "ResourceNotFoundException"
    assert (await refusal(registry.policies.set_default_version("p", "x")))[0] == "InvalidRequestException"
    await registry.policies.delete_version("p", "6")
    await registry.policies.delete("p")


async def test_a_template_that_changes_makes_a_version_and_room_for_it(registry: DeviceRegistry) -> None:
    for number in range(7):
        await registry.policies.replace("p", allowing(f"Publish{number}"))
        await registry.policies.replace("p", allowing(f"Publish{number}"))

    assert [one["versionId"] for one in registry.policies.versions("p")] == ["7", "6", "5", "4", "3"]
    assert registry.policies.get("p")["policyDocument"] == allowing("Publish6")


async def test_a_deprecated_type_takes_no_things_and_goes_after_five_minutes(tmp_path: Path) -> None:
    store = Store.open(None)
    registry = registry_on(store, tmp_path)
    await registry.things.create_type("pump", {})
    assert "must be deprecated" in (await refusal(registry.things.delete_type("pump")))[1]

    await registry.things.deprecate_type("pump", is_deprecated=True)
    assert "deprecated thing type" in (await refusal(registry.things.create("t", "pump")))[1]
    assert "wait for 5 minutes" in (await refusal(registry.things.delete_type("pump")))[1]
    await registry.things.deprecate_type("pump", is_deprecated=False)
    await registry.things.create("t", "pump")
    await registry.things.deprecate_type("pump", is_deprecated=True)
    for number in range(200):  # the clock of these registries rises by itself
        await registry.groups.create(f"g{number}", None, {})
    assert "still resources" in (await refusal(registry.things.delete_type("pump")))[1]
    await registry.things.delete("t")
    await registry.things.delete_type("pump")

    assert registry.things.list_types(name="", token="", size=None)[0] == []
    await store.close()
