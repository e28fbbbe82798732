"""What is deployed of the tree: each function's import closure, and packages that come out the same every time."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra import stage
from tests.template.template_file import ROOT, load_template, resources_of_type

TEMPLATE = load_template()
FUNCTIONS = resources_of_type(TEMPLATE, "AWS::Serverless::Function")
PROBE = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
importlib.import_module(sys.argv[2])
files = [getattr(module, "__file__", None) for name, module in sys.modules.items()]
print(json.dumps([file for file in files if file and file.startswith(sys.argv[1])]))
"""


def test_the_handlers_read_from_the_templates_text_are_those_of_its_yaml() -> None:
    assert stage.handlers() == {name: properties["Handler"] for name, properties in FUNCTIONS.items()}


@pytest.mark.parametrize("logical_id", FUNCTIONS)
def test_a_handler_imports_from_a_folder_with_its_closure_alone(logical_id: str, tmp_path: Path) -> None:
    module = FUNCTIONS[logical_id]["Handler"].rpartition(".")[0]
    files, outside = stage.closure(module)
    for path in files:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)

    result = subprocess.run(
        [sys.executable, "-I", "-B", "-c", PROBE, str(tmp_path), module],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    staged = {str(tmp_path / path.relative_to(ROOT)) for path in files}
    assert staged == set(json.loads(result.stdout))
    assert outside <= set(stage.DISTRIBUTIONS) | stage.IN_RUNTIME


def test_the_fan_out_carries_no_code_of_ingestion_or_resolvers() -> None:
    files, _ = stage.closure("streams.fanout")

    names = {path.relative_to(ROOT).as_posix() for path in files}

    assert "streams/fanout.py" in names
    assert not any(name.startswith(("resolvers/", "iot/")) for name in names)
    assert "streams/ingest.py" not in names


def test_the_pins_are_the_versions_the_tests_run_with() -> None:
    from importlib.metadata import version

    pinned = [line.split()[0] for line in stage.REQUIREMENTS.read_text().splitlines() if "==" in line]

    assert [pin.split("==")[1] for pin in pinned] == [version(pin.split("==")[0]) for pin in pinned]
    assert {pin.split("==")[0] for pin in pinned} == {name for names in stage.DISTRIBUTIONS.values() for name in names}


def test_an_unknown_function_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "infra" / "stage.py"), "stage", "NoFunction", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 2
    assert "NoFunction is no function of template.yaml" in done.stderr
    assert "IngestFunction" in done.stderr


@pytest.mark.skipif(not os.environ.get("HEADWATER_TEST_DEPLOY"), reason="make test-deploy: it downloads what is pinned")
@pytest.mark.parametrize("architecture", stage.PLATFORMS)
def test_packages_come_out_the_same_from_a_second_build(architecture: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        stage.package(architecture, tmp_path / name)

    sums = (tmp_path / "one" / "SHA256SUMS").read_text()
    assert sums == (tmp_path / "two" / "SHA256SUMS").read_text()
    assert [line.split("  ")[1] for line in sums.splitlines()] == [f"{name}.zip" for name in sorted(FUNCTIONS)]


def test_equal_folders_make_equal_zips_whatever_their_dates(tmp_path: Path) -> None:
    for name, date in (("one", 1_000_000_000), ("two", 1_700_000_000)):
        folder = tmp_path / name / "streams"
        folder.mkdir(parents=True)
        for place in range(3):
            (folder / f"{place}.py").write_text("x = 1\n")
            os.utime(folder / f"{place}.py", (date, date))
        stage.write_zip(tmp_path / name, tmp_path / f"{name}.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
