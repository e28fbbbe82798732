"""`headwater data` and `headwater token`: a data directory that moves, and tokens of a running instance."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from headwater.cli.instance import RefusedError, ask
from tests.support.product import Device, Product, eventually, now_ms, run_cli, telemetry

STATE = '{ getDeviceState(deviceId: "moved-1") { seq eventId } }'


def _packed(text: bytes) -> bytes:
    # Without the time, which would name each test process's cases differently.
    return gzip.compress(text, mtime=0)


def test_data_moves_by_export_and_import_and_goes_by_reset(tmp_path: Path) -> None:
    product = Product(tmp_path / "first").start()
    device = Device(product, "moved-1")
    device.publish("devices/moved-1/telemetry", telemetry(now_ms(), 7, temperature=20))
    before = eventually(lambda: product.data(STATE)["getDeviceState"])
    device.close()
    while_running = run_cli("data", "export", str(tmp_path / "export"), "--data-dir", str(product.data_dir))
    product.terminate()

    exported = run_cli("data", "export", str(tmp_path / "export"), "--data-dir", str(product.data_dir))
    imported = run_cli("data", "import", str(tmp_path / "export"), "--data-dir", str(tmp_path / "second"))
    again = run_cli("data", "import", str(tmp_path / "export"), "--data-dir", str(tmp_path / "second"))
    moved = Product(tmp_path / "second").start()
    after = moved.data(STATE)["getDeviceState"]
    moved.terminate()
    reset = run_cli("data", "reset", "--data-dir", str(tmp_path / "second"))
    emptied = Product(tmp_path / "second").start()
    nothing = emptied.data(STATE)["getDeviceState"]
    emptied.terminate()

    assert while_running.returncode == 2
    assert "is in use by process" in while_running.stderr
    assert (exported.returncode, imported.returncode, reset.returncode) == (0, 0, 0)
    assert again.returncode == 2
    assert "holds data already" in again.stderr
    assert after == before
    assert nothing is None
    assert moved.ready["apiKey"] == product.ready["apiKey"], "clients keep their key"
    assert (tmp_path / "export").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no file"),
        (b"not gzip", "is no export this version reads"),
        (
            _packed(b'{"format":"headwater-export","version":1}\n["@file","dGxzLy4uLy4uL3g=","eA=="]\n'),
            "the file name 'tls/../../x'",
        ),
        (_packed(b"{}\n"), "is no export this version reads"),
        (_packed(b'{"format":"headwater-export","version":99}\n'), "is no export this version reads"),
        (_packed(b'{"format":"headwater-export","version":1}\n["a"]\n'), "is no export this version reads"),
        (_packed(b'{"format":"headwater-export","version":1}\n["a","%%","YQ=="]\n'), "is no export"),
        (
            _packed(b'{"format":"headwater-export","version":1}\n' + b'["a","YQ==","YQ=="]\n' * 99)[:60],
            "no export",
        ),
    ],
)
def test_what_is_no_export_is_refused_and_leaves_nothing(content: bytes | None, says: str, tmp_path: Path) -> None:
    file = tmp_path / "export"
    if content is not None:
        file.write_bytes(content)

    done = run_cli("data", "import", str(file), "--data-dir", str(tmp_path / "data"))

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_an_export_needs_a_store_and_a_place(tmp_path: Path) -> None:
    absent = run_cli("data", "export", str(tmp_path / "export"), "--data-dir", str(tmp_path / "absent"))

    assert absent.returncode == 2
    assert absent.stderr == f"headwater: {tmp_path / 'absent'} holds no data of Headwater\n"


@pytest.mark.parametrize("others", [(), ("notes.txt",), ("a", "b", "c", "d", "e", "f")])
def test_a_reset_removes_what_instances_made_and_nothing_else(others: tuple[str, ...], tmp_path: Path) -> None:
    product = Product(tmp_path / "data").start()
    made = {child.name for child in product.data_dir.iterdir()} - {"lock", "format"}
    product.terminate()
    for name in others:
        (product.data_dir / name).mkdir()

    done = run_cli("data", "reset", "--data-dir", str(product.data_dir))

    assert {"store", "tls", "secret"} <= made
    assert done.returncode == 0
    assert {child.name for child in product.data_dir.iterdir()} == {"lock", "format", *others}
    said = {0: "is empty now", 1: "1 entry it did not make stays: notes.txt", 6: "a, b, c, d, e, …"}
    assert said[len(others)] in done.stdout


@pytest.mark.parametrize("names", [(), ("pyproject.toml", "store")])
def test_a_reset_of_another_directory_is_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()

    done = run_cli("data", "reset", "--data-dir", str(tmp_path))
    file = run_cli("data", "reset", "--data-dir", __file__)
    absent = run_cli("data", "reset", "--data-dir", str(tmp_path / "absent"))

    assert (done.returncode, file.returncode, absent.returncode) == (2, 2, 0)
    assert done.stderr == f"headwater: {tmp_path} is no data directory of Headwater: nothing was removed\n"
    assert "is no data directory" in file.stderr
    assert absent.stdout == f"{tmp_path / 'absent'} is not there: nothing to remove\n"
    assert {child.name for child in tmp_path.iterdir()} == set(names)


def test_a_token_is_what_the_user_pool_would_issue(product: Product) -> None:
    done = run_cli(
        "token", "ada", "--group", "operator", "--claim", "custom:tenantId=demo", "--data-dir", str(product.data_dir)
    )
    token = done.stdout.strip()
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))

    assert done.returncode == 0, done.stderr
    assert claims["cognito:username"] == "ada"
    assert claims["cognito:groups"] == ["operator"]
    assert claims["iss"].startswith("https://cognito-idp.us-east-1.amazonaws.com/us-east-1_")
    assert product.data("{ listDevices { items { deviceId } } }", headers={"authorization": token})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--group", "kings"), "the pool has no group 'kings'; it has admin, operator, viewer"),
        (("--pool", "Nowhere"), "there is no user pool 'Nowhere'; the template has UserPool"),
        (("--claim", "novalue"), "'novalue' is not Name=Value"),
        (("--hours", "-1"), "--hours"),
        (("\udcff",), "an argument is not text"),
    ],
)
def test_a_token_that_cannot_be_is_refused(arguments: tuple[str, ...], says: str, product: Product) -> None:
    done = run_cli("token", *arguments, "--data-dir", str(product.data_dir))

    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "member", [{"claims": [1]}, {"groups": "admin"}, {"username": 5}, {"seconds": "60"}, {"seconds": True}]
)
def test_a_token_request_of_a_wrong_type_is_refused(member: dict[str, Any], product: Product) -> None:
    with pytest.raises(RefusedError, match=f"{next(iter(member))} is .*, expected"):
        ask(product.data_dir, "POST", "token", member)


def test_commands_for_a_running_instance_say_when_there_is_none(tmp_path: Path) -> None:
    done = run_cli("token", "--data-dir", str(tmp_path))

    assert done.returncode == 2
    assert done.stderr == f"headwater: no instance runs on {tmp_path}; start one with `headwater up`\n"
