"""Packing and signing bundles that are there already."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from ..core.errors import TemperError, UsageError
from ..core.files import atomic_writer, write_bytes
from .archive import write_archive
from .loader import Bundle, open_bundle, open_unsigned
from .manifest import SIGNATURE_NAME
from .signature import Signature, sign_manifest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: The usual ending of a packed bundle, after the folder's name.
ARCHIVE_SUFFIX = ".zip"


def pack_bundle(path: Path, target: Path | None = None, *, force: bool = False) -> Path:
    """Write a bundle as one file; the same bundle gives the same bytes.

    Args:
        path: a bundle's folder, or any zip of one.
        target: the file to write; None takes the bundle's name with ``.zip`` after it.
        force: replace a file that stands there.

    Returns:
        The file.

    Raises:
        UsageError: if the target is there; the bundle's own file is packed anew.
        TemperError: if the bundle is damaged, or the file cannot be written.
    """
    with open_bundle(path) as bundle:
        whole = path.resolve()
        target = target or whole.with_name(whole.name.removesuffix(ARCHIVE_SUFFIX) + ARCHIVE_SUFFIX)
        if target.is_dir():
            raise UsageError(f"{target} is a folder; name the file to write, for example {target}{ARCHIVE_SUFFIX}.")
        if target.exists() and not force and target.resolve() != whole:
            raise UsageError(f"{target} is there already. Choose another name, or replace it with --force.")
        _write_archive(bundle, target)
    return target


def sign_bundle(path: Path, key: Ed25519PrivateKey, signer: str | None = None, *, replace: bool = False) -> Signature:
    """Sign a bundle where it lies: its ``signature.json`` is written, or the packed file anew with it.

    Args:
        path: a bundle's folder, or a zip of one.
        key: the signer's.
        signer: the name the signer goes by.
        replace: take the place of another's signature.

    Returns:
        The signature.

    Raises:
        TemperError: if the bundle is damaged, carries another's signature, or cannot be written.
    """
    with _opened_to_sign(path, replace) as bundle:
        signature = sign_manifest(bundle.manifest_bytes, key, signer)
        old = bundle.signature
        if old is not None and old.public_key != signature.public_key and not replace:
            raise TemperError(
                f"The bundle {path} is signed already, with the key {old.fingerprint[:16]}; put yours in its place "
                "with --replace."
            )
        write_bytes(bundle.folder / SIGNATURE_NAME, signature.to_bytes())
        if bundle.folder != path:
            _write_archive(bundle, path)
    return signature


def _opened_to_sign(path: Path, replace: bool) -> contextlib.AbstractContextManager[Bundle]:
    """The bundle; with ``replace`` also one in a folder whose old signature no longer fits."""
    try:
        return open_bundle(path)
    except TemperError:
        old = path / SIGNATURE_NAME
        if not replace or not old.is_file() or old.is_symlink():
            raise
        # it stays where it is until the new one takes its place
        return open_unsigned(path)


def _write_archive(bundle: Bundle, target: Path) -> None:
    with atomic_writer(target) as file:
        write_archive(bundle.folder, bundle.manifest, cast("IO[bytes]", file))
