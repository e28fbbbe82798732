"""What kind of broker this is: AWS IoT Core with its deviations and limits, or one that follows the specification."""

from dataclasses import dataclass, field

NEVER_EXPIRES = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Quotas:
    """Rates and counts of one connection that AWS limits; None is no limit.

    Source: AWS IoT Core quotas, "Message broker limits and protocols".
    """

    publishes_per_s: int | None = None
    deliveries_per_s: int | None = None
    bytes_per_s: int | None = None
    subscriptions: int | None = None
    unacknowledged_publishes: int | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """Behaviour and sizes, which always hold, and quotas, which are observed unless the broker enforces them.

    Seconds and bytes throughout. The defaults are the specification's.
    """

    name: str = "standard"
    max_qos: int = 2
    hash_matches_parent: bool = True
    retains_for_exact_filters_only: bool = False
    has_subscription_identifiers: bool = True
    reserves_dollar_topics: bool = False
    closes_on_unauthorized_publish: bool = False
    unauthorized_return_code: int = 5
    max_packet_bytes: int = 10 * 1024 * 1024
    max_payload_bytes: int = 10 * 1024 * 1024
    max_topic_bytes: int = 65_535
    max_topic_levels: int = 65_536
    max_client_id_bytes: int = 65_535
    max_filters_per_subscribe: int = 65_535
    # A 3.1.1 client cannot be told a smaller keep-alive, so only AWS, which documents it, applies its own.
    announced_keep_alive_s: int = 60
    min_keep_alive_s: int = 0
    max_keep_alive_s: int | None = None
    session_expiry_of_311_s: int = NEVER_EXPIRES
    max_session_expiry_s: int = NEVER_EXPIRES
    receive_maximum: int = 100
    max_inflight: int = 100
    topic_alias_maximum: int = 16
    # Full queues drop their oldest message: the newest state of a device is worth more than the first one missed.
    max_queued_messages: int = 10_000
    max_queued_bytes: int = 16 * 1024 * 1024
    # A connection that has this much unsent is congested: QoS 0 is dropped, QoS 1 and 2 wait in the session.
    max_unsent_bytes: int = 4 * 1024 * 1024
    connect_timeout_s: float = 10.0
    quotas: Quotas = field(default_factory=Quotas)


STANDARD = Profile()

AWS = Profile(
    name="aws",
    max_qos=1,
    hash_matches_parent=False,
    retains_for_exact_filters_only=True,
    has_subscription_identifiers=False,
    reserves_dollar_topics=True,
    closes_on_unauthorized_publish=True,
    unauthorized_return_code=7,
    max_packet_bytes=149_504,
    max_payload_bytes=131_072,
    max_topic_bytes=256,
    max_topic_levels=8,
    max_client_id_bytes=128,
    max_filters_per_subscribe=8,
    announced_keep_alive_s=1200,
    min_keep_alive_s=30,
    max_keep_alive_s=1200,
    session_expiry_of_311_s=3600,
    max_session_expiry_s=3600,
    topic_alias_maximum=8,
    quotas=Quotas(
        publishes_per_s=100, deliveries_per_s=100, bytes_per_s=524_288, subscriptions=50, unacknowledged_publishes=100
    ),
)
