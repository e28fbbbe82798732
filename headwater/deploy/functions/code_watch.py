"""Functions take up changed code: their environments are renewed when a file of theirs is written."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterable
from pathlib import Path

from headwater.errors import ServiceError
from headwater.functions.code_files import is_code, is_skipped
from headwater.functions.config import FunctionConfig
from headwater.functions.service import FunctionService

_log = logging.getLogger(__name__)
# How often the watching thread looks up, which is what an idle runtime pays for it.
_STEP_MS = 150


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
    whole = {root for root in roots if not any(_is_skipped(child, own) for child in root.iterdir())}
    # A repository's root holds large folders that are no code: there its other folders are watched, and its files.
    mixed = roots - whole
    folders = {child for root in mixed for child in root.iterdir() if child.is_dir() and not _is_skipped(child, own)}
    watches = []
    if whole | folders:
        watches.append(_watch(functions, whole | folders, is_recursive=True))
    if mixed:
        watches.append(_watch(functions, mixed, is_recursive=False))
    await asyncio.gather(*watches)


def _is_skipped(path: Path, own: Path) -> bool:
    return path.is_dir() and (is_skipped(path.name) or path == own)


async def _watch(functions: FunctionService, places: set[Path], *, is_recursive: bool) -> None:
    changes = _Changes(places, is_recursive=is_recursive)
    try:
        while True:
            found = await changes.next()
            await _renew(functions, changed_functions(found, functions.functions()))
    except (OSError, RuntimeError) as error:  # the kernel's limit of watches or instances
        _log.warning("changed code is not taken up until a restart: %s", error)
    finally:
        changes.stop()


class _Changes:
    """Paths that change, told by a thread: importing and arming the watch takes 70 ms that no start waits for."""

    def __init__(self, places: set[Path], *, is_recursive: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._found: set[Path] = set()
        self._fault: BaseException | None = None
        self._arrived = asyncio.Event()
        self._stopping = threading.Event()
        arguments = (sorted(places), is_recursive)
        threading.Thread(target=self._run, args=arguments, name="code-watch", daemon=True).start()

    async def next(self) -> set[Path]:
        """Raises: OSError, RuntimeError when the files can't be watched."""
        await self._arrived.wait()
        self._arrived.clear()
        if self._fault is not None:
            raise self._fault
        found, self._found = self._found, set()
        return found

    def stop(self) -> None:
        self._stopping.set()

    def _run(self, places: list[Path], is_recursive: bool) -> None:
        from watchfiles import watch

        fault: BaseException | None = None
        try:
            for changed in watch(
                *places,
                recursive=is_recursive,
                debounce=400,
                step=_STEP_MS,
                watch_filter=None,
                stop_event=self._stopping,
            ):
                self._tell({Path(path) for _, path in changed}, None)
        except (OSError, RuntimeError) as error:
            fault = error
        if fault is not None:
            self._tell(set(), fault)

    def _tell(self, found: set[Path], fault: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._take, found, fault)

    def _take(self, found: set[Path], fault: BaseException | None) -> None:
        self._found |= found
        self._fault = fault
        self._arrived.set()


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
