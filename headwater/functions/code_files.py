"""A task root's files: which of them are a function's code, and what identifies their state."""

import hashlib
import os
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CODE = (".py", ".js", ".mjs", ".cjs")
# Never code of a function, and large: a repository's root holds them beside its code.
_SKIPPED = ("node_modules", "venv", "__pycache__", "site-packages")


@dataclass(frozen=True, slots=True)
class CodeState:
    """What the API shows of code: `sha256` in base64, the size in bytes."""

    sha256: str
    size_bytes: int


def is_skipped(folder: str) -> bool:
    """Whether a folder of this name holds no code."""
    return folder.startswith(".") or folder in _SKIPPED


def is_code(path: Path, root: Path) -> bool:
    """Whether a path below a task root can be a function's code."""
    folders = path.relative_to(root).parts[:-1]
    return path.suffix in _CODE and not any(is_skipped(name) for name in folders)


def code_state(root: Path) -> CodeState:
    """The digest of names and contents of the code below a task root, the same on every machine.

    A folder is no deployment package, so this is not what a package of it would have. Files that vanish meanwhile are
    left out.
    """
    digest, size_bytes = hashlib.sha256(), 0
    for path in _code_files(root):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        name = path.relative_to(root).as_posix().encode("utf-8", "surrogateescape")
        digest.update(b"%d %d " % (len(name), len(content)) + name + content)
        size_bytes += len(content)
    return CodeState(b64encode(digest.digest()).decode(), size_bytes)


def _code_files(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not is_skipped(name))
        yield from (Path(folder, file) for file in sorted(files) if file.endswith(_CODE))
