"""`headwater up`: bring a template up, say what is live, run until Ctrl-C or SIGTERM, drain."""

import asyncio
import logging
import signal
import sys

import uvloop

from headwater.app import Runtime
from headwater.cli import EXIT_OK, EXIT_OURS, EXIT_USER
from headwater.cli.log_lines import LineFormatter
from headwater.cli.memory import give_back_memory, settle_memory
from headwater.deploy.options import UpOptions
from headwater.errors import HeadwaterError


def run_up(options: UpOptions) -> int:
    """Run to the end; returns the exit code."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[lines])
    try:
        return uvloop.run(_run(options))
    except KeyboardInterrupt:
        return EXIT_OK


async def _run(options: UpOptions) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    runtime = Runtime(options)
    try:
        starting = loop.create_task(runtime.start())
        waiting = loop.create_task(stopping.wait())
        await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return EXIT_OK
        waiting.cancel()
        await starting
        _say(runtime.report())
        settle_memory()
        trimming = loop.create_task(give_back_memory())
        await stopping.wait()
        trimming.cancel()
        _say("Stopping: finishing what is under way")
        counts = runtime.counts()
        if counts:
            _say(counts)
        return EXIT_OK
    except HeadwaterError as error:
        return _complain(str(error), EXIT_USER)
    except OSError as error:
        return _complain(str(error), EXIT_OURS)
    finally:
        await runtime.stop()


def _complain(text: str, code: int) -> int:
    for line in text.splitlines():
        sys.stderr.write(f"headwater: {line}\n")
    return code


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
