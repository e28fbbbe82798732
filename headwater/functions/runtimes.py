"""Which of Lambda's runtimes run on this machine, and where a handler's module must lie."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Literal

Runtime = Literal["python", "node"]
_NODE = re.compile(r"nodejs\d+\.x")


def find_runtime(name: str, *, find_program: Callable[[str], str | None] = shutil.which) -> Runtime:
    """What runs a runtime of the template: the running interpreter, or the first `node` on the path.

    Raises: ValueError saying what is missing.
    """
    if name.startswith("python3."):
        return "python"
    if _NODE.fullmatch(name) is None:
        raise ValueError("functions run on python3.x and nodejs*.x")
    if find_program("node") is None:
        raise ValueError("there is no `node` on the PATH; install Node.js to run this function")
    return "node"


def handler_files(handler: str, runtime: Runtime) -> list[str]:
    """The files that may hold a handler, relative to the task root; empty for a text that names none."""
    if runtime == "python":
        module, separator, function = handler.rpartition(".")
        path = module.replace(".", "/")
        return [f"{path}.py", f"{path}/__init__.py"] if separator and module and function else []
    whole = PurePosixPath(handler)
    module, separator, function = whole.name.partition(".")
    if not module or not function:
        return []
    return [str(whole.with_name(module + ending)) for ending in (".js", ".mjs", ".cjs")]


def layer_folder(layer: Path, runtime: Runtime) -> Path:
    """Where a layer's modules lie, as Lambda unpacks them."""
    return layer / ("python" if runtime == "python" else "nodejs")
