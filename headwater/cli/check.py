"""`headwater check`: the verdict on every resource and property of a template."""

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from headwater.cli import EXIT_OK, EXIT_USER
from headwater.deploy.examination import examine, first_of
from headwater.deploy.loading import load_template
from headwater.template.attributes import StackEnvironment
from headwater.template.verdicts import Finding

_STYLES = {"live": "green", "deploy-only": "dim", "refused": "bold red"}


def run_check(template: Path, parameters: dict[str, str]) -> int:
    """Print the verdicts; returns the exit code."""
    environment = StackEnvironment()
    loaded = load_template(template, parameters, environment.region, None)
    environment = StackEnvironment(first_api=first_of(loaded, "AWS::AppSync::GraphQLApi"))
    examination = examine(loaded, environment)
    console = Console(soft_wrap=True)
    console.print(_verdict_table(examination.findings))
    for fault in examination.faults:
        console.print(Text(fault, style="bold red"))
    counts: Counter[str] = Counter(finding.verdict for finding in examination.findings if not finding.path)
    console.print(", ".join(f"{counts[verdict]} {verdict}" for verdict in _STYLES) + " resources")
    refusals = examination.refusals()
    if refusals:
        console.print(f"{len(refusals)} refused: `headwater up` will not start this template")
        return EXIT_USER
    return EXIT_OK


def _verdict_table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("verdict", "resource", "type", "property", "why"):
        table.add_column(heading, overflow="fold")
    seen: set[tuple[str, str, str]] = set()
    for finding in findings:
        if finding.path and finding.verdict == "live":
            continue
        key = (finding.logical_id, finding.path, finding.verdict)
        if key not in seen:
            seen.add(key)
            verdict = Text(finding.verdict, style=_STYLES[finding.verdict])
            table.add_row(verdict, finding.logical_id, finding.type, finding.path, finding.why)
    return table
