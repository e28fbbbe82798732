"""Both products and the Node clients, started once for a module."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.node_client import NodeClient, installed_clients
from tests.support.product import ROOT, Device, Product, eventually, now_ms, telemetry

HERE = Path(__file__).parent
EXAMPLES = ROOT / "docs" / "examples" / "js"


@contextmanager
def _running(folder: Path, template: Path | None = None) -> Iterator[Product]:
    running = (Product(folder / "data", template=template) if template else Product(folder / "data")).start()
    yield running
    exit_code = running.terminate()
    assert exit_code == 0, running.log()
    assert "Traceback" not in running.log()


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """This project's template, with the state of one device."""
    with _running(tmp_path_factory.mktemp("product")) as running:
        device = Device(running, "device-001")
        device.publish("devices/device-001/telemetry", telemetry(now_ms(), 1, temperature=21.5))
        query = '{ getDeviceState(deviceId: "device-001") { seq } }'
        assert eventually(lambda: running.data(query)["getDeviceState"])
        device.close()
        yield running


@pytest.fixture(scope="module")
def telemetry_product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A template that is not this project's."""
    with _running(tmp_path_factory.mktemp("telemetry"), HERE / "telemetry_api" / "template.yaml") as running:
        yield running


@pytest.fixture(scope="module")
def clients_folder() -> Path:
    folder = installed_clients()
    # Imports of packages are looked for from the file that has them.
    shutil.copytree(EXAMPLES, folder / "examples", dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def node(
    request: pytest.FixtureRequest,
    clients_folder: Path,
    product: Product,
    telemetry_product: Product,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[NodeClient]:
    """The script the module names, trusting the CA of both products."""
    ca_file = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca_file.write_text("".join(Path(one.ready["caFile"]).read_text() for one in (product, telemetry_product)))
    client = NodeClient(clients_folder, request.module.SCRIPT, ca_file)
    yield client
    client.close()
