"""Who a topic rule is when it acts: the session in which the rules engine assumed a role of the rule."""

import base64
import hashlib

from headwater.values.identity import AwsPrincipal


def rule_principal(account_id: str, role_arn: str) -> AwsPrincipal:
    """The session of a role, named with eight letters and digits; here the same ones in every run.

    Source: AWS IoT Core Developer Guide, "Diagnosing rules issues" (`assumed-role/dynamo-testbin/5aUMInJH`).
    """
    digest = base64.b64encode(hashlib.sha256(role_arn.encode()).digest(), altchars=b"ab").decode()
    return AwsPrincipal("", account_id, role_arn.rsplit("/", 1)[-1], digest[:8])
