"""The shared operations, answered by Strawberry and moto."""

import base64
import json
from typing import Any

from streams import ingest
from tests.operations.scenario import run_scenario
from tests.strawberry_api.backend import LAMBDA_CONTEXT, Backend
from tests.strawberry_api.callers import API_KEY, SERVICE, person

RUN = "r1"
NOW_MS = 1_732_489_762_123


class StrawberryImplementation:
    """Telemetry goes through the ingestion handler at once, so there is nothing to wait for."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._callers = {
            "admin": person(f"ops-{RUN}", "admin"),
            "operator": person(f"ops-{RUN}", "operator"),
            "viewer": person(f"ops-{RUN}", "viewer"),
            "stranger": person(f"other-{RUN}", "admin"),
            "apiKey": API_KEY,
            "service": SERVICE,
        }

    async def execute(self, query: str, variables: dict[str, Any], caller: str) -> dict[str, Any]:
        return await self._backend.execute(query, variables, self._callers[caller])

    async def send_telemetry(self, device_id: str, payload: dict[str, Any]) -> None:
        kinesis = {
            "partitionKey": device_id,
            "sequenceNumber": str(payload["seq"]),
            "data": base64.b64encode(json.dumps(payload).encode()).decode(),
            "approximateArrivalTimestamp": NOW_MS / 1000,
        }
        answer = ingest.handler(
            {"Records": [{"eventID": "shardId-000000000000:1", "kinesis": kinesis}]}, LAMBDA_CONTEXT
        )
        assert answer == {"batchItemFailures": []}

    async def wait(self) -> bool:
        return False


async def test_every_operation_answers_as_the_scenario_says(backend: Backend) -> None:
    await run_scenario(StrawberryImplementation(backend), run=RUN, now_ms=NOW_MS)
