"""Which machines to measure on: from words on the command line, or a file of hosts."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from ...core.errors import UsageError, nearest
from ...core.settings.file import SettingsSource
from ...core.settings.section import Section, each_once

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$"
_HOST = re.compile(
    r"(?:(?P<user>[^@:\[\]\s]+)@)?(?:\[(?P<v6>[:.%\w]+)\]|(?P<address>[^@:\[\]\s]+))(?::(?P<port>[0-9]{1,5}))?"
)
_MOST_PORT = 65535


@dataclass(frozen=True)
class Host:
    """One machine, and what is particular to it.

    Attributes:
        name: how results and messages call it; the name of its folder.
        address: of the machine: a name that can be resolved, an IP address, or a name in ``~/.ssh/config``.
        user: to log in as; None lets the SSH configuration, or else the local user's name, decide.
        port: of its SSH server; None lets the SSH configuration decide, or else 22.
        identity: file of the private key; None takes the agent's and the usual ones.
        python: of the machine, to make the environment with; None looks for one that fits.
        system_site_packages: whether the environment sees the system's packages; None does on a Jetson.
        device: its key in the table of devices, by which plans and estimates know it.
        runtimes: to measure on, instead of those asked for.
        precisions: likewise.
        batches: likewise, pictures per call.
    """

    name: str
    address: str
    user: str | None = None
    port: int | None = None
    identity: Path | None = None
    python: str | None = None
    system_site_packages: bool | None = None
    device: str | None = None
    runtimes: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()

    @property
    def login(self) -> str:
        """How ``ssh`` calls it: ``user@address``."""
        return self.address if self.user is None else f"{self.user}@{self.address}"


class HostSection(Section):
    """One machine of a file of hosts."""

    name: Annotated[str, Field(pattern=_NAME)] = Field(description="how results and messages call it")
    address: str = Field(min_length=1, max_length=255, description="a name, an IP address, or a name in ~/.ssh/config")
    user: str | None = Field(None, min_length=1, max_length=64, description="to log in as")
    port: int | None = Field(None, ge=1, le=_MOST_PORT, description="of its SSH server")
    identity: str | None = Field(None, description="file of the private key")
    python: str | None = Field(None, min_length=1, description="to make the environment with")
    system_site_packages: bool | None = Field(None, description="whether the environment sees the system's packages")
    device: Annotated[str, Field(pattern=_NAME)] | None = Field(None, description="its key in the table of devices")
    runtimes: tuple[str, ...] = Field((), description="to measure on, instead of those asked for")
    precisions: tuple[str, ...] = Field((), description="likewise")
    batches: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field((), description="likewise, pictures per call")

    _once = field_validator("runtimes", "precisions", "batches")(each_once)

    @field_validator("address", "user")
    @classmethod
    def _plain(cls, value: str | None) -> str | None:
        if value is not None and (value.startswith("-") or not re.fullmatch(r"[^@\s\[\]]+", value)):
            raise ValueError("it is no address or user: leave out spaces, brackets, '@' and a '-' in front")
        return value

    def host(self) -> Host:
        """The machine it describes."""
        values = self.model_dump()
        return Host(**{**values, "identity": None if self.identity is None else Path(self.identity)})


class HostsFile(Section):
    """A file of hosts."""

    hosts: tuple[HostSection, ...] = Field(min_length=1, description="the machines")

    @field_validator("hosts")
    @classmethod
    def _told_apart(cls, hosts: tuple[HostSection, ...]) -> tuple[HostSection, ...]:
        each_once(tuple(host.name for host in hosts))
        return hosts


def parse_host(text: str) -> Host:
    """A machine from ``user@host[:port]``; an IPv6 address with a port stands in brackets.

    Raises:
        UsageError: if it is not of that form.
    """
    found = _HOST.fullmatch(text)
    bare_v6 = re.fullmatch(r"(?:([^@:\[\]\s]+)@)?([0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*)", text)
    user, address, port = None, "", None
    if bare_v6:
        user, address = bare_v6.groups()
    elif found:
        user, address = found["user"], found["v6"] or found["address"]
        port = int(found["port"]) if found["port"] else None
    wrong_port = port is not None and not 1 <= port <= _MOST_PORT
    if not address or address.startswith("-") or (user or "").startswith("-") or wrong_port or len(text) > 400:
        raise UsageError(f"'{text}' is no host: write user@host or user@host:port, for example nvidia@192.168.1.20:22.")
    return Host(_folder_name(address), address, user, port)


def _folder_name(address: str) -> str:
    """A name for a folder, of letters, digits, '.', '_' and '-'."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", address).lstrip(".-_")[:61]
    return name or "host"


def read_hosts(path: Path, environment: Mapping[str, str] | None = None) -> list[Host]:
    """The machines of a file of hosts.

    Args:
        path: a YAML file.
        environment: what ``${VAR}`` stands for in ``identity``; the process's environment if None.

    Raises:
        UsageError: naming every mistake, one a line: the field, its line, its value, and what is accepted.
    """
    source = SettingsSource.read(path, "file of hosts", " 'docs/how-to/bench-remote.md' shows one.")
    listed = source.values.get("hosts")
    places = range(len(listed)) if isinstance(listed, list) else ()
    fields = [("hosts", str(place), "identity") for place in places]
    mistakes = source.expand_paths(fields, dict(os.environ) if environment is None else environment)
    return [section.host() for section in source.checked(HostsFile, mistakes).hosts]


def choose_hosts(words: Sequence[str], known: Sequence[Host]) -> list[Host]:
    """The machines asked for, each with a name of its own.

    Args:
        words: names in the file of hosts, or addresses; none given means all of the file.
        known: the machines of the file of hosts; empty if there is none.

    Raises:
        UsageError: if there is none, one is asked for twice, or a word is neither.
    """
    by_name = {host.name: host for host in known}
    chosen = [_one(word, by_name) for word in words] if words else list(known)
    if not chosen:
        raise UsageError(
            "There is no machine to measure on. Name one, for example nvidia@192.168.1.20, or give --hosts."
        )
    twice = [
        login for login, count in Counter((host.address, host.port, host.user) for host in chosen).items() if count > 1
    ]
    if twice:
        raise UsageError(
            f"{twice[0][0]} is asked for twice, and what it measures would lie in one place. Leave one out."
        )
    return _named_apart(chosen)


def _one(word: str, by_name: Mapping[str, Host]) -> Host:
    if word in by_name:
        return by_name[word]
    # a misspelt name would be taken for an address, and answered by whoever resolves it
    if by_name and "@" not in word and ":" not in word and "." not in word:
        raise UsageError(f"There is no host '{word}' in the file of hosts.{nearest(word, by_name)}")
    return parse_host(word)


def _named_apart(hosts: Iterable[Host]) -> list[Host]:
    """The same machines; those of one name get the port, the user or a number behind it."""
    named: list[Host] = []
    taken: set[str] = set()
    for host in hosts:
        tries = [host.name]
        if host.port is not None:
            tries.append(f"{host.name[:54]}-{host.port}")
        if host.user is not None:
            tries.append(f"{_folder_name(host.user)[:20]}-{host.name[:40]}")
        tries += [f"{host.name[:56]}-{number}" for number in range(2, len(taken) + 3)]
        name = next(one for one in tries if one not in taken)
        taken.add(name)
        named.append(replace(host, name=name))
    return named
