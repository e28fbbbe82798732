"""One running instance: ports, services and a template's resources, brought up in order and drained in reverse.

The order: rehearse the template, open the store, bind the ports (URLs are part of what a template resolves to), make
tables (their stream labels are part of it too), resolve again, deploy the rest, answer, start the event sources.
"""

import asyncio
import logging
import os
import secrets
import time
from pathlib import Path
from typing import Any

import orjson

from headwater.deploy.aws_services import background_work
from headwater.deploy.bring_up import bring_up, start_sources
from headwater.deploy.compiled import Compiled
from headwater.deploy.control import ControlApi
from headwater.deploy.deployment import Deployment
from headwater.deploy.fleet import Fleet, FleetProfile
from headwater.deploy.loading import load_template, remember_transform
from headwater.deploy.options import UpOptions
from headwater.deploy.ports import Ports
from headwater.deploy.rehearsal import rehearse
from headwater.deploy.report import count_lines, report_lines
from headwater.errors import HeadwaterError
from headwater.storage.store import Store

_log = logging.getLogger(__name__)
_DRAIN_S = 10.0


class ReadyFileError(HeadwaterError):
    """The ready file cannot be written; the user gives another place."""


class Runtime:
    """An instance from `start` to `stop`; `stop` may be called whatever `start` got to."""

    def __init__(self, options: UpOptions) -> None:
        self.options = options
        self.deployment: Deployment | None = None
        self._store: Store | None = None
        self._ports: Ports | None = None
        self._fleet: Fleet | None = None
        self._background: list[asyncio.Task[Any]] = []
        self._started_at = time.perf_counter()
        self._ready_s = 0.0

    async def start(self) -> None:
        """Bring everything up; returns when all of it answers.

        Raises: TemplateError, DataDirectoryError, AddressError, ReadyFileError.
        """
        options = self.options
        if options.ready_file is not None:
            _forget(options.ready_file)
        loaded = load_template(options.template, options.parameters, options.region, options.data_dir)
        profile = FleetProfile.parse(loaded.fleet) if options.devices else None
        compiled = Compiled()
        (await rehearse(options, loaded, compiled)).faults.raise_found()
        self._store = Store.open(options.data_dir, sync=options.sync)
        # Workers run in their code's folder: what lies in the data directory has to be found from there.
        data_dir = self._store.path.absolute()
        remember_transform(loaded, data_dir)
        secret = _instance_secret(data_dir)
        self._ports = await Ports.bind(options, loaded, data_dir)
        self.deployment = await bring_up(
            options, loaded, self._store, data_dir, self._ports, secret=secret, compiled=compiled
        )
        deployment = self.deployment
        loop = asyncio.get_running_loop()
        self._background = [loop.create_task(work) for work in background_work(deployment)]
        await start_sources(deployment)
        await self._ports.answer(deployment, ControlApi(deployment).handlers())
        if profile is not None and self._ports.mqtt_port is not None:
            self._fleet = Fleet(profile, options.devices, self._ports.local_host, self._ports.mqtt_port)
            self._fleet.start()
        self._write_ready_files(deployment, data_dir)
        self._ready_s = time.perf_counter() - self._started_at

    def report(self) -> str:
        """What `up` prints when it is ready."""
        assert self.deployment is not None, "start has returned"
        assert self._ports is not None, "start has returned"
        return "\n".join(report_lines(self.deployment, self._ports, self._ready_s))

    def counts(self) -> str:
        """What `up` prints of its APIs when it stops; empty if there is nothing."""
        return "\n".join(count_lines(self.deployment)) if self.deployment is not None else ""

    async def stop(self) -> None:
        """Drain: no new work, running invocations end, what is stored stays stored."""
        if self._fleet is not None:
            await self._fleet.stop()
        if self._ports is not None:
            await self._ports.stop_accepting_devices(_DRAIN_S)
        if self.deployment is not None:
            await self.deployment.mappings.stop()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self.deployment is not None:
            await self.deployment.functions.close(grace_s=_DRAIN_S)
        if self._ports is not None:
            await self._ports.stop(_DRAIN_S)
        if self.deployment is not None:
            for api in self.deployment.apis.values():
                await api.realtime.close()
        if self._store is not None:
            if self.options.data_dir is not None:
                (self._store.path / "run.json").unlink(missing_ok=True)
            await self._store.close()

    def _write_ready_files(self, deployment: Deployment, data_dir: Path) -> None:
        assert self._ports is not None, "called by start"
        document = orjson.dumps(self._ports.ready_document(deployment), option=orjson.OPT_INDENT_2)
        targets = [data_dir / "run.json"]
        if self.options.ready_file is not None:
            targets.append(self.options.ready_file)
        for target in targets:
            write_private(target, document)


def _forget(ready_file: Path) -> None:
    """Remove what an earlier start wrote, so that the file is there when this one is ready, and not before.

    Raises: ReadyFileError for a place that cannot be written.
    """
    try:
        ready_file.parent.mkdir(parents=True, exist_ok=True)
        ready_file.unlink(missing_ok=True)
        # Not the ready file itself: who waits for it would read an empty one.
        probe = ready_file.with_name(f".{ready_file.name}.{os.getpid()}")
        probe.touch(0o600)
        probe.unlink()
    except OSError as error:
        raise ReadyFileError(f"cannot write --ready-file {ready_file}: {error.strerror}") from error


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    temporary.replace(path)


def _instance_secret(data_dir: Path) -> str:
    """The random text that API keys of this data directory are derived from."""
    path = data_dir / "secret"
    try:
        return path.read_text()
    except FileNotFoundError:
        secret = secrets.token_urlsafe(32)
        write_private(path, secret.encode())
        return secret
