"""A worker for jobs in a queue, and a function that is called without waiting for it."""

import json
from typing import Any


def work(event: dict[str, Any], context: Any) -> dict[str, Any]:
    failed = []
    for record in event["Records"]:
        job = json.loads(record["body"])
        print(json.dumps({"job": job["name"], "receive": record["attributes"]["ApproximateReceiveCount"]}))  # noqa: T201
        if job.get("isBroken"):
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def report(event: dict[str, Any], context: Any) -> dict[str, Any]:
    if event.get("isBroken"):
        raise ValueError("broken report")
    return {"reported": event["name"]}
