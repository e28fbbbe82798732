"""Readings from a Kinesis stream go to a table, and the table's changes are told apart."""

import base64
import json
from decimal import Decimal
from typing import Any

import boto3

devices = boto3.resource("dynamodb").Table("devices")


def consume(event: dict[str, Any], context: Any) -> dict[str, Any]:
    for record in event["Records"]:
        try:
            store(record["kinesis"])
        except (ValueError, KeyError):
            # What follows in the batch is delivered again, so that a device's readings stay in order.
            return {"batchItemFailures": [{"itemIdentifier": record["kinesis"]["sequenceNumber"]}]}
    print(json.dumps({"size": len(event["Records"])}))  # noqa: T201
    return {"batchItemFailures": []}


def store(part: dict[str, Any]) -> None:
    reading = json.loads(base64.b64decode(part["data"]), parse_float=Decimal)
    devices.put_item(Item={"id": part["partitionKey"], "temperature": reading["temperature"]})


def changed(event: dict[str, Any], context: Any) -> None:
    for record in event["Records"]:
        change = record["dynamodb"]
        line = {"event": record["eventName"], "id": change["Keys"]["id"]["S"]}
        if record["eventName"] != "REMOVE":
            line["new"] = change["NewImage"]["temperature"]["N"]
        if record["eventName"] != "INSERT":
            line["old"] = change["OldImage"]["temperature"]["N"]
        print(json.dumps(line))  # noqa: T201


def watch(event: dict[str, Any], context: Any) -> None:
    for record in event["Records"]:
        print(json.dumps({"from": record["eventSourceARN"], "key": record["kinesis"]["partitionKey"]}))  # noqa: T201
