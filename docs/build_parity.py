"""Write docs/parity.md from the verdict tables and the hand-kept notes beside it: `python -m docs.build_parity`."""

from pathlib import Path

from headwater.template.tables import TYPE_TABLES, TypeTable

HERE = Path(__file__).parent
TARGET = HERE / "parity.md"
NOTES = HERE / "parity_notes.md"


def _names(paths: frozenset[str]) -> str:
    return ", ".join(f"`{path}`" for path in sorted(paths)) or "none"


def _section(kind: str, table: TypeTable) -> list[str]:
    lines = [f"### {kind}", "", f"Live: {_names(table.live)}", "", f"Deploy-only: {_names(table.deploy_only)}", ""]
    if table.refused:
        lines += ["Refused:", "", *(f"- `{path}`: {why}" for path, why in sorted(table.refused.items())), ""]
    return lines


def parity_text() -> str:
    """The whole document."""
    live = {kind: table for kind, table in TYPE_TABLES.items() if table.verdict == "live"}
    others = sorted(set(TYPE_TABLES) - set(live))
    lines = [NOTES.read_text().rstrip(), "", "## Resource types and properties", ""]
    lines += ["Made from the tables that `headwater check` and `headwater up` use. What is not listed is refused.", ""]
    for kind in sorted(live):
        lines += _section(kind, live[kind])
    lines += ["### Deploy-only types", "", _names(frozenset(others)), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(parity_text())
