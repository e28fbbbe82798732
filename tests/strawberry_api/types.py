"""Strawberry types of schema.graphql, written by tests/strawberry_api/generate_types.py: do not edit."""

from collections.abc import AsyncGenerator
from enum import Enum
from typing import Annotated, Any

import strawberry
from strawberry.types import Info

from tests.strawberry_api.scalars import AWSJSON, AWSDateTime


@strawberry.enum
class DeviceChangeKind(Enum):
    REGISTERED = "REGISTERED"
    UPDATED = "UPDATED"
    REMOVED = "REMOVED"


@strawberry.enum
class AggregateResolution(Enum):
    MINUTE = "MINUTE"
    FIVE_MINUTES = "FIVE_MINUTES"
    HOUR = "HOUR"
    DAY = "DAY"


@strawberry.enum
class AlertSeverity(Enum):
    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


@strawberry.enum
class AlertStatus(Enum):
    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESOLVED = "RESOLVED"


@strawberry.enum
class Comparison(Enum):
    ABOVE = "ABOVE"
    BELOW = "BELOW"


@strawberry.enum
class CommandStatus(Enum):
    SENT = "SENT"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"


@strawberry.enum
class TenantErasureStatus(Enum):
    RUNNING = "RUNNING"
    DONE = "DONE"


@strawberry.enum
class WatchedReading(Enum):
    temperature = "temperature"
    humidity = "humidity"
    pressure = "pressure"
    battery = "battery"
    power = "power"


@strawberry.input
class RegisterDeviceInput:
    deviceId: strawberry.ID
    siteId: strawberry.ID | None = strawberry.UNSET
    name: str | None = strawberry.UNSET
    model: str | None = strawberry.UNSET
    tenantId: strawberry.ID | None = strawberry.UNSET
    certificateSigningRequest: str | None = strawberry.UNSET


@strawberry.input
class UpdateDeviceInput:
    deviceId: strawberry.ID
    siteId: strawberry.ID | None = strawberry.UNSET
    name: str | None = strawberry.UNSET
    model: str | None = strawberry.UNSET


@strawberry.input
class AlertRuleInput:
    name: str
    reading: str
    comparison: Comparison
    threshold: float
    severity: AlertSeverity
    ruleId: strawberry.ID | None = strawberry.UNSET
    hysteresis: float | None = strawberry.UNSET
    durationSeconds: int | None = strawberry.UNSET
    deviceId: strawberry.ID | None = strawberry.UNSET
    siteId: strawberry.ID | None = strawberry.UNSET
    tenantId: strawberry.ID | None = strawberry.UNSET


@strawberry.input
class CreatePartnerTokenInput:
    name: str
    expiresInDays: int | None = strawberry.UNSET
    tenantId: strawberry.ID | None = strawberry.UNSET


@strawberry.input
class SendCommandInput:
    deviceId: strawberry.ID
    name: str
    parameters: AWSJSON | None = strawberry.UNSET
    timeoutSeconds: int | None = strawberry.UNSET
    requestId: strawberry.ID | None = strawberry.UNSET


@strawberry.input
class ThresholdInput:
    reading: WatchedReading
    above: float | None = strawberry.UNSET
    below: float | None = strawberry.UNSET


@strawberry.input
class ReadingSpanInput:
    min: float
    max: float
    count: int


@strawberry.input
class AlertInput:
    alertId: strawberry.ID
    deviceId: strawberry.ID
    tenantId: strawberry.ID
    ruleId: strawberry.ID
    name: str
    severity: AlertSeverity
    status: AlertStatus
    openedAt: AWSDateTime
    version: int
    siteId: strawberry.ID | None = strawberry.UNSET
    reading: str | None = strawberry.UNSET
    value: float | None = strawberry.UNSET
    threshold: float | None = strawberry.UNSET
    acknowledgedAt: AWSDateTime | None = strawberry.UNSET
    acknowledgedBy: str | None = strawberry.UNSET
    note: str | None = strawberry.UNSET
    resolvedAt: AWSDateTime | None = strawberry.UNSET


@strawberry.input
class CommandInput:
    commandId: strawberry.ID
    deviceId: strawberry.ID
    tenantId: strawberry.ID
    name: str
    status: CommandStatus
    sentAt: AWSDateTime
    timeoutAt: AWSDateTime
    version: int
    parameters: AWSJSON | None = strawberry.UNSET
    closedAt: AWSDateTime | None = strawberry.UNSET
    reply: AWSJSON | None = strawberry.UNSET


@strawberry.input
class PresenceInput:
    deviceId: strawberry.ID
    tenantId: strawberry.ID
    isConnected: bool
    since: AWSDateTime
    version: int
    siteId: strawberry.ID | None = strawberry.UNSET
    disconnectReason: str | None = strawberry.UNSET


@strawberry.input
class DeviceRemovalInput:
    deviceId: strawberry.ID
    tenantId: strawberry.ID
    removedAt: AWSDateTime
    version: int
    siteId: strawberry.ID | None = strawberry.UNSET


@strawberry.input
class ReadingSpansInput:
    temperature: ReadingSpanInput | None = strawberry.UNSET
    humidity: ReadingSpanInput | None = strawberry.UNSET
    pressure: ReadingSpanInput | None = strawberry.UNSET
    battery: ReadingSpanInput | None = strawberry.UNSET
    power: ReadingSpanInput | None = strawberry.UNSET


@strawberry.input
class DeviceStateInput:
    deviceId: strawberry.ID
    tenantId: strawberry.ID
    version: int
    eventId: strawberry.ID
    time: AWSDateTime
    seq: float
    sampleCount: int
    siteId: strawberry.ID | None = strawberry.UNSET
    readings: AWSJSON | None = strawberry.UNSET
    spans: ReadingSpansInput | None = strawberry.UNSET
    summary: AWSJSON | None = strawberry.UNSET


@strawberry.type
class ReadingSpan:
    min: float
    max: float
    count: int


@strawberry.type
class ReadingSpans:
    temperature: ReadingSpan | None
    humidity: ReadingSpan | None
    pressure: ReadingSpan | None
    battery: ReadingSpan | None
    power: ReadingSpan | None


@strawberry.type
class DeviceState:
    deviceId: strawberry.ID
    tenantId: strawberry.ID
    siteId: strawberry.ID | None
    version: int
    eventId: strawberry.ID
    time: AWSDateTime
    seq: float
    readings: AWSJSON | None
    sampleCount: int
    spans: ReadingSpans | None
    summary: AWSJSON | None


@strawberry.type
class Presence:
    deviceId: strawberry.ID
    tenantId: strawberry.ID
    siteId: strawberry.ID | None
    isConnected: bool
    since: AWSDateTime
    disconnectReason: str | None
    version: int


@strawberry.type
class Device:
    deviceId: strawberry.ID
    tenantId: strawberry.ID
    siteId: strawberry.ID | None
    name: str | None
    model: str | None
    registeredAt: AWSDateTime

    @strawberry.field
    def state(self, info: Info[Any, Any]) -> DeviceState | None:
        found: DeviceState | None = info.context.resolve(info, self, {})
        return found

    @strawberry.field
    def presence(self, info: Info[Any, Any]) -> Presence | None:
        found: Presence | None = info.context.resolve(info, self, {})
        return found


@strawberry.type
class DeviceConnection:
    items: list[Device]
    nextToken: str | None


@strawberry.type
class DeviceChange:
    deviceId: strawberry.ID
    kind: DeviceChangeKind
    changedAt: AWSDateTime

    @strawberry.field
    def device(self, info: Info[Any, Any]) -> Device | None:
        found: Device | None = info.context.resolve(info, self, {})
        return found


@strawberry.type
class DeviceChangeConnection:
    items: list[DeviceChange]
    nextToken: str | None
    cursor: str


@strawberry.type
class Telemetry:
    deviceId: strawberry.ID
    eventId: strawberry.ID
    time: AWSDateTime
    seq: float
    readings: AWSJSON


@strawberry.type
class TelemetryConnection:
    items: list[Telemetry]
    nextToken: str | None


@strawberry.type
class Aggregate:
    deviceId: strawberry.ID
    time: AWSDateTime
    sampleCount: int
    readings: AWSJSON


@strawberry.type
class AggregateConnection:
    items: list[Aggregate]
    nextToken: str | None


@strawberry.type
class AlertRule:
    ruleId: strawberry.ID
    tenantId: strawberry.ID
    name: str
    reading: str
    comparison: Comparison
    threshold: float
    hysteresis: float | None
    durationSeconds: int | None
    severity: AlertSeverity
    deviceId: strawberry.ID | None
    siteId: strawberry.ID | None
    updatedAt: AWSDateTime


@strawberry.type
class AlertRuleConnection:
    items: list[AlertRule]
    nextToken: str | None


@strawberry.type
class Alert:
    alertId: strawberry.ID
    deviceId: strawberry.ID
    tenantId: strawberry.ID
    siteId: strawberry.ID | None
    ruleId: strawberry.ID
    name: str
    severity: AlertSeverity
    status: AlertStatus
    reading: str | None
    value: float | None
    threshold: float | None
    openedAt: AWSDateTime
    acknowledgedAt: AWSDateTime | None
    acknowledgedBy: str | None
    note: str | None
    resolvedAt: AWSDateTime | None
    version: int


@strawberry.type
class AlertConnection:
    items: list[Alert]
    nextToken: str | None


@strawberry.type
class Command:
    commandId: strawberry.ID
    deviceId: strawberry.ID
    tenantId: strawberry.ID
    name: str
    parameters: AWSJSON | None
    status: CommandStatus
    sentAt: AWSDateTime
    timeoutAt: AWSDateTime
    closedAt: AWSDateTime | None
    reply: AWSJSON | None
    version: int


@strawberry.type
class CommandConnection:
    items: list[Command]
    nextToken: str | None


@strawberry.type
class DeviceShadow:
    deviceId: strawberry.ID
    tenantId: strawberry.ID
    desired: AWSJSON | None
    reported: AWSJSON | None
    delta: AWSJSON | None
    version: int
    changedAt: AWSDateTime | None


@strawberry.type
class TenantErasure:
    tenantId: strawberry.ID
    status: TenantErasureStatus
    startedAt: AWSDateTime
    finishedAt: AWSDateTime | None
    passes: int
    erased: AWSJSON


@strawberry.type
class PartnerToken:
    tokenId: strawberry.ID
    tenantId: strawberry.ID
    name: str
    createdAt: AWSDateTime
    expiresAt: AWSDateTime
    revokedAt: AWSDateTime | None


@strawberry.type
class PartnerTokenConnection:
    items: list[PartnerToken]
    nextToken: str | None


@strawberry.type
class Query:
    @strawberry.field
    def getDevice(self, info: Info[Any, Any], deviceId: strawberry.ID) -> Device | None:
        found: Device | None = info.context.resolve(info, self, {"deviceId": deviceId})
        return found

    @strawberry.field
    def listDevices(
        self,
        info: Info[Any, Any],
        siteId: strawberry.ID | None = strawberry.UNSET,
        tenantId: strawberry.ID | None = strawberry.UNSET,
        limit: int | None = strawberry.UNSET,
        nextToken: str | None = strawberry.UNSET,
    ) -> DeviceConnection:
        found: DeviceConnection = info.context.resolve(
            info, self, {"siteId": siteId, "tenantId": tenantId, "limit": limit, "nextToken": nextToken}
        )
        return found

    @strawberry.field
    def deviceChanges(
        self,
        info: Info[Any, Any],
        since: str | None = strawberry.UNSET,
        tenantId: strawberry.ID | None = strawberry.UNSET,
        limit: int | None = strawberry.UNSET,
        nextToken: str | None = strawberry.UNSET,
    ) -> DeviceChangeConnection:
        found: DeviceChangeConnection = info.context.resolve(
            info, self, {"since": since, "tenantId": tenantId, "limit": limit, "nextToken": nextToken}
        )
        return found

    @strawberry.field
    def getDeviceState(self, info: Info[Any, Any], deviceId: strawberry.ID) -> DeviceState | None:
        found: DeviceState | None = info.context.resolve(info, self, {"deviceId": deviceId})
        return found

    @strawberry.field
    def listTelemetry(
        self,
        info: Info[Any, Any],
        deviceId: strawberry.ID,
        from_: Annotated[AWSDateTime, strawberry.argument(name="from")],
        to: AWSDateTime | None = strawberry.UNSET,
        limit: int | None = strawberry.UNSET,
        nextToken: str | None = strawberry.UNSET,
    ) -> TelemetryConnection:
        found: TelemetryConnection = info.context.resolve(
            info, self, {"deviceId": deviceId, "from": from_, "to": to, "limit": limit, "nextToken": nextToken}
        )
        return found

    @strawberry.field
    def listAggregates(
        self,
        info: Info[Any, Any],
        deviceId: strawberry.ID,
        from_: Annotated[AWSDateTime, strawberry.argument(name="from")],
        to: AWSDateTime | None = strawberry.UNSET,
        resolution: AggregateResolution | None = strawberry.UNSET,
        limit: int | None = strawberry.UNSET,
        nextToken: str | None = strawberry.UNSET,
    ) -> AggregateConnection:
        found: AggregateConnection = info.context.resolve(
            info,
            self,
            {
                "deviceId": deviceId,
                "from": from_,
                "to": to,
                "resolution": resolution,
                "limit": limit,
                "nextToken": nextToken,
            },
        )
        return found

    @strawberry.field
    def listAlertRules(
        self,
        info: Info[Any, Any],
        tenantId: strawberry.ID | None = strawberry.UNSET,
        limit: int | None = strawberry.UNSET,
        nextToken: str | None = strawberry.UNSET,
    ) -> AlertRuleConnection:
        found: AlertRuleConnection = info.context.resolve(
            info, self, {"tenantId": tenantId, "limit": limit, "nextToken": nextToken}
        )
        return found

    @strawberry.field
    def listAlerts(
        self,
        info: Info[Any, Any],
        deviceId: strawberry.ID,
        limit: int | None = strawberry.UNSET,
        nextToken: str | None = strawberry.UNSET,
    ) -> AlertConnection:
        found: AlertConnection = info.context.resolve(
            info, self, {"deviceId": deviceId, "limit": limit, "nextToken": nextToken}
        )
        return found

    @strawberry.field
    def listOpenAlerts(
        self,
        info: Info[Any, Any],
        tenantId: strawberry.ID | None = strawberry.UNSET,
        limit: int | None = strawberry.UNSET,
        nextToken: str | None = strawberry.UNSET,
    ) -> AlertConnection:
        found: AlertConnection = info.context.resolve(
            info, self, {"tenantId": tenantId, "limit": limit, "nextToken": nextToken}
        )
        return found

    @strawberry.field
    def getCommand(self, info: Info[Any, Any], deviceId: strawberry.ID, commandId: strawberry.ID) -> Command | None:
        found: Command | None = info.context.resolve(info, self, {"deviceId": deviceId, "commandId": commandId})
        return found

    @strawberry.field
    def listCommands(
        self,
        info: Info[Any, Any],
        deviceId: strawberry.ID,
        limit: int | None = strawberry.UNSET,
        nextToken: str | None = strawberry.UNSET,
    ) -> CommandConnection:
        found: CommandConnection = info.context.resolve(
            info, self, {"deviceId": deviceId, "limit": limit, "nextToken": nextToken}
        )
        return found

    @strawberry.field
    def getDeviceShadow(self, info: Info[Any, Any], deviceId: strawberry.ID) -> DeviceShadow | None:
        found: DeviceShadow | None = info.context.resolve(info, self, {"deviceId": deviceId})
        return found

    @strawberry.field
    def getTenantErasure(self, info: Info[Any, Any], tenantId: strawberry.ID) -> TenantErasure | None:
        found: TenantErasure | None = info.context.resolve(info, self, {"tenantId": tenantId})
        return found

    @strawberry.field
    def listPartnerTokens(
        self,
        info: Info[Any, Any],
        tenantId: strawberry.ID | None = strawberry.UNSET,
        limit: int | None = strawberry.UNSET,
        nextToken: str | None = strawberry.UNSET,
    ) -> PartnerTokenConnection:
        found: PartnerTokenConnection = info.context.resolve(
            info, self, {"tenantId": tenantId, "limit": limit, "nextToken": nextToken}
        )
        return found


@strawberry.type
class DeviceRegistration:
    device: Device
    certificatePem: str | None
    certificateId: strawberry.ID | None
    telemetryTopic: str
    commandTopicFilter: str
    endpoint: str | None


@strawberry.type
class DeviceRemoval:
    deviceId: strawberry.ID
    tenantId: strawberry.ID
    siteId: strawberry.ID | None
    removedAt: AWSDateTime
    version: int


@strawberry.type
class CreatedPartnerToken:
    partnerToken: PartnerToken
    token: str


@strawberry.type
class Mutation:
    @strawberry.field
    def registerDevice(self, info: Info[Any, Any], input: RegisterDeviceInput) -> DeviceRegistration:
        found: DeviceRegistration = info.context.resolve(info, self, {"input": input})
        return found

    @strawberry.field
    def updateDevice(self, info: Info[Any, Any], input: UpdateDeviceInput) -> Device:
        found: Device = info.context.resolve(info, self, {"input": input})
        return found

    @strawberry.field
    def removeDevice(
        self, info: Info[Any, Any], deviceId: strawberry.ID, eraseData: bool | None = strawberry.UNSET
    ) -> DeviceRemoval:
        found: DeviceRemoval = info.context.resolve(info, self, {"deviceId": deviceId, "eraseData": eraseData})
        return found

    @strawberry.field
    def putAlertRule(self, info: Info[Any, Any], input: AlertRuleInput) -> AlertRule:
        found: AlertRule = info.context.resolve(info, self, {"input": input})
        return found

    @strawberry.field
    def removeAlertRule(
        self, info: Info[Any, Any], ruleId: strawberry.ID, tenantId: strawberry.ID | None = strawberry.UNSET
    ) -> AlertRule:
        found: AlertRule = info.context.resolve(info, self, {"ruleId": ruleId, "tenantId": tenantId})
        return found

    @strawberry.field
    def acknowledgeAlert(
        self, info: Info[Any, Any], deviceId: strawberry.ID, alertId: strawberry.ID, note: str | None = strawberry.UNSET
    ) -> Alert:
        found: Alert = info.context.resolve(info, self, {"deviceId": deviceId, "alertId": alertId, "note": note})
        return found

    @strawberry.field
    def sendCommand(self, info: Info[Any, Any], input: SendCommandInput) -> Command:
        found: Command = info.context.resolve(info, self, {"input": input})
        return found

    @strawberry.field
    def setDesiredState(
        self, info: Info[Any, Any], deviceId: strawberry.ID, desired: AWSJSON, version: int | None = strawberry.UNSET
    ) -> DeviceShadow:
        found: DeviceShadow = info.context.resolve(
            info, self, {"deviceId": deviceId, "desired": desired, "version": version}
        )
        return found

    @strawberry.field
    def createPartnerToken(self, info: Info[Any, Any], input: CreatePartnerTokenInput) -> CreatedPartnerToken:
        found: CreatedPartnerToken = info.context.resolve(info, self, {"input": input})
        return found

    @strawberry.field
    def revokePartnerToken(self, info: Info[Any, Any], tokenId: strawberry.ID) -> PartnerToken:
        found: PartnerToken = info.context.resolve(info, self, {"tokenId": tokenId})
        return found

    @strawberry.field
    def eraseTenant(self, info: Info[Any, Any], tenantId: strawberry.ID, confirm: str) -> TenantErasure:
        found: TenantErasure = info.context.resolve(info, self, {"tenantId": tenantId, "confirm": confirm})
        return found

    @strawberry.field
    def publishDeviceState(self, info: Info[Any, Any], input: DeviceStateInput) -> DeviceState | None:
        found: DeviceState | None = info.context.resolve(info, self, {"input": input})
        return found

    @strawberry.field
    def publishAlert(self, info: Info[Any, Any], input: AlertInput) -> Alert | None:
        found: Alert | None = info.context.resolve(info, self, {"input": input})
        return found

    @strawberry.field
    def publishCommand(self, info: Info[Any, Any], input: CommandInput) -> Command | None:
        found: Command | None = info.context.resolve(info, self, {"input": input})
        return found

    @strawberry.field
    def publishPresence(self, info: Info[Any, Any], input: PresenceInput) -> Presence | None:
        found: Presence | None = info.context.resolve(info, self, {"input": input})
        return found

    @strawberry.field
    def publishDeviceRemoval(self, info: Info[Any, Any], input: DeviceRemovalInput) -> DeviceRemoval | None:
        found: DeviceRemoval | None = info.context.resolve(info, self, {"input": input})
        return found


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def onDeviceState(
        self,
        info: Info[Any, Any],
        deviceId: strawberry.ID | None = strawberry.UNSET,
        deviceIds: list[strawberry.ID] | None = strawberry.UNSET,
        siteId: strawberry.ID | None = strawberry.UNSET,
        threshold: ThresholdInput | None = strawberry.UNSET,
        tenantId: strawberry.ID | None = strawberry.UNSET,
    ) -> AsyncGenerator[DeviceState | None, None]:
        async for event in info.context.subscribe(
            info,
            {
                "deviceId": deviceId,
                "deviceIds": deviceIds,
                "siteId": siteId,
                "threshold": threshold,
                "tenantId": tenantId,
            },
        ):
            yield event

    @strawberry.subscription
    async def onAlert(
        self,
        info: Info[Any, Any],
        deviceId: strawberry.ID | None = strawberry.UNSET,
        siteId: strawberry.ID | None = strawberry.UNSET,
        severities: list[AlertSeverity] | None = strawberry.UNSET,
        tenantId: strawberry.ID | None = strawberry.UNSET,
    ) -> AsyncGenerator[Alert | None, None]:
        async for event in info.context.subscribe(
            info, {"deviceId": deviceId, "siteId": siteId, "severities": severities, "tenantId": tenantId}
        ):
            yield event

    @strawberry.subscription
    async def onCommand(
        self,
        info: Info[Any, Any],
        deviceId: strawberry.ID | None = strawberry.UNSET,
        commandId: strawberry.ID | None = strawberry.UNSET,
        tenantId: strawberry.ID | None = strawberry.UNSET,
    ) -> AsyncGenerator[Command | None, None]:
        async for event in info.context.subscribe(
            info, {"deviceId": deviceId, "commandId": commandId, "tenantId": tenantId}
        ):
            yield event

    @strawberry.subscription
    async def onPresence(
        self,
        info: Info[Any, Any],
        deviceId: strawberry.ID | None = strawberry.UNSET,
        siteId: strawberry.ID | None = strawberry.UNSET,
        tenantId: strawberry.ID | None = strawberry.UNSET,
    ) -> AsyncGenerator[Presence | None, None]:
        async for event in info.context.subscribe(info, {"deviceId": deviceId, "siteId": siteId, "tenantId": tenantId}):
            yield event

    @strawberry.subscription
    async def onDeviceRemoval(
        self,
        info: Info[Any, Any],
        deviceId: strawberry.ID | None = strawberry.UNSET,
        siteId: strawberry.ID | None = strawberry.UNSET,
        tenantId: strawberry.ID | None = strawberry.UNSET,
    ) -> AsyncGenerator[DeviceRemoval | None, None]:
        async for event in info.context.subscribe(info, {"deviceId": deviceId, "siteId": siteId, "tenantId": tenantId}):
            yield event
