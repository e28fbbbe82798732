"""Things, thing types and policies of a template are in the registry; what cannot be there is reported."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headwater.deploy.bring_up import deploy_stack
from headwater.deploy.compiled import Compiled
from headwater.deploy.deployment import Deployment
from headwater.deploy.loading import load_template
from headwater.deploy.options import UpOptions
from headwater.deploy.wiring import Site
from headwater.errors import TemplateError
from headwater.storage.store import Store

GOOD = """
AWSTemplateFormatVersion: '2010-09-09'
Resources:
  Kind:
    Type: AWS::IoT::ThingType
    Properties: {ThingTypeName: pump, ThingTypeProperties: {SearchableAttributes: [site]}}
  Pump:
    Type: AWS::IoT::Thing
    Properties: {ThingName: pump-1, AttributePayload: {Attributes: {floor: 3, isNew: true}}}
  Big:
    Type: AWS::IoT::ThingGroup
    Properties: {ThingGroupName: big, ParentGroupName: !Ref Pumps}
  Pumps:
    Type: AWS::IoT::ThingGroup
    Properties:
      ThingGroupName: pumps
      ThingGroupProperties: {ThingGroupDescription: move water, AttributePayload: {Attributes: {floor: 3}}}
  Old:
    Type: AWS::IoT::ThingType
    Properties: {ThingTypeName: old, DeprecateThingType: true}
  Access:
    Type: AWS::IoT::Policy
    Properties:
      PolicyName: access
      PolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Action: 'iot:*', Resource: '*'}]}
"""
BROKEN = """
AWSTemplateFormatVersion: '2010-09-09'
Resources:
  Spaced:
    Type: AWS::IoT::Thing
    Properties: {ThingName: 'a b'}
  NoResource:
    Type: AWS::IoT::Policy
    Properties:
      PolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Action: 'iot:*'}]}
  Attached:
    Type: AWS::IoT::ThingPrincipalAttachment
    Properties: {ThingName: a, Principal: b}
"""


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    opened = Store.open(None)
    yield opened
    await opened.close()


async def deployed(text: str, store: Store, directory: Path) -> Deployment:
    template = directory / "template.yaml"
    template.write_text(text)
    options = UpOptions(template=template)
    loaded = load_template(template, {}, options.region, None)
    site = Site(store, directory, "http://127.0.0.1:8080", "127.0.0.1", "secret")
    return await deploy_stack(options, loaded, site, Compiled())


async def test_a_template_fills_the_registry(store: Store, tmp_path: Path) -> None:
    deployment = await deployed(GOOD, store, tmp_path)

    deployment.faults.raise_found()
    devices = deployment.devices
    assert devices.things.describe("pump-1")["attributes"] == {"floor": "3", "isNew": "true"}
    assert devices.things.describe_type("pump")["thingTypeProperties"]["searchableAttributes"] == ["site"]
    assert devices.things.describe_type("old")["thingTypeMetadata"]["deprecated"] is True
    big, pumps = devices.groups.describe("big"), devices.groups.describe("pumps")
    assert big["thingGroupMetadata"]["parentGroupName"] == "pumps"
    assert pumps["thingGroupProperties"]["attributePayload"] == {"attributes": {"floor": "3"}}
    assert devices.policies.get("access")["policyArn"] == "arn:aws:iot:us-east-1:123456789012:policy/access"


async def test_the_next_start_keeps_what_was_attached_and_ids(store: Store, tmp_path: Path) -> None:
    first = await deployed(GOOD, store, tmp_path)
    issued = await first.devices.certificates.create_with_key(is_active=True)
    await first.devices.policies.attach("access", issued["certificateArn"])
    await first.devices.certificates.attach_thing("pump-1", issued["certificateArn"])
    thing_id = first.devices.things.describe("pump-1")["thingId"]

    second = await deployed(GOOD.replace("iot:*", "iot:Connect"), store, tmp_path)

    assert second.devices.things.describe("pump-1")["thingId"] == thing_id
    standing = second.devices.standing_of_certificate(issued["certificateId"], "pump-1")
    assert standing.is_attached
    assert "iot:Connect" in standing.policies[0]


async def test_what_cannot_be_registered_is_reported_together(store: Store, tmp_path: Path) -> None:
    deployment = await deployed(BROKEN, store, tmp_path)

    with pytest.raises(TemplateError) as refused:
        deployment.faults.raise_found()

    lines = str(refused.value)
    assert "Spaced" in lines
    assert "NoResource" in lines
    assert "headwater device add" in lines
