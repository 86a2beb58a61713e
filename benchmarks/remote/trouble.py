"""What can go wrong with another machine, each with its sentence.

What comes from there is shown without control characters: a terminal obeys them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import TemperError
from .hosts import Host

#: Python that Temper runs on.
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
AGAIN = "The same command goes on from there."
_LONGEST = 600
_NO_NETWORK = re.compile(
    r"Temporary failure in name resolution|Name or service not known|NewConnectionError|Failed to establish|"
    r"Network is unreachable|ConnectTimeout|Connection refused|NameResolutionError|Could not fetch URL",
    re.IGNORECASE,
)
_MISSING = re.compile(r"No matching distribution found for ([^\s;(]+)")


class HostError(TemperError):
    """Something is wrong with one machine; the others are measured all the same."""


class CutOffError(HostError):
    """The connection was lost; what was begun over there goes on."""


def plain(text: object, most: int = _LONGEST) -> str:
    """A text from elsewhere on one line, without what a terminal would obey, and not too long."""
    cleaned = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return cleaned if len(cleaned) <= most else f"{cleaned[:most]}..."


def size(count: float) -> str:
    """Bytes as people say them: 3.2 MB, 1.4 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def number(value: object, otherwise: float = 0.0) -> float:
    """A number from elsewhere; what is none is taken for the other."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def ssh_words(host: Host, program: str = "ssh") -> str:
    """The beginning of a command line for a host: ``ssh -p 2222 user@address``."""
    port = "" if host.port in (None, 22) else f" -p {host.port}"
    return f"{program}{port} {shlex.quote(host.login)}"


def no_key(host: Host) -> HostError:
    """There is nothing to log in with."""
    return HostError(
        f"There is no SSH key to log in at {host.login} with: no agent holds one, and ~/.ssh has none without a "
        "passphrase. Make one with 'ssh-keygen -t ed25519' and take it there with "
        f"'{ssh_words(host, 'ssh-copy-id')}', or name one with --identity."
    )


def unusable_identity(identity: Path, reason: str) -> HostError:
    """The key file named cannot be read."""
    if "passphrase" in reason.lower():
        return HostError(
            f"The key {identity} has a passphrase, which is never asked for here. Give it to the agent with "
            f"'ssh-add {shlex.quote(str(identity))}'."
        )
    return HostError(f"The key {identity} cannot be used: {plain(reason)}. Name another with --identity.")


def key_refused(host: Host) -> HostError:
    """The machine wants another key."""
    return HostError(
        f"{host.login} accepts none of the SSH keys offered. Take yours there with "
        f"'{ssh_words(host, 'ssh-copy-id')}', name another with --identity, or another user in front of the '@'; "
        "passwords are never used."
    )


def unknown_host(host: Host, port: int, known_hosts: Sequence[Path]) -> HostError:
    """No known_hosts has it."""
    scan = f"ssh-keyscan -p {port} {shlex.quote(host.address)}"
    file = shlex.quote(str(known_hosts[0]))
    return HostError(
        f"{host.address} is not in {known_hosts[0]}, so nothing tells it from another machine. Look at the "
        f"fingerprint of its key with '{scan} | ssh-keygen -lf -', compare it with what 'ssh-keygen -lf "
        f"/etc/ssh/ssh_host_ed25519_key.pub' prints on the machine itself, and if they are equal add it with '{scan} "
        f">> {file}'."
    )


def changed_key(host: Host, port: int, known_hosts: Sequence[Path]) -> HostError:
    """Its key is another than the one known."""
    entry = host.address if port == 22 else f"[{host.address}]:{port}"
    return HostError(
        f"The host key of {host.address} is not the one in {known_hosts[0]}: it was installed anew, or another "
        "machine answers in its place. Nothing was sent. If you know that it was installed anew, take the old key "
        f"out with 'ssh-keygen -R {shlex.quote(entry)} -f {shlex.quote(str(known_hosts[0]))}' and add the new one as "
        "for an unknown host."
    )


def no_python(host: Host, found: Sequence[str], asked: str | None) -> HostError:
    """No Python there that fits."""
    wanted = f"Temper needs Python {PYTHONS[0]} to {PYTHONS[-1]}"
    if asked is not None:
        there = f"there it is {plain(found[0], 80)}" if found else "there is no such program"
        return HostError(f"{wanted}; {asked} was asked for on {host.login}, and {there}. Name another with --python.")
    there = f"there is only {', '.join(plain(one, 80) for one in found)}" if found else "there is none"
    return HostError(
        f"{wanted}, and on {host.login} {there}. Install one (on Debian and Ubuntu: sudo apt install python3 "
        "python3-venv) or name one with --python."
    )


def no_venv(host: Host, python: str) -> HostError:
    """Debian's Python without the package that makes environments."""
    short = ".".join(python.split(".")[:2])
    return HostError(
        f"Python {plain(python, 20)} on {host.login} cannot make environments: its venv or ensurepip module is "
        f"missing. Install it there with 'sudo apt install python{plain(short, 10)}-venv' (or python3-venv)."
    )


def disk_full(host: Host, folder: str, free: float, needed: float | None = None) -> HostError:
    """No room for what has to lie there."""
    wants = "" if needed is None else f" About {size(needed)} are needed."
    return HostError(
        f"The disk of {host.login} is full: {size(free)} are free for {plain(folder)}.{wants} Free some there, or "
        "name a folder on another disk with --remote-folder, and give the same command again."
    )


def cut_off(host: Host, doing: str) -> CutOffError:
    """The connection was lost in the middle."""
    goes_on = " The benchmark over there goes on without it." if doing == "measuring" else ""
    return CutOffError(f"The connection to {host.login} was lost while {doing}.{goes_on} {AGAIN}")


def not_installed(host: Host, lines: Sequence[str], download: str, wheels: Path | None) -> HostError:
    """pip could not install; ``download`` is the command that fetches what is needed, ``wheels`` the folder given."""
    text = "\n".join(lines)
    missing = _MISSING.search(text)
    if wheels is not None and missing:
        download = f"{download} {shlex.quote(plain(missing[1], 80))}"
        return HostError(
            f"{wheels} has no wheel of {plain(missing[1], 80)} that fits {host.login}. Fetch it with '{download}', "
            "and give the same command again."
        )
    if wheels is None and (_NO_NETWORK.search(text) or missing):
        return HostError(
            f"{host.login} reaches no package index. Fetch the packages here with '{download}', and give the same "
            "command again with --wheels wheels."
        )
    told = [line for line in lines if line.strip()]
    said = next((line for line in reversed(told) if "error" in line.lower()), told[-1] if told else "nothing")
    return HostError(f"pip could not install Temper on {host.login}; it says: {plain(said)}")


def ended_badly(
    host: Host, ended: Mapping[str, Any] | None, told: Mapping[str, Any], sentence: str | None
) -> HostError:
    """The benchmark ended, and not well.

    Args:
        host: where.
        ended: its exit code and the like; None if nobody was left to write them down.
        told: what the machine says besides: the end of the log, whether it was started anew, free bytes.
        sentence: what the benchmark itself said.
    """
    log = f" Its log is {plain(told.get('log_path', ''))} there."
    if ended is None:
        if told.get("restarted"):
            return HostError(f"{host.login} was switched off or started anew in the middle of the benchmark. {AGAIN}")
        free = number(told.get("free"), 1e12)
        if free < 1e6:
            return disk_full(host, str(told.get("log_path", "")), free)
        return HostError(f"The benchmark on {host.login} was killed.{log} {AGAIN}")
    code, starved = int(number(ended.get("code"), 1)), number(ended.get("oom_kills")) > 0
    memory = (
        " The machine had too little memory: measure fewer pictures at once (--batch), a smaller graph, or end what "
        "else runs there."
    )
    if code < 0:
        killed = f"The benchmark on {host.login} was killed by signal {-code}."
        return HostError(f"{killed}{memory if starved else ''}{log} {AGAIN}")
    said = sentence or _last_error(str(told.get("log", ""))) or f"it ended with exit code {code}"
    return HostError(f"On {host.login}: {plain(said)}{memory if starved else ''}")


def _last_error(log: str) -> str | None:
    """The command line's own sentence in a log."""
    lines = [line for line in log.splitlines() if line.startswith("Error: ")]
    return lines[-1].removeprefix("Error: ") if lines else None


def refused(host: Host, message: Mapping[str, Any]) -> HostError:
    """The sentence for a trouble that the other side has named."""
    path = plain(message.get("path", ""))
    kind = message.get("trouble")
    if kind == "disk_full":
        return disk_full(host, path, number(message.get("free")))
    if kind == "not_allowed":
        return HostError(f"{host.login} may not write {path}. Name a folder that it may with --remote-folder.")
    if kind == "foreign_folder":
        return HostError(
            f"{path} on {host.login} is not Temper's, and holds other things. Name an empty or a new folder with "
            "--remote-folder."
        )
    if kind == "busy":
        return HostError(
            f"Another benchmark or installation is at work on {host.login} ({plain(message.get('job', ''), 40)}), and "
            "two at once disturb each other. Wait for it, then give the same command again."
        )
    if kind == "damaged_on_the_way":
        return HostError(f"{path} changed while it was sent to {host.login}. Give the same command again.")
    if kind == "killed_installing":
        return HostError(
            f"The installation on {host.login} was killed by signal {plain(message.get('signal'), 10)}; often there "
            f"is too little memory. {AGAIN}"
        )
    return HostError(f"{host.login} says: {path}: {plain(message.get('reason', kind))}.")
