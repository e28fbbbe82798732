"""CONNECT and CONNACK: what a client may ask for, and what this broker's profile answers."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from headwater.mqtt.codec.packets import (
    NO_PROPERTIES,
    V5,
    Connack,
    Connect,
    MqttProtocolError,
    Properties,
    ReasonCode,
)
from headwater.mqtt.profile import NEVER_EXPIRES, Profile
from headwater.values.topics import TopicError, check_topic

# 3.1.1 has five refusals (table 3.1); whatever has no equal there is "server unavailable".
_RETURN_CODES: Mapping[ReasonCode, int] = MappingProxyType(
    {
        ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: 1,
        ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: 2,
        ReasonCode.BAD_USER_NAME_OR_PASSWORD: 4,
    }
)
_SERVER_UNAVAILABLE = 3


def check_connect(connect: Connect, profile: Profile, new_id: Callable[[], str]) -> Connect:
    """The CONNECT with a client identifier in any case, made by `new_id` if the client left it empty.

    Raises: MqttProtocolError with the reason code for CONNACK.
    """
    if len(connect.client_id.encode()) > profile.max_client_id_bytes:
        raise MqttProtocolError(
            f"client id {connect.client_id[:32]!r}... is longer than {profile.max_client_id_bytes} bytes",
            ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
        )
    if connect.properties.authentication_method is not None:
        raise MqttProtocolError("enhanced authentication is not supported", ReasonCode.BAD_AUTHENTICATION_METHOD)
    _check_will(connect, profile)
    if connect.client_id:
        return connect
    if connect.protocol_version != V5 and not connect.clean_start:
        raise MqttProtocolError(
            "an empty client id needs a clean session", ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
        )  # MQTT-3.1.3-8
    return msgspec.structs.replace(connect, client_id=new_id())


def _check_will(connect: Connect, profile: Profile) -> None:
    will = connect.will
    if will is None:
        return
    if will.qos > profile.max_qos:
        raise MqttProtocolError(
            f"the will has QoS {will.qos}, more than {profile.max_qos}", ReasonCode.QOS_NOT_SUPPORTED
        )
    try:
        check_topic(will.topic, max_bytes=profile.max_topic_bytes, max_levels=profile.max_topic_levels)
    except TopicError as error:
        raise MqttProtocolError(str(error), ReasonCode.TOPIC_NAME_INVALID) from error
    if len(will.payload) > profile.max_payload_bytes:
        raise MqttProtocolError(
            f"the will's payload has {len(will.payload)} bytes, more than {profile.max_payload_bytes}",
            ReasonCode.PACKET_TOO_LARGE,
        )


def keep_alive_s(connect: Connect, profile: Profile) -> int:
    """The keep-alive the broker holds the client to; 0 is none."""
    asked = connect.keep_alive_s
    if profile.max_keep_alive_s is not None:
        return min(max(asked or profile.max_keep_alive_s, profile.min_keep_alive_s), profile.max_keep_alive_s)
    if connect.protocol_version == V5:
        return min(asked or profile.announced_keep_alive_s, profile.announced_keep_alive_s)
    return asked


def session_expiry_s(connect: Connect, profile: Profile) -> int:
    """How long the session outlives the connection; 3.1.1 knows only "not at all" and the profile's time."""
    if connect.protocol_version != V5:
        return 0 if connect.clean_start else profile.session_expiry_of_311_s
    return min(connect.properties.session_expiry_interval or 0, profile.max_session_expiry_s)


def accept(connect: Connect, profile: Profile, *, session_present: bool, assigned_client_id: str | None) -> Connack:
    """The CONNACK of a success, which tells a version 5 client everything it must not assume."""
    if connect.protocol_version != V5:
        return Connack(session_present)
    asked_expiry = connect.properties.session_expiry_interval or 0
    expiry = session_expiry_s(connect, profile)
    keep_alive = keep_alive_s(connect, profile)
    properties = Properties(
        session_expiry_interval=None if expiry == asked_expiry else expiry,
        assigned_client_identifier=assigned_client_id,
        server_keep_alive=None if keep_alive == connect.keep_alive_s else keep_alive,
        receive_maximum=profile.receive_maximum,
        topic_alias_maximum=profile.topic_alias_maximum,
        maximum_qos=profile.max_qos if profile.max_qos < 2 else None,
        maximum_packet_size=profile.max_packet_bytes,
        subscription_identifier_available=None if profile.has_subscription_identifiers else 0,
    )
    return Connack(session_present, 0, properties)


def refuse(version: int, reason: ReasonCode, profile: Profile, message: str = "") -> Connack:
    """The CONNACK of a refusal. AWS answers return code 7, not 5, to a client that is not authorized."""
    if version == V5:
        return Connack(False, reason, Properties(reason_string=message) if message else NO_PROPERTIES)
    if reason is ReasonCode.NOT_AUTHORIZED:
        return Connack(False, profile.unauthorized_return_code)
    return Connack(False, _RETURN_CODES.get(reason, _SERVER_UNAVAILABLE))


def changed_expiry_s(current_s: int, requested_s: int | None, profile: Profile) -> int:
    """The session expiry after a DISCONNECT that may change it.

    Raises: MqttProtocolError if it turns a session that ends with the connection into one that does not.
    """
    if requested_s is None:
        return current_s
    if current_s == 0 and requested_s != 0:
        raise MqttProtocolError(
            f"DISCONNECT sets the session expiry to {requested_s} after CONNECT set it to 0",
            ReasonCode.PROTOCOL_ERROR,
        )
    return min(requested_s, profile.max_session_expiry_s, NEVER_EXPIRES)
