"""Key files: Ed25519, the private one as PKCS #8 PEM that only its owner may read, the public one as SPKI PEM."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ..core.errors import TemperError, UsageError
from ..core.files import TooLongError, explain_os_errors, read_bytes, sync_folder

PRIVATE_SUFFIX, PUBLIC_SUFFIX = ".key", ".pub"
_MAX_KEY_BYTES = 64 << 10
_PUBLIC_BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


class PassphraseNeededError(UsageError):
    """A private key is encrypted and no passphrase was given."""


@dataclass(frozen=True)
class KeyFiles:
    """A new pair of keys.

    Attributes:
        private: its file, with mode 0600.
        public: its file, to be given to devices.
        fingerprint: of the public key, in hexadecimal.
    """

    private: Path
    public: Path
    fingerprint: str


def generate_key_files(name: Path, passphrase: bytes | None = None) -> KeyFiles:
    """Make a pair of keys, ``NAME.key`` and ``NAME.pub``; nothing that stands there is overwritten.

    Args:
        name: path without ending.
        passphrase: encrypts the private key; None leaves it plain.

    Raises:
        UsageError: if the passphrase is empty.
        TemperError: if one of the files is there already, or cannot be written.
    """
    if passphrase == b"":
        raise UsageError("An empty passphrase protects nothing; give one, or none at all.")
    private, public = (name.with_name(name.name + suffix) for suffix in (PRIVATE_SUFFIX, PUBLIC_SUFFIX))
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path} is there already, and a key is never overwritten. Choose another name.")
    key = Ed25519PrivateKey.generate()
    encryption: serialization.KeySerializationEncryption = (
        serialization.NoEncryption() if passphrase is None else serialization.BestAvailableEncryption(passphrase)
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    _write_new(private, pem, 0o600)
    try:
        _write_new(public, public_pem(key.public_key()), 0o644)
    except BaseException:
        private.unlink(missing_ok=True)
        raise
    return KeyFiles(private, public, fingerprint(public_bytes(key.public_key())))


def read_private_key(path: Path, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        PassphraseNeededError: if it is encrypted and there is no passphrase.
        TemperError: if it is missing, others may read it, the passphrase is wrong, or it is no Ed25519 key.
    """
    content = _read(path, "private key")
    if b"PUBLIC KEY" in content:
        raise TemperError(
            f"{path} is a public key, which only checks. Give the private one to sign with, its {PRIVATE_SUFFIX} file."
        )
    with contextlib.suppress(OSError):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise TemperError(f"The private key {path} may be read by others. Keep it to yourself: chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(content, passphrase)
    except TypeError as error:
        if passphrase is None:
            raise PassphraseNeededError(f"The private key {path} is encrypted; give its passphrase.") from error
        raise UsageError(f"The private key {path} is not encrypted; give no passphrase.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if passphrase is not None and b"ENCRYPTED" in content:
            raise TemperError(f"The private key {path} does not open with this passphrase.") from error
        raise TemperError(f"{path} is not a private key in PEM form. 'temper bundle keygen' makes one.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise TemperError(f"{path} is a private key, but not an Ed25519 one. 'temper bundle keygen' makes one.")
    return key


def read_public_keys(path: Path) -> list[Ed25519PublicKey]:
    """Read the public keys of a file: one, or several one after the other, each of which is trusted.

    Raises:
        TemperError: if it is missing, holds no public key, or one that is not Ed25519.
    """
    content = _read(path, "public key")
    if b"PRIVATE KEY" in content:
        raise TemperError(
            f"{path} is a private key, which belongs on no device. Give the public one, its {PUBLIC_SUFFIX} file."
        )
    keys = []
    for block in _PUBLIC_BLOCK.findall(content):
        try:
            key = serialization.load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise TemperError(f"{path} holds a public key that cannot be read. Copy the file again.") from error
        if not isinstance(key, Ed25519PublicKey):
            raise TemperError(
                f"{path} holds a public key that is not an Ed25519 one, and bundles are signed with those."
            )
        keys.append(key)
    if not keys:
        raise TemperError(
            f"{path} is not a public key in PEM form. 'temper bundle keygen' writes one beside the private key, as "
            f"NAME{PUBLIC_SUFFIX}."
        )
    return keys


def public_pem(key: Ed25519PublicKey) -> bytes:
    """A public key as PEM of its SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_bytes(key: Ed25519PublicKey) -> bytes:
    """The 32 bytes of a public key."""
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def public_key_from_bytes(content: bytes) -> Ed25519PublicKey:
    """The public key of 32 bytes; whether they are a point of the curve shows when it verifies."""
    return Ed25519PublicKey.from_public_bytes(content)


def fingerprint(raw: bytes) -> str:
    """SHA-256 of a public key's SubjectPublicKeyInfo in DER, in hexadecimal, as other tools print it."""
    pem = public_pem(public_key_from_bytes(raw))
    return hashlib.sha256(base64.b64decode(b"".join(pem.splitlines()[1:-1]))).hexdigest()


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that was not there; whoever else makes it in that instant keeps theirs."""
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def _read(path: Path, what: str) -> bytes:
    try:
        return read_bytes(path, _MAX_KEY_BYTES)
    except TooLongError as error:
        raise TemperError(f"{path} is too long to be a {what}. Give the right file.") from error
    except FileNotFoundError as error:
        raise UsageError(f"There is no {what} {path}. Give the file of one that is there.") from error
    except OSError as error:
        raise TemperError(f"The {what} {path} cannot be read: {error.strerror}.") from error
