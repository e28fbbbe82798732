"""`headwater iam report`: what each function used of what its role grants."""

import sys
from pathlib import Path
from typing import Any

import orjson

from headwater.cli import EXIT_OK
from headwater.cli.instance import ask


def run_report(data_dir: Path, *, is_json: bool) -> int:
    """Print what functions used since the start, were denied, and are granted without using it.

    Raises: NoInstanceError.
    """
    report = ask(data_dir, "GET", "iam/report")
    if is_json:
        sys.stdout.write(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode() + "\n")
        return EXIT_OK
    for row in report["functions"]:
        sys.stdout.write("\n".join(_lines(row)) + "\n\n")
    if any(row["unused"] for row in report["functions"]):
        sys.stdout.write(
            "Unused: no call of the function needed it. What AWS itself does with a function's role is not counted: "
            "event source mappings that poll, and destinations.\n"
        )
    if not report["isComplete"]:
        sys.stdout.write("More different resources were used than are counted; the list is not complete.\n")
    return EXIT_OK


def _lines(row: dict[str, Any]) -> list[str]:
    lines = [f"{row['function']}  ({row['role']})"]
    lines += [f"  used    {use['count']:>8}  {use['action']}  {use['resource']}" for use in row["used"]]
    lines += [f"  DENIED  {use['count']:>8}  {use['action']}  {use['resource']}" for use in row["denied"]]
    lines += [f"  unused            {one['action']}  {', '.join(one['resources'])}" for one in row["unused"]]
    if len(lines) == 1:
        lines.append("  grants nothing and used nothing")
    return lines
