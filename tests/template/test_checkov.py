"""Checkov finds nothing in the template but what infra/checkov.yaml skips, each with its reason."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.template.deploy_tools import deploy_tool
from tests.template.template_file import ROOT

CONFIG = ROOT / "infra" / "checkov.yaml"
SKIPPED = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["skip-check"]


def test_every_skipped_check_has_its_reason() -> None:
    reasons = dict(re.findall(r"^  - (CKV\w+)  # (.{30,})$", CONFIG.read_text(encoding="utf-8"), re.MULTILINE))

    assert sorted(reasons) == sorted(SKIPPED)


@pytest.mark.timeout(600)
def test_checkov_finds_what_is_skipped_and_nothing_else() -> None:
    found = failed_checks(deploy_tool("checkov"))

    assert {check["check_id"] for check in found} == set(SKIPPED), [
        f"{check['check_id']} {check['check_name']}: {check['resource']}"
        for check in found
        if check["check_id"] not in SKIPPED
    ]


def failed_checks(checkov: Path) -> list[dict[str, Any]]:
    """Everything that fails without the skips: a skip nothing needs is found too."""
    arguments = ["--file", "infra/template.yaml", "--framework", "cloudformation", "--output", "json"]
    arguments.append("--skip-download")
    done = subprocess.run([str(checkov), *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    assert report["results"].get("parsing_errors", []) == []
    assert report["summary"]["passed"] > 100
    failed: list[dict[str, Any]] = report["results"]["failed_checks"]
    return failed
