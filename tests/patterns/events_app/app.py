"""Ships what was ordered and says so."""

import json
import os
from typing import Any

import boto3

events = boto3.client("events")


def ship(event: dict[str, Any], context: Any) -> None:
    order = event["detail"]["order"]
    answer = events.put_events(
        Entries=[
            {
                "EventBusName": os.environ["BUS"],
                "Source": "shop",
                "DetailType": "OrderShipped",
                "Detail": json.dumps({"order": order}),
            }
        ]
    )
    # A 200 may hold failures: they are counted, not raised.
    if answer["FailedEntryCount"]:
        raise RuntimeError(answer["Entries"])


def tell(event: dict[str, Any], context: Any) -> None:
    for record in event["Records"]:
        body = json.dumps({"told": record["Sns"]["Message"], "by": record["EventSource"]})
        boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=body)
