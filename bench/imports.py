"""Cold import of each handler of the template: a fresh interpreter imports its module, byte code on disk.

    python -m bench.imports [--runs 7] [--also MODULE]

`--also` imports one more module with each handler, to see what taking it in would cost. The time is that of the import
alone, without the 10 ms that a bare interpreter needs; the median of the runs. The byte code is compiled before the
first run, as `sam build` and an installed package have it.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
_IMPORT = (
    "import time; wall, cpu = time.perf_counter(), time.process_time(); import {module}; "
    "print(time.perf_counter() - wall, time.process_time() - cpu)"
)


def handler_modules() -> list[str]:
    """The modules that the template's functions name, each once, in its order."""
    text = (ROOT / "infra" / "template.yaml").read_text()
    return list(dict.fromkeys(re.findall(r"^ +Handler: ([\w.]+)\.\w+$", text, re.MULTILINE)))


def imported(module: str, runs: int, also: str = "") -> dict[str, object]:
    """Wall and CPU milliseconds of one module's import, and of `also` after it, medians."""
    with tempfile.TemporaryDirectory() as code:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": code, "AWS_REGION": "us-east-1"}
        command = [sys.executable, "-c", _IMPORT.format(module=f"{module}, {also}" if also else module)]
        walls, cpus = [], []
        for run in range(runs + 1):
            done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
            wall, cpu = map(float, done.stdout.split())
            if run:  # the first one compiles
                walls.append(wall)
                cpus.append(cpu)
    return {
        "handler": module,
        "wall_ms": round(statistics.median(walls) * 1000, 1),
        "cpu_ms": round(statistics.median(cpus) * 1000, 1),
    }


def main() -> None:
    """Measure every handler."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--also", default="", help="one more module to import with each handler")
    options = parser.parse_args()
    for module in handler_modules():
        print(json.dumps(imported(module, options.runs, options.also)))  # noqa: T201  # the benchmark's output


if __name__ == "__main__":
    main()
