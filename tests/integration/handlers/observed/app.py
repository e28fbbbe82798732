"""Writes a table it may write, reads one it may not, and says so."""

import sys
import time
from typing import Any

import boto3
from botocore.exceptions import ClientError


def handler(event: dict[str, Any], context: Any) -> Any:
    sys.stdout.write(f"handling {event['name']}\n")
    time.sleep(event.get("sleep_s", 0))
    table = boto3.resource("dynamodb").Table("things")
    table.put_item(Item={"pk": event["name"]})
    try:
        table.scan()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "allowed"
