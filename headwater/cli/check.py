"""`headwater check`: the verdict on every resource and property of a template, and whatever else is wrong with it."""

import asyncio
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from headwater.cli import EXIT_OK, EXIT_USER
from headwater.deploy.compiled import Compiled
from headwater.deploy.loading import load_template
from headwater.deploy.options import UpOptions
from headwater.deploy.rehearsal import rehearse
from headwater.template.verdicts import Finding

_STYLES = {"live": "green", "deploy-only": "dim", "refused": "bold red"}
# A file or a pipe has no width: a row stays one line there.
_UNLIMITED = 400


def run_check(template: Path, parameters: dict[str, str], allowed_hosts: tuple[str, ...]) -> int:
    """Print verdicts and faults; returns the exit code."""
    options = UpOptions(template=template, parameters=parameters, allowed_hosts=allowed_hosts)
    loaded = load_template(template, parameters, options.region, None)
    deployment = asyncio.run(rehearse(options, loaded, Compiled()))
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console = Console(soft_wrap=True, width=_UNLIMITED)
    console.print(_verdict_table(deployment.findings))
    for warning in deployment.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))
    faults = deployment.faults.found
    for fault in faults:
        console.print(Text(fault, style="bold red"))
    counts: Counter[str] = Counter(finding.verdict for finding in deployment.findings if not finding.path)
    console.print(", ".join(f"{counts[verdict]} {verdict}" for verdict in _STYLES) + " resources")
    if faults:
        console.print(
            f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'}: `headwater up` will not start this template"
        )
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
