"""A process that owns functions and waits to be killed; prints the workers' process ids."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from headwater.functions.config import FunctionConfig
from headwater.functions.service import FunctionService


async def main(client: Any) -> None:
    service = FunctionService(account_id="123456789012", region="us-east-1", client=client)
    await service.start()
    pids: list[int | None] = []
    for handler in ("hang_on_poison", "spin", "hang"):
        arn = f"arn:aws:lambda:us-east-1:123456789012:function:{handler}"
        service.register(FunctionConfig(handler, arn, f"app.{handler}", Path(__file__).parent, timeout_s=300))
    calls = [asyncio.ensure_future(service.invoke(name, b"{}")) for name in ("spin", "hang")]
    await service.invoke("hang_on_poison", b"{}")
    while len(pids) < 3:
        await asyncio.sleep(0.02)
        pids = [environment.process_id for pool in service._pools.values() for environment in pool.environments]
    await asyncio.sleep(0.3)
    print(*pids, flush=True)  # noqa: T201
    await asyncio.gather(*calls)


asyncio.run(main(sys.argv[1]))
