"""Functions take up changed code: their environments are renewed when a file of theirs is written."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from headwater.errors import ServiceError
from headwater.functions.config import FunctionConfig
from headwater.functions.service import FunctionService

_log = logging.getLogger(__name__)
_CODE = (".py", ".js", ".mjs", ".cjs", ".json")
# Never code of a function, and large: watching them costs thousands of kernel watches.
_SKIPPED = ("node_modules", "venv", "__pycache__", "site-packages")


def is_code(path: Path, root: Path) -> bool:
    """Whether a path below a task root can be a function's code."""
    folders = path.relative_to(root).parts[:-1]
    return path.suffix in _CODE and not any(name.startswith(".") or name in _SKIPPED for name in folders)


def changed_functions(changed: Iterable[Path], functions: Iterable[FunctionConfig]) -> list[str]:
    """The functions whose task root or layer holds one of the changed files."""
    files = list(changed)
    return [
        config.name
        for config in functions
        if any(
            file.is_relative_to(root) and is_code(file, root)
            for root in (config.code_dir, *config.layers)
            for file in files
        )
    ]


async def watch_code(functions: FunctionService, data_dir: Path) -> None:
    """Reload functions for ever. Running invocations end with the code they began with, waiting ones get the new."""
    own = data_dir.resolve()
    roots = {
        root.resolve()
        for config in functions.functions()
        for root in (config.code_dir, *config.layers)
        if root.is_dir() and not root.resolve().is_relative_to(own)
    }
    if not roots:
        return
    folders = {
        child
        for root in roots
        for child in root.iterdir()
        if child.is_dir() and not child.name.startswith(".") and child.name not in _SKIPPED and child != own
    }
    watches = [_watch(functions, roots, is_recursive=False)]
    if folders:
        watches.append(_watch(functions, folders, is_recursive=True))
    await asyncio.gather(*watches)


async def _watch(functions: FunctionService, places: set[Path], *, is_recursive: bool) -> None:
    try:
        async for changed in _changes(places, is_recursive=is_recursive):
            await _renew(functions, changed_functions(changed, functions.functions()))
    except OSError as error:  # the kernel's limit of watches or instances
        _log.warning("changed code is not taken up until a restart: %s", error)


async def _changes(places: set[Path], *, is_recursive: bool) -> AsyncIterator[set[Path]]:
    from watchfiles import awatch  # 20 ms, which no start should wait for

    async for found in awatch(*sorted(places), recursive=is_recursive, debounce=400, step=50, watch_filter=None):
        yield {Path(path) for _, path in found}


async def _renew(functions: FunctionService, names: list[str]) -> None:
    for name in names:
        try:
            had_environments = functions.environment_counts(name).total > 0
            functions.reload(name)
            if had_environments:
                await functions.warm(name)
        except ServiceError as error:  # deleted through the API meanwhile
            _log.info("function %s is not reloaded: %s", name, error)
    if names:
        _log.warning("changed code: %s", ", ".join(names))
