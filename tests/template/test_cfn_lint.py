"""cfn-lint finds nothing in the template, without suppressions: types, values, limits, circular references."""

import subprocess
import sys
from pathlib import Path

from tests.template.template_file import ROOT

TEMPLATE = ROOT / "infra" / "template.yaml"


def lint(template: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).parent / "cfn-lint"), str(template)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_template_lints_clean_and_suppresses_nothing() -> None:
    done = lint(TEMPLATE)

    assert (done.returncode, done.stdout) == (0, "")
    assert "cfn-lint" not in TEMPLATE.read_text(encoding="utf-8")


def test_a_circular_reference_would_be_found(tmp_path: Path) -> None:
    wrong = tmp_path / "template.yaml"
    wrong.write_text(
        "Resources:\n"
        "  One: {Type: 'AWS::SQS::Queue', DependsOn: Two}\n"
        "  Two: {Type: 'AWS::SQS::Queue', DependsOn: One}\n"
    )

    assert "E3004" in lint(wrong).stdout
