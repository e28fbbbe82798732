"""Run a simulated fleet against a broker: `headwater up`, or AWS IoT Core with a certificate for each device.

    python -m bench.fleet --devices 100 --rate 1 --seconds 60 --profile flapping --seed 7

The last line is JSON: what was sent, acknowledged, and what the backend should make of it.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from bench.fleet.devices import Broker, Fleet
from bench.fleet.profiles import PROFILES, schedule


def main() -> int:
    """Play one profile; 1 when a message was not acknowledged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--ca", default="", help="connect with TLS and trust this CA")
    parser.add_argument("--certificates", type=Path, help="a folder with <device id>/device.pem and .key")
    parser.add_argument("--topic", default="devices/{device_id}/telemetry")
    parser.add_argument("--prefix", default="fleet", help="device ids are <prefix>-0001 …")
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--rate", type=float, default=1.0, help="messages a second of one device")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--profile", choices=[*PROFILES, "mixed"], default="steady")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    try:
        schedules = {
            f"{given.prefix}-{number + 1:04d}": schedule(
                given.profile, device=number, rate_per_s=given.rate, seconds=given.seconds, seed=given.seed
            )
            for number in range(given.devices)
        }
    except ValueError as error:
        parser.error(str(error))
    broker = Broker(given.host, given.port, given.ca, given.certificates, given.topic)
    counts = Fleet(broker, schedules).run(start_ms=time.time_ns() // 10**6)
    sent = [action for actions in schedules.values() for action in actions if action.kind == "publish"]
    summary = {
        "profile": given.profile,
        "published": counts.published,
        "acknowledged": counts.acknowledged,
        "unacknowledged": counts.unacknowledged,
        "distinct": sum(len({action.seq for action in actions if action.seq}) for actions in schedules.values()),
        "dead_letters_to_expect": sum(action.is_ahead for action in sent),
        "drops": counts.drops,
        "refused_connections": counts.refused_connections,
    }
    sys.stdout.write(json.dumps(summary) + "\n")
    return 1 if counts.unacknowledged else 0


if __name__ == "__main__":
    sys.exit(main())
