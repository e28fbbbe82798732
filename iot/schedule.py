"""Arm a command's timeout: a schedule that fires once and removes itself. TTL may come 48 hours late."""

import json
from datetime import UTC, datetime

from iot.commands import NewCommand


def timeout_schedule(command: NewCommand, *, function_arn: str, role_arn: str) -> tuple[str, bytes]:
    """Build path and body of EventBridge Scheduler's CreateSchedule.

    Its clock has whole seconds, so the timeout is rounded up; on AWS a schedule may fire up to a minute late.
    """
    at = datetime.fromtimestamp(-(-command.timeout_at // 1000), UTC)
    target = {
        "Arn": function_arn,
        "RoleArn": role_arn,
        "Input": json.dumps({"deviceId": command.device_id, "commandId": command.command_id}),
    }
    body = {
        "ScheduleExpression": f"at({at:%Y-%m-%dT%H:%M:%S})",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": target,
    }
    return f"/schedules/command-{command.command_id}", json.dumps(body).encode()
