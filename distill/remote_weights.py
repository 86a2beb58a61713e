"""Weights from the network: fetched once, checked, and kept.

A recipe names a file by its address, and by the SHA-256 that its content must have. Without the latter the first
content that came is the one that counts from then on; a sentence says what to write down. Nothing that is fetched is
ever run: ``weights.load_weights`` reads it as it reads any other file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..core.errors import TemperError, UsageError
from ..core.files import MAX_RECORD_BYTES, explain_os_errors, read_json, sha256_file, sync_folder, write_json
from .weights import MAX_BYTES, load_weights
from .weights_address import check_address, is_address, is_loopback

#: Where fetched weights are kept; in it a folder of that name.
CACHE_VARIABLE = "TEMPER_CACHE"
_FOLDER = "weights"
#: Seconds without a byte after which a server is taken for gone, and how often it is asked again.
_TIMEOUT_SECONDS, _ATTEMPTS, _PAUSE_SECONDS = 30.0, 4, 2.0
_BLOCK = 1 << 20
#: What a server answers while it, or one before it, is overloaded or restarted; also "asked too long" and "too often".
_PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_NUMBER = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")

Tell = Callable[[str], None]


def cache_folder() -> Path:
    """Where fetched weights are kept: ``$TEMPER_CACHE/weights``, else in the user's cache folder."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own).expanduser() / _FOLDER
    users = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(users).expanduser() / "temper" / _FOLDER


def known_sha256(url: str) -> str | None:
    """The SHA-256 of what was fetched from an address before; None if nothing was."""
    entry = _Entry.of(url)
    return str(entry.record()["sha256"]) if entry.is_there() else None


def local_weights(weights: str, sha256: str | None, tell: Tell) -> Path:
    """The file behind a recipe's ``weights``, fetched if they are an address.

    Args:
        weights: a file or an address.
        sha256: what its content must have; None takes any.
        tell: hears what is done.

    Raises:
        TemperError: if it cannot be had, or is not what it should be.
    """
    if is_address(weights):
        return fetch_weights(weights, sha256, tell)
    path = Path(weights)
    if sha256 is not None:
        require_sha256(path, sha256)
    return path


def require_sha256(path: Path, sha256: str) -> None:
    """Refuse a file whose content is another.

    Raises:
        TemperError: if it is, or cannot be read.
    """
    try:
        found = sha256_file(path)
    except OSError as error:
        raise TemperError(f"The weights {path} cannot be read: {error.strerror}.") from error
    if found != sha256:
        raise TemperError(_other_content(str(path), found, sha256))


def fetch_weights(url: str, sha256: str | None, tell: Tell) -> Path:
    """Fetch a weight file, or take it from the cache.

    Args:
        url: https, or http on this very machine; ends in ``.pdparams`` or ``.safetensors``.
        sha256: what its content must have; None takes what comes, and what came the first time from then on.
        tell: hears what is fetched, and the SHA-256 to write down where none was given.

    Returns:
        The file in the cache. A second process that wants the same file waits for the first.

    Raises:
        UsageError: if the address would not be fetched.
        TemperError: if the server cannot be reached or the content is not what it should be.
    """
    try:
        check_address(url)
    except ValueError as error:
        raise UsageError(f"Weights: {error}.") from error
    entry = _Entry.of(url)
    with explain_os_errors(entry.path):
        entry.path.parent.mkdir(parents=True, exist_ok=True)
    with entry.locked():
        if not entry.is_there() or (sha256 is not None and entry.record()["sha256"] != sha256):
            _fetch(entry, sha256, tell)
            if sha256 is None:
                pin = entry.record()["sha256"]
                tell(f"For the same content everywhere and always, write beside these weights: weights_sha256: {pin}")
        found = sha256_file(entry.path)
        if found != entry.record()["sha256"]:
            entry.forget()
            raise TemperError(
                f"{entry.path} is not what was fetched from {url}: something has changed it. It was removed; run the "
                "same command again to fetch it anew."
            )
    return entry.path


@dataclass(frozen=True)
class _Entry:
    """A place in the cache.

    Attributes:
        url: where its content comes from.
        path: of the finished file.
    """

    url: str
    path: Path

    @classmethod
    def of(cls, url: str) -> _Entry:
        name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
        plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)[-80:]
        return cls(url, cache_folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{plain}")

    @property
    def unfinished(self) -> Path:
        # ends as the file will, so that it can be read to see whether it holds weights
        return self.path.with_name(f".unfinished-{self.path.name}")

    def is_there(self) -> bool:
        return self.path.is_file() and self._record_path.is_file()

    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self._record_path, MAX_RECORD_BYTES)
        return found

    def note_start(self, validator: str | None, total: int | None) -> None:
        """Remember what the unfinished file is the beginning of, and how many bytes that has."""
        if validator:
            write_json(self._start_path, {"validator": validator, "total": total})
        else:
            self._start_path.unlink(missing_ok=True)

    def started(self) -> tuple[int, str | None, int | None]:
        """How many bytes are there of what, as the server calls it, and of how many; None if that is not known."""
        if not self.unfinished.is_file() or not self._start_path.is_file():
            return 0, None, None
        start = read_json(self._start_path, MAX_RECORD_BYTES)
        return self.unfinished.stat().st_size, str(start.get("validator")), start.get("total")

    def finish(self, sha256: str) -> None:
        os.replace(self.unfinished, self.path)
        sync_folder(self.path.parent)
        # the record is the sign that the file is whole
        write_json(self._record_path, {"url": self.url, "sha256": sha256, "bytes": self.path.stat().st_size})
        self._start_path.unlink(missing_ok=True)

    def start_afresh(self) -> None:
        """Drop what is not finished."""
        for path in (self._start_path, self.unfinished):
            path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Drop everything."""
        for path in (self._record_path, self.path):
            path.unlink(missing_ok=True)
        self.start_afresh()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with open(self.path.with_name(f"{self.path.name}.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def _record_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def _start_path(self) -> Path:
        return self.path.with_name(f".unfinished-{self.path.name}.json")


def _fetch(entry: _Entry, sha256: str | None, tell: Tell) -> None:
    tell(f"Fetching {entry.url}")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with explain_os_errors(entry.path), _broken_encryption():
                _fetch_rest(entry)
            break
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            if _is_hopeless(error) or attempt == _ATTEMPTS:
                raise TemperError(_unreachable(entry, error)) from error
            time.sleep(_PAUSE_SECONDS)
    found = sha256_file(entry.unfinished)
    if sha256 is not None and found != sha256:
        entry.start_afresh()
        raise TemperError(_other_content(entry.url, found, sha256))
    if sha256 is None:
        try:
            load_weights(entry.unfinished)
        except TemperError:
            entry.start_afresh()
            raise TemperError(
                f"What came from {entry.url} are no weights: perhaps a page that asks to log in. Look at the address "
                "in a browser, fetch the file there and name it as weights."
            ) from None
    entry.finish(found)


@contextlib.contextmanager
def _broken_encryption() -> Iterator[None]:
    """Take encryption that breaks on the way for a connection that does; its error numbers are not the system's.

    A server that is not trusted in the first place comes as a ``URLError`` and is left alone.
    """
    try:
        yield
    except ssl.SSLError as error:
        raise ConnectionError(f"the encrypted connection broke off ({error.args[-1]})") from error


def _is_hopeless(error: Exception) -> bool:
    """Whether asking again would bring the same answer."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code not in _PASSING_STATUS
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLEOFError | ssl.SSLZeroReturnError):  # hung up while they agreed on a key
        return False
    return isinstance(reason, socket.gaierror | ssl.SSLError | ConnectionRefusedError)


def _fetch_rest(entry: _Entry) -> None:
    """Fetch what is missing of the file, going on from what an earlier attempt left where the server allows it."""
    have, validator, whole = entry.started()
    request = urllib.request.Request(entry.url, headers={"User-Agent": "temper", "Accept-Encoding": "identity"})
    asked = False
    if have and validator:
        asked = True
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", validator)
    try:
        response = _opener().open(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        entry.start_afresh()
        raise ConnectionError("the server has no such part of the file") from error
    with response:
        goes_on = asked and response.status == http.client.PARTIAL_CONTENT
        if goes_on:
            total: int | None = _require_rest(response.headers.get("Content-Range"), have, whole, entry)
        elif response.status != http.client.OK:
            raise ConnectionError(f"the server answers {response.status} where the whole file was asked for")
        else:
            have = 0
            length = response.headers.get("Content-Length")
            total = int(length) if length is not None and _NUMBER.fullmatch(length) else None
            # only a strong one promises the same bytes; a time of change has seconds, in which a file may change twice
            etag = response.headers.get("ETag")
            entry.note_start(etag if etag and not etag.startswith("W/") else None, total)
        with open(entry.unfinished, "ab" if goes_on else "wb") as file:
            _copy(response, file, have, total, entry.url)
            file.flush()
            os.fsync(file.fileno())


def _require_rest(content_range: str | None, have: int, whole: int | None, entry: _Entry) -> int:
    """The length of the whole file, where an answer is what follows the ``have`` bytes that are there of it."""
    found = _CONTENT_RANGE.fullmatch(content_range or "")
    if found is None or int(found[1]) != have or int(found[2]) <= have or int(found[2]) != (whole or int(found[2])):
        entry.start_afresh()
        raise ConnectionError(f"the server sent another part of the file ({content_range}) than that from {have:,} on")
    return int(found[2])


def _copy(response: IO[bytes], file: IO[bytes], have: int, total: int | None, url: str) -> None:
    done = have
    while True:
        if max(done, total or 0) > MAX_BYTES:
            raise TemperError(f"{url} has more than {MAX_BYTES:,} bytes, so it is no detector's weights.")
        block = response.read(_BLOCK)
        if not block:
            break
        file.write(block)
        done += len(block)
    if total is not None and done != total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another place only where that would be fetched as well."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        parts = urllib.parse.urlsplit(newurl)
        stays_here = is_loopback(urllib.parse.urlsplit(req.full_url).hostname) and is_loopback(parts.hostname)
        if parts.scheme != "https" and not (parts.scheme == "http" and stays_here):
            raise urllib.error.URLError(f"the server points to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_SafeRedirects)


def _unreachable(entry: _Entry, error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        reason = f"the server answers {error.code} {error.reason}"
    else:
        reason = " ".join(str(getattr(error, "reason", error)).split())
    rest = " What came so far is kept; the same command goes on from there." if entry.started()[1] else ""
    return (
        f"{entry.url} cannot be fetched: {reason}. Check the address and this machine's way to the network, or fetch "
        f"the file elsewhere and give its path as weights.{rest}"
    )


def _other_content(what: str, found: str, wanted: str) -> str:
    return (
        f"{what} is not the file that the recipe means: its SHA-256 is {found}, and weights_sha256 says {wanted}. Get "
        "the right file, or, if you trust this one, write its SHA-256 into the recipe."
    )
