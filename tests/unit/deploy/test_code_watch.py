from pathlib import Path

import pytest

from headwater.deploy.functions.code_watch import changed_functions
from headwater.functions.code_files import is_code
from headwater.functions.config import FunctionConfig

ROOT = Path("/app")


def function(name: str, code_dir: str, *layers: str) -> FunctionConfig:
    return FunctionConfig(name, f"arn:{name}", "app.handler", Path(code_dir), layers=tuple(Path(one) for one in layers))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("app.py", True),
        ("lib/deep/module.mjs", True),
        ("data.json", False),
        ("notes.md", False),
        ("__pycache__/app.cpython-311.py", False),
        ("node_modules/x/index.js", False),
        (".git/hooks/x.py", False),
        ("lib/.cache/x.py", False),
    ],
)
def test_code_is_told_from_the_rest(path: str, expected: bool) -> None:
    assert is_code(ROOT / path, ROOT) is expected


def test_functions_are_found_by_their_code_and_layers() -> None:
    functions = [function("a", "/app/a"), function("b", "/app/b", "/app/layer"), function("all", "/app")]

    assert changed_functions([Path("/app/a/x.py")], functions) == ["a", "all"]
    assert changed_functions([Path("/app/layer/python/y.py")], functions) == ["b", "all"]
    assert changed_functions([Path("/elsewhere/x.py")], functions) == []
