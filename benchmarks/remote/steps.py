"""One machine from first to last: look, send, make the environment, measure, fetch. What is done is not done again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.events import Event, Reporter
from ...core.files import sha256_json
from ..measurement import Measurements
from . import trouble
from .connection import Connection, Refused
from .fetch import fetch_results
from .hosts import Host
from .order import Cargo, Order
from .trouble import HostError
from .wheel import base_requirements, download_command, extras_for, install_words, needs_gpu, update_words

#: What an environment with ONNX Runtime, OpenCV and the rest takes, with room for pip's own temporary files.
ENVIRONMENT_BYTES = 900 * 10**6
_ROOM = 50 * 10**6
_BLOCK = 1 << 18
_SYSTEM_PYTHON = "/usr/bin/python3"
_PYTHONS = ("python3", "python3.12", "python3.11", "python3.10", "python3.13")


@dataclass(frozen=True)
class Settings:
    """How machines are reached and used.

    Attributes:
        folder: over there, for everything of ours; ``~`` is the home over there.
        known_hosts: files of known hosts.
        again: measure anew even where a result is there.
        clean: take everything of ours away once the results are here.
    """

    folder: str
    known_hosts: tuple[Path, ...]
    again: bool = False
    clean: bool = False


class Voice:
    """Reports for one machine."""

    def __init__(self, host: Host, report: Reporter) -> None:
        self._host, self._report = host, report
        #: What the benchmark over there said when it failed.
        self.failed: str | None = None

    def note(self, message: str) -> None:
        """Tell something."""
        self._report(Event("note", "remote", {"host": self._host.name, "message": message}))

    def step(self, stage: str, done: float, total: float, unit: str) -> None:
        """Tell how far a stage is."""
        data = {"host": self._host.name, "done": done, "total": total, "unit": unit}
        self._report(Event("step", stage, data))

    def pass_on(self, line: str) -> None:
        """Pass on an event of the benchmark over there; whatever else the line is, it is passed over."""
        try:
            event = json.loads(line)
            kind, stage = event["event"], trouble.plain(event.get("stage", ""), 40)
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
            return
        host = {"host": self._host.name}
        if kind in ("note", "warning") and isinstance(event.get("message"), str):
            self._report(Event(kind, stage, {**host, "message": trouble.plain(event["message"])}))
        elif kind == "failed" and isinstance(event.get("message"), str):
            self.failed = trouble.plain(event["message"])
        elif kind == "step" and all(type(event.get(name)) is int for name in ("done", "total")):
            unit = trouble.plain(event.get("unit", ""), 20)
            self._report(Event("step", stage, {**host, "done": event["done"], "total": event["total"], "unit": unit}))


@dataclass
class Job:
    """One machine's job while it is done."""

    connection: Connection
    order: Order
    settings: Settings
    voice: Voice
    name: str
    facts: dict[str, Any]

    @property
    def host(self) -> Host:
        """The machine."""
        return self.connection.host

    @property
    def place(self) -> dict[str, Any]:
        """What every request names."""
        return {"folder": self.settings.folder, "job": self.name}

    @property
    def sees_system_packages(self) -> bool:
        """Whether the environment sees the system's packages: on a Jetson TensorRT is one of them."""
        own = self.host.system_site_packages
        return self.facts.get("jetson") is not None if own is None else own

    def wheels(self) -> tuple[list[Cargo], str | None]:
        """The wheels that go there, and where they lie."""
        return self.order.wheels_for(str(self.facts.get("machine", "")))

    def environment(self) -> str:
        """The name of the environment: equal for equal requirements."""
        wheels, _ = self.wheels()
        runtimes = self.order.asked.on(self.host).runtimes
        python = [self.facts.get("executable"), self.facts.get("python"), self.sees_system_packages]
        offline = None if self.order.wheels is None else sorted(cargo.sha256 for cargo in wheels)
        requires = base_requirements(self.order.wheel.requires, extras_for(runtimes))
        sensors = self.order.asked.reads_sensors
        return sha256_json([requires, needs_gpu(runtimes), sensors, python, offline])[:16]


async def measure_host(host: Host, order: Order, settings: Settings, target: Path, report: Reporter) -> Measurements:
    """Do all steps on one machine.

    Args:
        host: the machine.
        order: what to measure.
        settings: how.
        target: folder for its results.
        report: hears of the progress.

    Raises:
        HostError: with the sentence for what went wrong; the same call goes on from there.
        TemperError: if the results cannot be written here.
    """
    voice = Voice(host, report)
    connection = await Connection.open(host, settings.known_hosts)
    try:
        job = await _look(connection, order, settings, voice)
        state = job.facts["job"]["state"]
        if state == "finished" and not settings.again:
            voice.note("was measured before; the results are fetched")
        else:
            if state == "running":
                voice.note(f"the benchmark runs there (process {job.facts['job'].get('pid')})")
            else:
                await _prepare(job)
                await _start(job)
            await _follow(job)
        jetson = job.facts.get("jetson")
        measured = await fetch_results(connection, order, job.place, target, jetson and trouble.plain(jetson, 200))
        if settings.clean:
            await connection.ask("cleaning up", do="clean", folder=settings.folder)
            voice.note(f"{job.facts.get('folder')} was taken away")
        return measured
    finally:
        with contextlib.suppress(OSError):
            await connection.close()


async def _look(connection: Connection, order: Order, settings: Settings, voice: Voice) -> Job:
    """Find a Python, and what machine it is."""
    host = connection.host
    # a Jetson's packages are those of the system's Python
    names = [host.python] if host.python else [_SYSTEM_PYTHON if host.system_site_packages else "python3", *_PYTHONS]
    found = await connection.find_python(names)
    fitting = [path for path, version in found if version.rpartition(".")[0] in trouble.PYTHONS]
    if not fitting:
        there = dict.fromkeys(f"{version or 'one that does not run'} ({path})" for path, version in found)
        raise trouble.no_python(host, list(there), host.python)
    connection.python = fitting[0]
    name = order.job(host)
    facts = await connection.ask("looking at the machine", do="probe", folder=settings.folder, job=name)
    if facts.get("jetson") and not host.python and connection.python != _SYSTEM_PYTHON:
        system = await connection.find_python([_SYSTEM_PYTHON])
        if system and system[0][1].rpartition(".")[0] in trouble.PYTHONS:
            connection.python = system[0][0]
            facts = await connection.ask("looking at the machine", do="probe", folder=settings.folder, job=name)
    if facts.get("lacks"):
        raise trouble.no_venv(host, str(facts.get("python")))
    if not isinstance(facts.get("job"), dict):
        raise HostError(
            f"{host.login} gives no answer that can be understood. See what '{trouble.ssh_words(host)}' says."
        )
    if facts["job"].get("state") == "busy":
        raise trouble.refused(host, {"trouble": "busy", "job": facts["job"].get("holder")})
    what = "a Jetson, " if facts.get("jetson") else ""
    free = trouble.size(trouble.number(facts.get("free")))
    voice.note(
        f"{what}{trouble.plain(facts.get('machine'), 20)}, Python {trouble.plain(facts.get('python'), 20)}, {free} free"
    )
    if facts["job"].get("state") in ("died", "failed"):
        voice.note("the benchmark before this one did not come to its end; it is begun anew")
    return Job(connection, order, settings, voice, name, facts)


async def _prepare(job: Job) -> None:
    """Send what is not there, and make the environment."""
    wheels, wheels_place = job.wheels()
    if job.order.wheels is not None and not wheels:
        machine = trouble.plain(job.facts.get("machine"), 20)
        raise HostError(
            f"{job.order.wheels_folder} has no wheel for {machine}, which {job.host.login} is. Fetch some with "
            f"'{_download(job)}'."
        )
    cargo = [*job.order.cargo, *wheels]
    files = [[one.path, one.sha256, one.size] for one in cargo]
    told = await job.connection.ask(
        "comparing files", do="compare", files=files, environment=job.environment(), **job.place
    )
    offered = told.get("missing")
    missing = [
        number
        for number in (offered if isinstance(offered, list) else [])
        if type(number) is int and 0 <= number < len(cargo)
    ]
    to_send = sum(cargo[number].size for number in missing)
    needed = to_send + (0 if told.get("environment") else ENVIRONMENT_BYTES) + _ROOM
    free = trouble.number(told.get("free"), needed)
    if needed > free:
        raise trouble.disk_full(job.host, str(job.facts.get("folder")), free, needed)
    await _send(job, cargo, files, missing, to_send)
    await _make_environment(job, wheels_place)


async def _send(job: Job, cargo: list[Cargo], files: list[Any], missing: list[int], to_send: int) -> None:
    """Send the missing files in one stream; the others are only put in their places."""
    if missing:
        job.voice.note(f"sending {len(missing)} of {len(cargo)} files, {trouble.size(to_send)}")
    doing = "sending files"
    asked = await job.connection.request(doing, do="receive", files=files, missing=missing, **job.place)
    sent = told = 0
    try:
        for number in missing:
            for block in blocks(cargo[number]):
                await asked.write(block)
                sent += len(block)
                if sent - told > to_send / 100 or sent == to_send:
                    told = sent
                    job.voice.step("send", round(sent / 1e6, 1), round(to_send / 1e6, 1), "MB")
    except trouble.CutOffError:
        # a full disk ends the other side first, and it says so
        with contextlib.suppress(trouble.CutOffError):
            while await asked.message() is not None:
                pass
        raise
    while await asked.message() is not None:
        pass


def blocks(cargo: Cargo) -> Iterator[bytes]:
    """The content of a file as it was when it was listed.

    Raises:
        HostError: if it is shorter or longer now.
    """
    if isinstance(cargo.source, bytes):
        yield cargo.source
        return
    left = cargo.size
    try:
        with cargo.source.open("rb") as file:
            while left and (block := file.read(min(_BLOCK, left))):
                left -= len(block)
                yield block
    except OSError as error:
        raise HostError(f"{cargo.source} cannot be read any more: {error.strerror}.") from error
    if left:
        raise HostError(f"{cargo.source} became shorter while it was sent. Give the same command again.")


async def _make_environment(job: Job, wheels_place: str | None) -> None:
    """Make the environment over there, or use the one that stands."""
    order, doing = job.order, "making the environment"
    runtimes = order.asked.on(job.host).runtimes
    wheel = {"path": order.wheel_path}
    links = None if wheels_place is None else {"path": wheels_place}
    asked = await job.connection.request(
        doing,
        do="environment",
        key=job.environment(),
        wheel=order.wheel_path,
        system_site_packages=job.sees_system_packages,
        install=install_words(wheel, links, runtimes, sensors=order.asked.reads_sensors),
        update=update_words(wheel),
        **job.place,
    )
    lines = 0
    try:
        while (message := await asked.message()) is not None:
            if message.get("environment") in ("made", "updated"):
                job.voice.note(f"the environment is {message['environment']}")
            lines += "line" in message
            if "line" in message:
                job.voice.step("environment", lines, 0, "lines of pip")
        if lines:
            job.voice.step("environment", lines, lines, "lines of pip")
    except Refused as refusal:
        told = refusal.message.get("lines")
        said = [str(line) for line in told] if isinstance(told, list) else []
        if refusal.message.get("trouble") == "no_venv":
            raise trouble.no_venv(job.host, str(job.facts.get("python"))) from refusal
        if refusal.message.get("trouble") == "no_install":
            raise trouble.not_installed(job.host, said, _download(job), order.wheels_folder) from refusal
        raise


def _download(job: Job) -> str:
    return download_command(
        job.order.wheel.requires,
        job.order.asked.on(job.host).runtimes,
        sensors=job.order.asked.reads_sensors,
        python=str(job.facts.get("python", "")),
        machine=trouble.plain(job.facts.get("machine"), 20),
        glibc=str(job.facts.get("glibc", "")),
        folder=job.order.wheels_folder,
    )


async def _start(job: Job) -> None:
    """Start the benchmark, apart from this connection."""
    told = await job.connection.ask(
        "starting the benchmark",
        do="start",
        words=job.order.words(job.host),
        environment=job.environment(),
        supervisor=job.order.supervisor,
        **job.place,
    )
    job.voice.note(f"measuring as process {told.get('pid')}, log {trouble.plain(told.get('log'), 300)}")


async def _follow(job: Job) -> None:
    """Pass on what the benchmark says until it ends.

    Raises:
        HostError: if it did not end well.
    """
    asked = await job.connection.request("measuring", do="follow", **job.place)
    told: dict[str, Any] = {}
    while (message := await asked.message()) is not None:
        if isinstance(message.get("line"), str):
            job.voice.pass_on(message["line"])
        told.update(message)
    ended = told.get("ended")
    if not isinstance(ended, dict) or ended.get("code") != 0:
        raise trouble.ended_badly(job.host, ended if isinstance(ended, dict) else None, told, job.voice.failed)
