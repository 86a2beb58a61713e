"""A connection to another machine, by keys and known hosts alone, and requests over it."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...core.errors import MissingDependencyError, install_hint
from . import trouble
from .hosts import Host
from .trouble import HostError

if TYPE_CHECKING:
    import asyncssh

#: Seconds until a machine that does not answer is given up, and between two signs of life on a connection.
CONNECT_SECONDS, LOGIN_SECONDS, KEEPALIVE_SECONDS, KEEPALIVES, CLOSE_SECONDS = 15, 30, 10, 3, 5
MARK = b"@temper "
#: Longer lines are not ours.
_LONGEST_LINE = 64 << 20
#: The modules of the program that is sent, each after those it imports.
FAR_MODULES = ("far_folder", "far_side")
# makes a package of them and asks the last; what it is asked comes behind, so that nothing of a user's is in a shell's
# command. On one line for the shells that know no others.
BOOTSTRAP = "exec({!r})".format(
    """import json, sys, types
stdin, package = sys.stdin.buffer, types.ModuleType("temper_far")
package.__path__ = []
sys.modules["temper_far"] = package
for name, text in json.loads(stdin.readline()):
    module = types.ModuleType("temper_far." + name)
    module.__package__ = "temper_far"
    sys.modules[module.__name__] = module
    exec(compile(text, name, "exec"), module.__dict__)
module.answer(json.loads(stdin.readline()), stdin)
"""
)
# tells of every Python that there is: its path, a tab, its version
_FIND_PYTHON = r"""
for name in "$@"; do
    case $name in "~/"*) name=$HOME/${name#"~/"} ;; esac
    found=$(command -v -- "$name") || continue
    version=$("$found" -I -c 'import platform; print(platform.python_version())' 2>/dev/null)
    printf '@temper %s\t%s\n' "$found" "$version"
done
"""


def library() -> Any:
    """The SSH library.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    try:
        import asyncssh
    except ImportError as error:
        raise MissingDependencyError(
            "Measuring on other machines needs asyncssh, which is not installed. " + install_hint("remote")
        ) from error
    return asyncssh


def usual_known_hosts() -> list[Path]:
    """The files of known hosts that ``ssh`` itself reads."""
    return [Path("~/.ssh/known_hosts").expanduser(), Path("/etc/ssh/ssh_known_hosts")]


def far_program() -> bytes:
    """What is sent before every request: a line of JSON with the modules' names and texts."""
    modules = [[name, Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")] for name in FAR_MODULES]
    return json.dumps(modules).encode("ascii") + b"\n"


class Connection:
    """An open connection to one machine.

    Attributes:
        host: the machine.
        python: the path of its Python, once one was chosen.
    """

    def __init__(self, host: Host, connection: asyncssh.SSHClientConnection) -> None:
        self.host = host
        self.python = ""
        self._connection = connection
        self._program = far_program()

    @classmethod
    async def open(cls, host: Host, known_hosts: Sequence[Path]) -> Connection:
        """Log in.

        Args:
            host: the machine.
            known_hosts: files of known hosts; those that are not there are passed over. Never empty.

        Raises:
            HostError: with the sentence for what is wrong.
            MissingDependencyError: if the SSH library is not installed.
        """
        asyncssh = library()
        matched = _Matched(asyncssh, known_hosts)
        try:
            options = await _options(asyncssh, host, matched)
        except (OSError, ValueError) as error:
            if host.identity is not None and not isinstance(error, asyncssh.ConfigParseError):
                raise trouble.unusable_identity(host.identity, _reason(error)) from error
            raise HostError(f"The SSH configuration for {host.login} cannot be used: {_reason(error)}.") from error
        if not options.client_keys and not await _agent_has_keys(asyncssh, options.agent_path):
            if host.identity is not None:
                raise trouble.unusable_identity(host.identity, _passphrase(asyncssh, host.identity))
            raise trouble.no_key(host)
        port, found = int(options.port), replace(host, address=str(options.host))
        try:
            connection = await asyncssh.connect(options.host, options.port, config=None, options=options)
        except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
            if matched.known is False:
                raise trouble.unknown_host(found, port, known_hosts) from error
            if isinstance(error, asyncssh.HostKeyNotVerifiable) or "host key" in str(error).lower():
                raise trouble.changed_key(found, port, known_hosts) from error
            raise HostError(
                f"{host.login} and this machine have no way to encrypt in common: {_reason(error)}."
            ) from error
        except asyncssh.PermissionDenied as error:
            raise trouble.key_refused(host) from error
        except (OSError, asyncssh.Error, asyncio.TimeoutError) as error:
            if matched.known and await _has_another_key(asyncssh, options, matched):
                raise trouble.changed_key(found, port, known_hosts) from error
            raise HostError(_unreachable(found, port, error)) from error
        return cls(host, connection)

    async def close(self) -> None:
        """End the connection; what was started over there goes on."""
        self._connection.close()
        try:
            await asyncio.wait_for(self._connection.wait_closed(), CLOSE_SECONDS)
        except (OSError, asyncio.TimeoutError):  # there is nobody to say goodbye to
            self._connection.abort()

    async def find_python(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """The Pythons of these names or paths that are there: path and version (empty if it does not run)."""
        words = shlex.join(["sh", "-c", _FIND_PYTHON, "sh", *names])
        asyncssh = library()
        try:
            done = await self._connection.run(words, encoding=None, stdin=asyncssh.DEVNULL, request_pty=False)
        except (OSError, asyncssh.Error) as error:
            raise trouble.cut_off(self.host, "looking for Python") from error
        lines = [
            line for line in cast("bytes", done.stdout or b"").splitlines() if line.startswith(MARK) and b"\t" in line
        ]
        found = (line.removeprefix(MARK).decode(errors="replace").split("\t", 1) for line in lines)
        return [(path, version.strip()) for path, version in found]

    async def request(self, doing: str, **request: Any) -> Request:
        """Ask something of the other side.

        Args:
            doing: what it is, for the sentence about a lost connection: "measuring".
            request: ``do`` names the operation; see :mod:`.far_side`.
        """
        asyncssh = library()
        words = shlex.join([self.python, "-I", "-c", BOOTSTRAP])
        text = json.dumps(request).encode("ascii")
        try:
            process = await self._connection.create_process(words, encoding=None, request_pty=False)
            process.stdin.write(self._program + text + b"\n")
            await process.stdin.drain()
        except (OSError, asyncssh.Error) as error:
            raise trouble.cut_off(self.host, doing) from error
        return Request(self.host, doing, process)

    async def ask(self, doing: str, **request: Any) -> dict[str, Any]:
        """Ask something that is answered in a few words; gives them together."""
        told: dict[str, Any] = {}
        asked = await self.request(doing, **request)
        while (message := await asked.message()) is not None:
            told.update(message)
        return told


class Request:
    """One request on its way: what it carries is written, what comes back is read."""

    def __init__(self, host: Host, doing: str, process: asyncssh.SSHClientProcess[bytes]) -> None:
        self.host, self.doing = host, doing
        self._process = process

    async def write(self, content: bytes) -> None:
        """Send some bytes behind the request."""
        asyncssh = library()
        try:
            self._process.stdin.write(content)
            await self._process.stdin.drain()
        except (OSError, asyncssh.Error) as error:
            raise trouble.cut_off(self.host, self.doing) from error

    async def message(self) -> dict[str, Any] | None:
        """The next answer; None after the last.

        Raises:
            HostError: if the other side names a trouble, or ends without a last answer.
            CutOffError: if the connection is lost.
        """
        while line := await self._line():
            if line.startswith(MARK):  # else a greeting of the login
                message = _parsed(line)
                if "trouble" in message:
                    raise Refused(self.host, message)
                return None if message.get("done") else message
        raise await self._ended()

    async def read(self, count: int) -> bytes:
        """Some of the bytes that come behind an answer, at least one and at most ``count``."""
        asyncssh = library()
        try:
            content = bytes(await self._process.stdout.read(count))
        except (OSError, asyncssh.Error) as error:
            raise trouble.cut_off(self.host, self.doing) from error
        if not content:
            raise await self._ended()
        return content

    async def _line(self) -> bytes:
        asyncssh = library()
        try:
            return bytes(await self._process.stdout.readuntil(b"\n"))
        except asyncio.IncompleteReadError as error:
            return error.partial if error.partial.startswith(MARK) and error.partial.endswith(b"\n") else b""
        except (OSError, asyncssh.Error) as error:
            raise trouble.cut_off(self.host, self.doing) from error

    async def _ended(self) -> HostError:
        """Why there is no answer any more."""
        asyncssh = library()
        try:
            await asyncio.wait_for(self._process.wait_closed(), 5)
            said = bytes(await self._process.stderr.read(4000)).decode(errors="replace")
        except (OSError, asyncssh.Error, asyncio.TimeoutError):
            return trouble.cut_off(self.host, self.doing)
        code, by = self._process.exit_status, self._process.exit_signal
        if by is not None or code is None or code < 0:
            return trouble.cut_off(self.host, self.doing)
        lines = [line for line in said.splitlines() if line.strip()]
        return HostError(
            f"{self.host.login} ended with exit code {code} while {self.doing}"
            f"{': ' + trouble.plain(lines[-1]) if lines else ''}."
        )


class Refused(HostError):
    """The other side has named a trouble; ``message`` is what it said."""

    def __init__(self, host: Host, message: Mapping[str, Any]) -> None:
        super().__init__(str(trouble.refused(host, message)))
        self.message = message


class _Matched:
    """Looks a machine up in the files of known hosts, and remembers whether it was there."""

    def __init__(self, asyncssh: Any, files: Sequence[Path]) -> None:
        self.known: bool | None = None
        self.keys: list[Any] = []
        there = [str(file) for file in files if file.is_file() and os.access(file, os.R_OK)]
        try:
            self._hosts = asyncssh.read_known_hosts(there)
        except (OSError, ValueError) as error:
            raise HostError(f"The known hosts in {', '.join(there)} cannot be read: {_reason(error)}.") from error

    def __call__(self, host: str, address: str, port: int | None) -> tuple[Any, Any, Any]:
        keys, authorities, revoked = self._hosts.match(host, address, port)[:3]
        if port is not None and not (keys or authorities or revoked):
            keys, authorities, revoked = self._hosts.match(host, address, None)[:3]
        self.known = bool(keys or authorities or revoked)
        self.keys = list(keys)
        return list(keys), list(authorities), list(revoked)


async def _options(asyncssh: Any, host: Host, matched: _Matched) -> Any:
    given: dict[str, Any] = {}
    if host.user is not None:
        given["username"] = host.user
    if host.port is not None:
        given["port"] = host.port
    if host.identity is not None:
        given["client_keys"] = [str(host.identity)]
    return await asyncssh.SSHClientConnectionOptions.construct(
        host=host.address,
        known_hosts=matched,
        ignore_encrypted=True,
        password_auth=False,
        kbdint_auth=False,
        host_based_auth=False,
        gss_auth=False,
        gss_kex=False,
        agent_forwarding=False,
        x11_forwarding=False,
        connect_timeout=CONNECT_SECONDS,
        login_timeout=LOGIN_SECONDS,
        keepalive_interval=KEEPALIVE_SECONDS,
        keepalive_count_max=KEEPALIVES,
        **given,
    )


async def _has_another_key(asyncssh: Any, options: Any, matched: _Matched) -> bool:
    """Whether a machine that is known, and ended the talk about keys, has but keys of other kinds than are known."""
    if not matched.keys:
        return False
    try:
        found = await asyncssh.get_server_host_key(
            options.host, options.port, config=None, options=options, server_host_key_algs="default"
        )
    except (OSError, ValueError, asyncssh.Error, asyncio.TimeoutError):
        return False
    return found is not None and found not in matched.keys


async def _agent_has_keys(asyncssh: Any, path: str | None) -> bool:
    if not path:
        return False
    try:
        async with asyncssh.connect_agent(path) as agent:
            return bool(await agent.get_keys())
    except (OSError, ValueError, asyncssh.Error):
        return False


def _passphrase(asyncssh: Any, identity: Path) -> str:
    """Why a key file gives no key."""
    try:
        asyncssh.read_private_key(str(identity))
    except (OSError, ValueError) as error:
        return _reason(error)
    return "it holds no key"


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return trouble.plain(text or type(error).__name__).rstrip(".")


def _unreachable(host: Host, port: int, error: BaseException) -> str:
    where = f"{host.address}, port {port}"
    if isinstance(error, socket.gaierror):
        return (
            f"There is no machine of the name {host.address}: {_reason(error)}. Check the address, or give its number."
        )
    if isinstance(error, ConnectionRefusedError):
        return f"Nobody listens at {where}. Check the port, and that an SSH server runs there ('systemctl status ssh')."
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return (
            f"{where} has not answered within {CONNECT_SECONDS} s. Check that it is switched on, the address, and the "
            "firewalls on the way."
        )
    if isinstance(error, OSError):
        return f"{where} cannot be reached: {_reason(error)}. Check that it is switched on, and the network."
    return f"SSH to {where} failed: {_reason(error)}. See what '{trouble.ssh_words(host, 'ssh -v')}' says."


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line.removeprefix(MARK))
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
