"""What a running instance shows of its functions: logs, permissions used, a debugger."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.product import Product, StartFailed, eventually, run_cli

TEMPLATE = Path(__file__).parent / "handlers" / "observed" / "template.yaml"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    started = Product(tmp_path_factory.mktemp("observed") / "data", template=TEMPLATE)
    try:
        yield started.start()
    finally:
        started.kill()


def call(product: Product, name: str, **more: Any) -> Any:
    payload = json.dumps({"name": name, **more})
    return json.loads(product.boto3("lambda").invoke(FunctionName="observed", Payload=payload)["Payload"].read())


@pytest.mark.parametrize("reference", ["observed", "Observed"])
def test_logs_are_printed_by_name_and_logical_id(product: Product, reference: str) -> None:
    call(product, "first")

    printed = run_cli("logs", reference, "--data-dir", str(product.data_dir)).stdout

    assert "handling first" in printed
    assert "REPORT RequestId:" in printed


def test_logs_follow_what_comes(product: Product) -> None:
    command = [sys.executable, "-m", "headwater", "logs", "observed", "--follow", "-n", "0"]
    command += ["--data-dir", str(product.data_dir)]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as following:
        assert following.stdout is not None
        reader = threading.Thread(target=lines.extend, args=(following.stdout,))
        reader.start()

        def has_seen() -> bool:
            call(product, "later")
            return any("handling later" in line for line in lines)

        is_seen = eventually(has_seen)
        following.terminate()
        reader.join()

    assert is_seen


def test_unknown_function_is_named_with_those_there_are(product: Product) -> None:
    ended = run_cli("logs", "absent", "--data-dir", str(product.data_dir))

    assert ended.returncode == 2
    assert "there is no function or API 'absent'; there are observed" in ended.stderr


def test_iam_report_tells_used_denied_and_unused(product: Product) -> None:
    assert call(product, "third") == "AccessDeniedException"

    report = json.loads(run_cli("iam", "report", "--json", "--data-dir", str(product.data_dir)).stdout)

    (row,) = report["functions"]
    table = "arn:aws:dynamodb:us-east-1:123456789012:table/things"
    assert [(use["action"], use["resource"]) for use in row["used"]] == [("dynamodb:PutItem", table)]
    assert [use["action"] for use in row["denied"]] == ["dynamodb:Scan"]
    assert row["unused"] == [{"action": "dynamodb:DeleteItem", "resources": [table]}]


def test_iam_report_is_readable(product: Product) -> None:
    call(product, "fourth")

    printed = run_cli("iam", "report", "--data-dir", str(product.data_dir)).stdout

    assert "DENIED" in printed
    assert "unused            dynamodb:DeleteItem" in printed


def test_debugged_function_listens_and_has_no_timeout(tmp_path: Path) -> None:
    pytest.importorskip("debugpy")
    port = free_port()
    product = Product(tmp_path / "data", ("--debug-function", f"Observed={port}"), TEMPLATE).start()
    try:
        answer = call(product, "slow", sleep_s=1.5)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as debugger:
            request = json.dumps(
                {"seq": 1, "type": "request", "command": "initialize", "arguments": {"adapterID": "t"}}
            )
            debugger.sendall(f"Content-Length: {len(request)}\r\n\r\n{request}".encode())
            received = b""
            while b'"command":"initialize"' not in received.replace(b" ", b""):
                received += debugger.recv(65_536)
    finally:
        product.kill()

    assert answer == "AccessDeniedException"
    assert b'"success":true' in received.replace(b" ", b"")


def test_debugging_an_unknown_function_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="the template has no such function"):
        Product(tmp_path / "data", ("--debug-function", "Absent"), TEMPLATE).start()
