"""One function behind the fields of a users API, told apart by the field's name."""

import os
import uuid
from typing import Any

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event: dict[str, Any], context: Any) -> Any:
    arguments = event["arguments"]
    match event["field"]:
        case "getUser":
            return table.get_item(Key={"id": arguments["id"]}).get("Item")
        case "listUsers":
            return table.scan(Limit=arguments.get("limit") or 50)["Items"]
        case "createUser":
            user = {"id": str(uuid.uuid4()), **arguments}
            table.put_item(Item=user)
            return user
        case field:
            raise ValueError(f"no resolver for {field}")
