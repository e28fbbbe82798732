"""Every resolver passes AWS's own linter for APPSYNC_JS, where Node is."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.node_client import installed_packages
from tests.template.template_file import ROOT

WRONG = "export function request(ctx) {\n  try { return ctx.args; } catch (error) { return {}; }\n}\n"


@pytest.mark.timeout(700)
def test_resolvers_pass_the_linter_of_aws_and_what_is_wrong_does_not(tmp_path: Path) -> None:
    packages = installed_packages(Path(__file__).parent / "eslint")
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    shutil.copy(packages / "eslint.config.mjs", tmp_path)
    folder = tmp_path / "resolvers"
    folder.mkdir()
    for path in (ROOT / "resolvers").glob("*.js"):
        shutil.copy(path, folder)
    (folder / "wrong.js").write_text(WRONG)

    command = ["node", "node_modules/eslint/bin/eslint.js", "--format", "json", "resolvers"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode in (0, 1), done.stderr
    report = {Path(file["filePath"]).name: file["messages"] for file in json.loads(done.stdout)}
    assert [message["ruleId"] for message in report.pop("wrong.js")] == ["@aws-appsync/no-try"]
    assert len(report) == len(list((ROOT / "resolvers").glob("*.js"))) > 20
    assert {name: messages for name, messages in report.items() if messages} == {}
