"""What runs on the other machine: the standard library alone, of Python 3.10 or newer.

Nothing of Temper is there yet when it is needed, so :mod:`.connection` sends the text of this file and of
``far_folder.py`` before every request and calls :func:`answer`. A request comes as one line of JSON on standard input,
what it carries follows it; answers go to standard output, one line of JSON each behind a mark, for a login that greets
its users prints there too. No path, name or option is ever part of a shell's command.

Below the folder lie ``files/`` (what was sent, by SHA-256), the trees linked from it (``bundles/``, ``data/`` and
others), ``environments/`` and ``jobs/``. ``lock`` is held as long as a benchmark runs, by the process that runs it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from .far_folder import (
    BLOCK,
    OURS,
    Refusal,
    digest,
    free_bytes,
    holder,
    inside,
    own_folder,
    place_file,
    read_json,
    regular_files,
    say,
    stored_file,
    take_lock,
    write_json,
)

Request = dict[str, Any]

TREES = ("files", "bundles", "data", "wheel", "wheels", "keys", "programs", "environments", "jobs")
JETSON = Path("/etc/nv_tegra_release")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Seconds between two signs of life, and between two looks at what the benchmark has written.
_ALIVE, _LOOK = 5.0, 0.4
_LOG_TAIL = 4000
_LONGEST_LINE = 1 << 16
_EVENTS, _LOG, _EXIT, _JOB, _OUT = "events.jsonl", "run.log", "exit.json", "job.json", "out"


def answer(request: Request, stdin: BinaryIO) -> None:
    """Do what is asked; the last answer says ``done``, or names the trouble."""
    folder = Path(os.path.expanduser(request["folder"]))
    try:
        OPERATIONS[request["do"]](folder, request, stdin)
        say(done=True)
    except Refusal as refusal:
        say(trouble=refusal.kind, **refusal.data)
    except BrokenPipeError:  # nobody listens any more
        sys.stdout = open(os.devnull, "w", encoding="ascii")  # noqa: SIM115  # else the interpreter tries again at its end
    except OSError as error:
        path = str(error.filename or folder)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            say(trouble="disk_full", path=path, free=free_bytes(folder))
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            say(trouble="not_allowed", path=path)
        else:
            say(trouble="system", path=path, reason=str(error.strerror or error))


def probe(folder: Path, request: Request, _: BinaryIO) -> None:
    """Tell what machine this is, and what stands in the folder."""
    jetson = JETSON.read_text(encoding="utf-8", errors="replace").strip()[:200] if JETSON.is_file() else None
    say(
        python=platform.python_version(),
        executable=sys.executable,
        machine=platform.machine(),
        glibc=platform.libc_ver()[1],
        jetson=jetson,
        free=free_bytes(folder),
        folder=str(folder),
        lacks=[name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None],
        job=job_state(folder, request["job"]),
    )


def job_state(folder: Path, job: str) -> dict[str, Any]:
    """How a job stands: ``none``, ``running``, ``finished``, ``failed`` or ``died``; ``busy`` if another runs."""
    at_work = holder(folder)
    place = folder / "jobs" / job
    if at_work is not None:
        pid = (read_json(place / _JOB) or {}).get("pid")
        return {"state": "running" if at_work == job else "busy", "pid": pid, "holder": at_work}
    ended, begun = read_json(place / _EXIT), read_json(place / _JOB)
    if ended is not None:
        return {"state": "finished" if ended["code"] == 0 else "failed"}
    return {"state": "none" if begun is None else "died"}


def compare(folder: Path, request: Request, _: BinaryIO) -> None:
    """Tell which files are not there, by their place in the list; ``files`` has [path, SHA-256, size] of each."""
    own_folder(folder)
    missing, told = [], time.monotonic()
    for number, (_path, sha256, size) in enumerate(request["files"]):
        stored = stored_file(folder, sha256)
        if not (stored.is_file() and stored.stat().st_size == size and digest(stored) == sha256):
            missing.append(number)
        if time.monotonic() - told > _ALIVE:
            told = time.monotonic()
            say(alive=True)
    environment = folder / "environments" / request["environment"]
    say(missing=missing, free=free_bytes(folder), environment=read_json(environment / "temper.json") is not None)


def receive(folder: Path, request: Request, stdin: BinaryIO) -> None:
    """Take the missing files from standard input, then link all of them to where they belong."""
    own_folder(folder)
    received, told = 0, time.monotonic()
    for number in request["missing"]:
        path, sha256, size = request["files"][number]
        target = stored_file(folder, sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{sha256}.{os.getpid()}.partial")
        found, left = hashlib.sha256(), size
        try:
            with partial.open("wb") as file:
                while left and (block := stdin.read(min(BLOCK, left))):
                    file.write(block)
                    found.update(block)
                    left -= len(block)
                    received += len(block)
                    if time.monotonic() - told > _LOOK:
                        told = time.monotonic()
                        say(received=received)
            # not flushed to the disk one by one, which takes long on a card: what a power cut spoils 'compare' finds
            if left or found.hexdigest() != sha256:
                raise Refusal("damaged_on_the_way", path=path)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    for path, sha256, _size in request["files"]:
        place_file(stored_file(folder, sha256), inside(folder, path))
    say(received=received)


def environment(folder: Path, request: Request, _: BinaryIO) -> None:
    """Make the environment, or bring Temper in it up to date, or leave it as it stands."""
    own_folder(folder)
    handle = take_lock(folder, "installing")
    target = folder / "environments" / request["key"]
    record = target / "temper.json"
    stands = read_json(record)
    if stands is not None and stands["wheel"] == request["wheel"]:
        say(environment="reused")
    elif stands is not None:
        say(environment="updated")
        record.unlink()  # what is interrupted from here on is made anew
        for words in request["update"]:
            command(folder, target, words)
        write_json(record, {"wheel": request["wheel"]})
    else:
        say(environment="made")
        shutil.rmtree(target, ignore_errors=True)
        site = ["--system-site-packages"] if request["system_site_packages"] else []
        checked_output([sys.executable, "-m", "venv", *site, str(target)], "no_venv", folder)
        for words in request["install"]:
            command(folder, target, words)
        write_json(record, {"wheel": request["wheel"]})
    os.close(handle)


def command(folder: Path, target: Path, words: list[Any]) -> None:
    """Run the environment's Python with these words; ``{"path": ..., "more": ...}`` is a path below the folder."""
    checked_output([str(target / "bin" / "python"), *expanded(folder, words)], "no_install", folder)


def expanded(folder: Path, words: list[Any]) -> list[str]:
    """Words with every path below the folder made whole."""
    return [w if isinstance(w, str) else f"{inside(folder, w['path'])}{w.get('more', '')}" for w in words]


def checked_output(words: list[str], trouble: str, folder: Path) -> None:
    """Run a program, tell its lines, and refuse with its last ones if it fails."""
    lines: list[str] = []
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_environment()
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                text = line.decode(errors="replace").strip()
                lines = [*lines[-60:], text]
                say(line=text[:300])
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        full = any("No space left on device" in line for line in lines)
        kind = "disk_full" if full else "killed_installing" if process.returncode < 0 else trouble
        raise Refusal(kind, lines=lines, path=str(folder), free=free_bytes(folder), signal=-process.returncode)


def clean_environment() -> dict[str, str]:
    """This process's environment without what would lead Python to other packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {
        **kept, "PYTHONNOUSERSITE": "1", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_REQUIRE_VIRTUALENV": "0", "TEMPER_HISTORY": "none",
    }  # fmt: skip


def start(folder: Path, request: Request, _: BinaryIO) -> None:
    """Start the benchmark in a session of its own, which holds the lock and outlives this connection."""
    own_folder(folder)
    handle = take_lock(folder, request["job"])
    job = folder / "jobs" / request["job"]
    job.mkdir(parents=True, exist_ok=True)
    for name in (_EXIT, _EVENTS, _LOG, _JOB):
        (job / name).unlink(missing_ok=True)
    shutil.rmtree(job / _OUT, ignore_errors=True)
    python = str(folder / "environments" / request["environment"] / "bin" / "python")
    words = [python, *expanded(folder, request["words"]), "--out", str(job / _OUT)]
    (job / _EVENTS).touch()
    boot = BOOT_ID.read_text(encoding="ascii").strip() if BOOT_ID.exists() else ""
    write_json(job / _JOB, {"words": words, "boot": boot})
    with (job / _LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", str(inside(folder, request["supervisor"])), str(job), str(handle)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=clean_environment(),
            start_new_session=True,
            pass_fds=(handle,),
        )
    write_json(job / _JOB, {"words": words, "boot": boot, "pid": process.pid})
    process.returncode = 0  # it is not waited for
    say(pid=process.pid, log=str(job / _LOG))


def follow(folder: Path, request: Request, _: BinaryIO) -> None:
    """Pass on what the benchmark writes until it ends, then how it ended."""
    job = folder / "jobs" / request["job"]
    told, rest = time.monotonic(), b""
    while holder(folder) == request["job"] and not (job / _EVENTS).exists():  # another has just begun it
        time.sleep(_LOOK)
    with (job / _EVENTS).open("rb") as events:
        while True:
            running = holder(folder) == request["job"]  # before the look: what is written up to here is seen
            while block := events.read(BLOCK):
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    say(line=line[:_LONGEST_LINE].decode(errors="replace"))
                rest = rest[:_LONGEST_LINE]
            if not running:
                break
            if time.monotonic() - told > _ALIVE:
                told = time.monotonic()
                say(alive=True)
            time.sleep(_LOOK)
    log = (job / _LOG).read_bytes()[-_LOG_TAIL:].decode(errors="replace") if (job / _LOG).exists() else ""
    boot = BOOT_ID.read_text(encoding="ascii").strip() if BOOT_ID.exists() else ""
    restarted = (read_json(job / _JOB) or {}).get("boot", boot) != boot
    say(ended=read_json(job / _EXIT), log=log, restarted=restarted, free=free_bytes(folder), log_path=str(job / _LOG))


def fetch(folder: Path, request: Request, _: BinaryIO) -> None:
    """Give the results: first the list, then their bytes in its order."""
    out = folder / "jobs" / request["job"] / _OUT
    files = list(regular_files(out))
    say(files=[[path.relative_to(out).as_posix(), digest(path), path.stat().st_size] for path in files])
    for path in files:
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer, BLOCK)
    sys.stdout.buffer.flush()


def clean(folder: Path, _: Request, __: BinaryIO) -> None:
    """Take away everything of ours; what else lies in the folder stays, and so does the folder then."""
    if not folder.exists():
        return
    if not (folder / OURS).exists():
        raise Refusal("foreign_folder", path=str(folder))
    handle = take_lock(folder, "clean")
    for name in TREES:
        path = folder / name
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
    for name in ("lock", OURS):
        (folder / name).unlink(missing_ok=True)
    os.close(handle)
    with contextlib.suppress(OSError):  # somebody else's things are in it
        folder.rmdir()


OPERATIONS: dict[str, Callable[[Path, Request, BinaryIO], None]] = {
    "probe": probe, "compare": compare, "receive": receive, "environment": environment,
    "start": start, "follow": follow, "fetch": fetch, "clean": clean,
}  # fmt: skip
