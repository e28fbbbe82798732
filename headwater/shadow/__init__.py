"""Device shadows: the documents of the Device Shadow service and the rules by which they change."""

from headwater.shadow.changes import Accepted, delete_shadow, get_shadow, update_shadow
from headwater.shadow.names import ShadowName, ShadowRequest, parse_request_topic
from headwater.shadow.request import ShadowError, check_token, parse_update

__all__ = [
    "Accepted",
    "ShadowError",
    "ShadowName",
    "ShadowRequest",
    "check_token",
    "delete_shadow",
    "get_shadow",
    "parse_request_topic",
    "parse_update",
    "update_shadow",
]
