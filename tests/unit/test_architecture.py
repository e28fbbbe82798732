"""Imports point down: the table of the architecture, held against every import statement of the tree."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS: dict[str, int] = {
    "errors": 0,
    "values": 0,
    **dict.fromkeys(
        (
            "template",
            "engine",
            "appsync_js",
            "auth",
            "realtime",
            "mqtt",
            "shadow",
            "rules",
            "kinesis",
            "dynamodb",
            "sqs",
        ),
        1,
    ),
    **dict.fromkeys(("storage", "datasource", "functions", "eventsource"), 2),
    "server": 3,
    **dict.fromkeys(("cli", "app", "deploy", "testing", "plan"), 4),
}
DEPLOYED = ("streams", "iot", "resolvers")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every imported module with its line, those of `if TYPE_CHECKING` too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def part_of(path: Path) -> str:
    relative = path.relative_to(ROOT / "headwater")
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules("headwater"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    part = part_of(path)
    faults = []
    for line, name in imports(path):
        names = name.split(".")
        if names[0] in DEPLOYED:
            faults.append(f"line {line}: the runtime imports deployed code: {name}")
        if names[0] != "headwater" or len(names) < 2 or part.startswith("__"):
            continue
        layer, other = LAYERS[part], LAYERS[names[1]]
        may = other < layer or names[1] == part or layer == other == 4 or layer == other == 0
        # Sockets get callables from above, never the effects themselves.
        if layer == 3 and other == 2:
            may = False
        if not may:
            faults.append(f"line {line}: {part} (layer {layer}) imports {name} (layer {other})")

    assert faults == []


@pytest.mark.parametrize(
    "path", [path for folder in DEPLOYED for path in modules(folder)], ids=lambda path: str(path.relative_to(ROOT))
)
def test_deployed_code_does_not_know_the_runtime(path: Path) -> None:
    assert [name for _, name in imports(path) if name.split(".")[0] == "headwater"] == []


def test_files_and_folders_stay_small() -> None:
    faults = [
        f"{path.relative_to(ROOT)}: {count} lines"
        for folder in ("headwater", *DEPLOYED)
        for path in modules(folder)
        if (count := len(path.read_text().splitlines())) > 500
    ]

    assert faults == []
