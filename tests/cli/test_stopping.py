"""Stopping: by signal at any moment, and by kill -9; no process is left behind."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.product import ROOT, Device, Product, eventually, now_ms, telemetry

STOPPED_WITHIN_S = 30


def workers_of(pid: int) -> set[int]:
    """The processes below one, by the kernel's lists of children."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found |= {int(child)} | workers_of(int(child))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def started(tmp_path: Path, *arguments: str, ignores_sigint: bool = False) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "error", "-m", "headwater", "up", "--port", "0", "--mqtt-port", "0"]
    command += ["--mqtt-tls-port", "0", "--data-dir", str(tmp_path / "data"), *arguments]
    # What sh does with a job behind `&` where there is no terminal; an ignored signal stays so over exec.
    command = ["sh", "-c", f"trap '' INT; exec {shlex.join(command)}"] if ignores_sigint else command
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has installed a handler for a signal, by the kernel's word."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.split("SigCgt:")[1].split()[0], 16) >> (number - 1) & 1)


# Python itself takes SIGINT before it has read its first module, and ends by SIGTERM as any process does. From the
# first handler for SIGTERM on it is the program that answers, and it is to answer the same until it is up.
@pytest.mark.parametrize("after_ms", [0, 100, 300, 600, 1400, 2000])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads a process's handlers in /proc")
def test_a_signal_during_the_start_ends_it_cleanly(number: signal.Signals, after_ms: int, tmp_path: Path) -> None:
    process = started(tmp_path, "--devices", "2")
    assert eventually(lambda: catches(process.pid, signal.SIGTERM), every_s=0.002)

    try:
        process.communicate(timeout=after_ms / 1000)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    said, complained = process.communicate(timeout=STOPPED_WITHIN_S)

    assert complained == ""
    assert process.returncode == 0, said


@pytest.mark.parametrize("after_ms", [0, 300, 2000])
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads a process's handlers in /proc")
def test_sigint_ends_also_what_a_script_started_in_the_background(after_ms: int, tmp_path: Path) -> None:
    process = started(tmp_path, ignores_sigint=True)
    assert eventually(lambda: catches(process.pid, signal.SIGTERM), every_s=0.002)

    try:
        process.communicate(timeout=after_ms / 1000)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=STOPPED_WITHIN_S)

    assert complained == ""
    assert process.returncode == 0, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_a_signal_while_it_runs_drains_and_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    product = Product(tmp_path / "data", ("--devices", "3")).start()
    assert product.process is not None
    assert eventually(lambda: product.data("{ listDevices { items { deviceId } } }")["listDevices"]["items"])
    workers = workers_of(product.process.pid)

    # Ctrl-C goes to every process of the terminal, the workers too.
    if number == signal.SIGINT:
        for worker in workers:
            os.kill(worker, number)
    product.process.send_signal(number)
    exit_code = product.process.wait(STOPPED_WITHIN_S)

    assert exit_code == 0
    assert workers
    assert eventually(lambda: not any(map(is_alive, workers)))
    assert "Traceback" not in product.log()
    assert " ERROR " not in product.log(), product.log()
    assert not (product.data_dir / "run.json").exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_kill_9_leaves_no_worker_and_the_next_start_takes_over(tmp_path: Path) -> None:
    product = Product(tmp_path / "data").start()
    assert product.process is not None
    device = Device(product, "killed-1")
    device.publish("devices/killed-1/telemetry", telemetry(now_ms(), 1, temperature=20))
    device.close()
    workers = workers_of(product.process.pid)

    product.kill()

    assert workers
    assert eventually(lambda: not any(map(is_alive, workers)))
    product.start()
    query = '{ getDeviceState(deviceId: "killed-1") { seq } }'
    assert eventually(lambda: product.data(query)["getDeviceState"]) == {"seq": 1}
    assert product.terminate() == 0
    assert "Traceback" not in product.log()
