"""Commands that README, documents and the start report show work as they are written."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.product import ROOT, Product, eventually

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Commands that install, run for minutes, or need an AWS account or a file of the reader's: not run here.
NOT_RUN = (
    "make run",
    "make test",
    "make bench",
    "sam build --template infra/template.yaml",
    "sam deploy --guided",
    ".venv/bin/headwater up --template yours/template.yaml",
)
# What a document may tell a reader to run, with the group a command is in.
COMMANDS = (
    "up|check|eval|plan|token|logs|data (?:export|import|reset)|device (?:add|provision)"
    "|explain (?:rule|subscription)|iam report"
)


def commands(document: Path) -> list[str]:
    """The lines of a document's `sh` blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


README_COMMANDS = [command for command in commands(ROOT / "README.md") if command not in NOT_RUN]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    running = Product(tmp_path_factory.mktemp("docs") / "data", ("--devices", "2")).start()
    yield running
    assert running.terminate() == 0
    assert "Traceback" not in running.log()


def pasted(command: str, product: Product, timeout_s: float = 30) -> "subprocess.CompletedProcess[str]":
    """Run a command as a shell would; only the ports, the data directory and `.venv/bin` are this machine's."""
    ready = product.ready
    text = command.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    text = text.replace("http://127.0.0.1:8080", ready["awsEndpointUrl"])
    text = text.replace('client_id="mine-1")', f'client_id="mine-1", port={ready["mqttPort"]})')
    if "headwater token" in text:
        text += f" --data-dir {product.data_dir}"
    return subprocess.run(text, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s)


def examples(product: Product) -> dict[str, str]:
    """The commands of the start report by their headings."""
    found = re.findall(r"^(Query|Subscribe|Publish):\n  (.*)$", product.log(), re.MULTILINE)
    return dict(found)


def printed(product: Product, heading: str) -> str:
    return examples(product)[heading].replace(".venv/bin/", f"{Path(sys.executable).parent}/")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_printed_query_answers(product: Product) -> None:
    listed = "{ listDevices { items { deviceId } } }"
    assert eventually(lambda: len(product.data(listed)["listDevices"]["items"]) >= 2)

    done = subprocess.run(printed(product, "Query"), shell=True, capture_output=True, text=True, timeout=30)

    items = json.loads(done.stdout)["data"]["listDevices"]["items"]
    assert {"device-001", "device-002"} <= {item["deviceId"] for item in items}


def test_the_printed_subscription_prints_what_the_printed_publish_sends(product: Product) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    subscriber = subprocess.Popen(
        printed(product, "Subscribe"),
        shell=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert subscriber.stdout is not None
    assert subscriber.stderr is not None
    # The simulated device shows that the subscription stands.
    first = json.loads(subscriber.stdout.readline())

    published = subprocess.run(printed(product, "Publish"), shell=True, capture_output=True, text=True, timeout=30)
    lines = (json.loads(line)["onDeviceState"] for line in subscriber.stdout)
    mine = next(event for event in lines if event["deviceId"] == "mine-1")
    os.killpg(subscriber.pid, 9)
    subscriber.wait(10)
    subscriber.stdout.close()
    subscriber.stderr.close()

    assert first["onDeviceState"]["deviceId"] == "device-001"
    assert published.returncode == 0, published.stderr
    assert json.loads(mine["readings"]) == {"temperature": 21.5}


def test_the_commands_of_the_readme_work_in_order(product: Product) -> None:
    done = {command: pasted(command, product) for command in README_COMMANDS[:1]}
    state = '{ getDeviceState(deviceId: "mine-1") { seq } }'
    assert eventually(lambda: product.data(state)["getDeviceState"])
    done |= {command: pasted(command, product) for command in README_COMMANDS[1:]}

    for command, result in done.items():
        assert result.returncode == 0, f"{command}\n{result.stderr}"
    outputs = [result.stdout for result in done.values()]
    assert "21.5" in outputs[1]
    assert outputs[2].startswith("eyJ")
    assert " 0 refused resources" in outputs[3]
    assert len(outputs) == 4


def python_of(document: Path, containing: str, product: Product) -> str:
    """What a document's Python block with this text prints, with the addresses of this instance."""
    blocks = re.findall(r"^```python\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    code = next(block for block in blocks if containing in block)
    code = code.replace("http://127.0.0.1:8080", product.ready["awsEndpointUrl"])
    code = code.replace("1883", str(product.ready["mqttPort"])).replace("mine-1", "mine-2")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_documented_mqtt_client_publishes_is_stored(product: Product) -> None:
    python_of(ROOT / "docs" / "clients.md", "devices/mine-1/telemetry", product)

    assert eventually(lambda: product.data('{ getDeviceState(deviceId: "mine-2") { seq } }')["getDeviceState"])


def test_the_documented_boto3_client_lists_the_table(product: Product) -> None:
    printed_names = python_of(ROOT / "docs" / "clients.md", "list_tables", product)

    assert "headwater-Table" in printed_names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_headwater_command_and_option_of_a_document_exists(document: Path) -> None:
    text = document.read_text()
    help_of = {
        name: subprocess.run(
            [sys.executable, "-m", "headwater", *name.split(), "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        ).stdout
        for name in set(re.findall(rf"headwater ({COMMANDS})\b", text))
    }

    for name, options in re.findall(rf"headwater ({COMMANDS})\b([^`\n]*)", text):
        assert help_of[name], name
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", options):
            assert option in help_of[name], f"headwater {name} has no {option}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_and_file_of_a_document_is_there(document: Path) -> None:
    text = document.read_text()
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]

    assert [link for link in links if link and not (document.parent / link).exists()] == []


def test_the_flow_names_every_module_that_says_it_is_on_it() -> None:
    text = (ROOT / "docs" / "flow.md").read_text()
    modules = [
        path.relative_to(ROOT).as_posix()
        for folder in ("headwater", "streams")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if re.search(r'^"""Flow [1-8]/8', path.read_text())
    ]

    assert [module for module in modules if f"`{module}`" not in text] == []
    assert [
        name
        for name in re.findall(r"`((?:headwater|streams|resolvers|iot)/[\w./]+\.(?:py|js))`", text)
        if not (ROOT / name).is_file()
    ] == []


def test_make_knows_the_commands_of_the_readme() -> None:
    rules = (ROOT / "Makefile").read_text()

    for name in re.findall(r"make (\w+)", (ROOT / "README.md").read_text()):
        assert re.search(rf"^{name}:", rules, re.MULTILINE), name
