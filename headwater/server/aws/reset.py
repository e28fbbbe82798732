"""Undo for test suites: remove what programs made through the AWS endpoint since the start."""

from collections.abc import Mapping
from typing import Any

from headwater.errors import ServiceError
from headwater.values.aws import AwsService
from headwater.values.identity import AwsPrincipal

# moto's path, which test suites written for its server call before each test.
RESET_PATH = "/moto-api/reset"
_DYNAMODB, _KINESIS, _SQS = "DynamoDB_20120810", "Kinesis_20131202", "AmazonSQS"
_RESTORES = ("RestoreTableFromBackup", "RestoreTableToPointInTime")


class MadeResources:
    """Tables, backups, streams and queues made by requests, never those of a template or of an earlier start."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], None] = {}

    def note(self, target: str, operation: str, body: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Take down what an answered request made or removed."""
        if target == _DYNAMODB and operation in ("CreateTable", "DeleteTable", *_RESTORES):
            name = str(body.get("TargetTableName") or body.get("TableName", "")).rpartition("/")[2]
        elif target == _DYNAMODB and operation in ("CreateBackup", "DeleteBackup"):
            name = (answer.get("BackupDetails") or {}).get("BackupArn") or body.get("BackupArn") or ""
        elif target == _KINESIS and operation in ("CreateStream", "DeleteStream"):
            name = str(body.get("StreamName") or body.get("StreamARN", "")).rpartition("/")[2]
        elif target == _SQS and operation in ("CreateQueue", "DeleteQueue"):
            name = answer.get("QueueUrl") or body.get("QueueUrl") or ""
        else:
            return
        if not operation.startswith("Delete"):
            self._made[target, name] = None
        else:
            self._made.pop((target, name), None)

    async def remove_all(self, services: Mapping[str, AwsService], principal: AwsPrincipal) -> None:
        """Remove everything taken down, the newest first; what is gone already is no error."""
        while self._made:
            (target, name), _ = self._made.popitem()
            for operation, request in _removal(target, name):
                try:
                    await services[target].call(operation, request, principal)
                except ServiceError:
                    continue


def _removal(target: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    if target == _DYNAMODB and "/backup/" in name:
        return [("DeleteBackup", {"BackupArn": name})]
    if target == _DYNAMODB:
        unprotect = {"TableName": name, "DeletionProtectionEnabled": False}
        return [("UpdateTable", unprotect), ("DeleteTable", {"TableName": name})]
    if target == _KINESIS:
        return [("DeleteStream", {"StreamName": name, "EnforceConsumerDeletion": True})]
    return [("DeleteQueue", {"QueueUrl": name})]
