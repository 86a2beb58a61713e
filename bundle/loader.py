"""Opening a bundle: everything is checked before anything in it is used.

A bundle may come from anywhere, so nothing in it is believed: the manifest is bounded and checked field by
field, files are regular files below the bundle's folder (no links), and every file's size and SHA-256 are what the
manifest says. The manifest's signature, where there is one, comes before all that.

A file may be changed after that. So what is used of a bundle comes from :meth:`Bundle.read` or :meth:`Bundle.graph`:
they read a file once, hold those bytes against the manifest, and hand out the very bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import weakref
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import TemperError, UsageError, nearest
from ..core.files import partial_folder, sha256_file
from .archive import extract_bundle, require_packed_form
from .graph_file import OnnxFile, require_self_contained
from .manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    SIGNATURE_NAME,
    BundleFile,
    Manifest,
    Target,
    Variant,
    to_bytes,
)
from .parse import is_as_written, parse_manifest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from .signature import Signature

#: All files of a bundle together.
MAX_TOTAL_BYTES = 8 << 30


class Bundle:
    """An opened bundle whose manifest and files have been checked.

    A zipped bundle is unpacked into a private temporary folder, which goes when the bundle is closed (it is a
    context manager), garbage-collected, or when the interpreter ends.

    Attributes:
        path: what was opened: a folder, or a zip file.
        folder: where the bundle's files lie; ``path`` itself unless that is a zip file.
        manifest: what the bundle says of itself.
        signature: of the manifest, checked; None if it has none. Whose it is only a public key tells.
        manifest_bytes: the content of its manifest's file, as it was checked.
    """

    def __init__(
        self,
        path: Path,
        folder: Path,
        manifest: Manifest,
        signature: Signature | None = None,
        manifest_bytes: bytes | None = None,
        unpacked: contextlib.ExitStack | None = None,
    ) -> None:
        self.path = path
        self.folder = folder
        self.manifest = manifest
        self.signature = signature
        self.manifest_bytes = to_bytes(manifest) if manifest_bytes is None else manifest_bytes
        self._finalizer = None if unpacked is None else weakref.finalize(self, unpacked.close)

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Bundle({str(self.path)!r}, variants={[v.name for v in self.manifest.variants]})"

    @property
    def manifest_sha256(self) -> str:
        """SHA-256 of the manifest's bytes as they were checked, by which records are told to be of the same bundle."""
        return hashlib.sha256(self.manifest_bytes).hexdigest()

    def close(self) -> None:
        """Remove the temporary folder of a zipped bundle; a folder is left as it is."""
        if self._finalizer is not None:
            self._finalizer()

    def variant(self, name: str, targets: Collection[Target] = ()) -> Variant:
        """The variant called ``name``, or the first with that precision, one for any target before others.

        Args:
            name: of a variant, or a precision.
            targets: of the variants a runtime is meant for. A precision, even one that is also the name of a variant
                for other targets, means one of these if there is one.

        Raises:
            UsageError: if there is none; the message lists those there are.
        """
        variants = self.manifest.variants
        named = [variant for variant in variants if variant.name == name]
        precise = [variant for variant in variants if variant.precision == name]
        fitting = [variant for variant in precise if not targets or variant.target in targets]
        if named and (not targets or named[0].target in targets or not fitting):
            return named[0]
        if precise:
            return min(fitting or precise, key=lambda variant: (variant.size is not None, variant.target != "any"))
        names = [variant.name for variant in variants]
        raise UsageError(
            f"The bundle {self.path.name} has no variant '{name}'; it has {', '.join(names)}."
            + (nearest(name, names) if len(names) > 3 else "")
        )

    def graph(self, variant: Variant) -> OnnxFile:
        """The graph of one of this bundle's variants: its bytes are those the manifest speaks of, all weights in them.

        Raises:
            ValueError: if the variant is another bundle's.
            TemperError: if the file is not as the manifest says (any more), or no graph that is whole.
        """
        self._require_own(variant)
        graph = OnnxFile(self.read(variant), f"{self.path.name}:{variant.file}")
        require_self_contained(graph)
        return graph

    def graph_path(self, variant: Variant) -> Path:
        """Where the ONNX file of one of this bundle's variants lies; to be copied or named, not to be run.

        Raises:
            ValueError: if the variant is another bundle's.
        """
        self._require_own(variant)
        return self.folder / variant.file

    def read(self, file: BundleFile | Variant) -> bytes:
        """The content of one of the bundle's files, held against the manifest as it is handed out.

        Raises:
            TemperError: if it is not as the manifest says (any more).
        """
        _regular_size(self.folder, file.file, self.path)  # what is no file may have no end
        try:
            with (self.folder / file.file).open("rb") as opened:
                content = opened.read(file.bytes + 1)
        except OSError as error:
            raise _unreadable(file, self.path, error) from error
        if len(content) != file.bytes or hashlib.sha256(content).hexdigest() != file.sha256:
            raise _changed(file, self.path)
        return content

    def _require_own(self, variant: Variant) -> None:
        if variant not in self.manifest.variants:
            raise ValueError(f"variant '{variant.name}' is not of the bundle {self.path}")


def open_bundle(path: Path, public_key: Path | None = None) -> Bundle:
    """Open a bundle and check all of it.

    Args:
        path: a bundle's folder, or a zip file of one.
        public_key: a file of one or several public keys; only a bundle signed by one of them is opened then, and a zip
            only if it is, byte for byte, as 'temper bundle pack' wrote it.

    Returns:
        The bundle; close it when done if it may be a zip file.

    Raises:
        TemperError: if it is not there, not a bundle, of another schema, damaged or tampered with, or not signed as it
            should be.
    """
    keys = _read_keys(public_key)
    if path.is_dir():
        return Bundle(path, path, *_checked_content(path, path, keys))
    if not path.is_file():
        raise UsageError(f"There is no bundle {path}. Make one with 'temper export'.")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(partial_folder(Path(tempfile.gettempdir()), "temper-bundle."))
        # whoever takes only signed bundles does not have a stranger's unpacked first
        extract_bundle(
            path,
            folder,
            _referenced_files,
            lambda: _checked_signature(folder, _read_manifest(folder, path), path, keys),
        )
        manifest, signature, content = _checked_content(folder, path, keys)
        if keys:
            require_packed_form(path, folder, manifest, folder / ".again")
        return Bundle(path, folder, manifest, signature, content, stack.pop_all())


def open_unsigned(path: Path) -> Bundle:
    """Open a bundle's folder as if it were not signed: to put another signature in the place of one that does not fit.

    Raises:
        TemperError: as :func:`open_bundle`.
    """
    content = _read_manifest(path, path)
    return Bundle(path, path, _checked_files(path, path, content), manifest_bytes=content)


def _read_keys(public_key: Path | None) -> Sequence[Ed25519PublicKey]:
    if public_key is None:
        return ()
    from .keys import read_public_keys

    return read_public_keys(public_key)


def _checked_content(
    folder: Path, source: Path, keys: Sequence[Ed25519PublicKey]
) -> tuple[Manifest, Signature | None, bytes]:
    """The manifest in ``folder``, its signature and its bytes, once every file it names has been found as it says."""
    content = _read_manifest(folder, source)
    signature = _checked_signature(folder, content, source, keys)
    return _checked_files(folder, source, content), signature, content


def _read_manifest(folder: Path, source: Path) -> bytes:
    manifest_path = folder / MANIFEST_NAME
    if not manifest_path.exists() and not manifest_path.is_symlink():
        raise TemperError(f"{source} is not a Temper bundle: it has no {MANIFEST_NAME}.")
    size = _regular_size(folder, MANIFEST_NAME, source)
    if size > MAX_MANIFEST_BYTES:
        raise TemperError(f"The manifest of {source} has {size:,} bytes; at most {MAX_MANIFEST_BYTES:,} are read.")
    return _read(manifest_path, source)


def _checked_files(folder: Path, source: Path, content: bytes) -> Manifest:
    manifest = parse_manifest(content, source)
    if manifest.checksum is None:
        raise TemperError(f"The manifest of {source} has no checksum, as those of older versions. Export it again.")
    if not is_as_written(manifest, content):
        raise TemperError(
            f"The manifest of {source} is not as it was written: it was damaged or changed. Copy or export the bundle "
            "again; for other thresholds make a new one with 'temper bench thresholds'."
        )
    # it is of the file; what is read of it may be written again, changed
    manifest = manifest.model_copy(update={"checksum": None})
    _require_bounded(manifest, source)
    for file in manifest.files():
        _check_file(folder, file, source)
    return manifest


def _checked_signature(
    folder: Path, manifest: bytes, source: Path, keys: Sequence[Ed25519PublicKey]
) -> Signature | None:
    path = folder / SIGNATURE_NAME
    there = path.exists() or path.is_symlink()
    if not there and not keys:
        return None
    from .signature import MAX_SIGNATURE_BYTES, parse_signature, require_signed

    signature = None
    if there:
        size = _regular_size(folder, SIGNATURE_NAME, source)
        signature = parse_signature(_read(path, source) if size <= MAX_SIGNATURE_BYTES else b"", source)
    require_signed(manifest, signature, source, keys)
    return signature


def _referenced_files(content: bytes, source: Path) -> dict[str, int]:
    """The files a manifest names, with their sizes in bytes."""
    manifest = parse_manifest(content, source)
    _require_bounded(manifest, source)
    return {file.file: file.bytes for file in manifest.files()}


def _require_bounded(manifest: Manifest, source: Path) -> None:
    total = sum(file.bytes for file in manifest.files())
    if total > MAX_TOTAL_BYTES:
        raise TemperError(f"The files of {source} have {total:,} bytes; at most {MAX_TOTAL_BYTES:,} are read.")


def _check_file(folder: Path, file: BundleFile, source: Path) -> None:
    size = _regular_size(folder, file.file, source)
    if size == file.bytes:
        try:
            intact = sha256_file(folder / file.file) == file.sha256
        except OSError as error:
            raise _unreadable(file, source, error) from error
        if intact:
            return
    raise _changed(file, source)


def _changed(file: BundleFile | Variant, source: Path) -> TemperError:
    return TemperError(
        f"{file.file} of the bundle {source} is not the file its manifest describes: it was damaged or changed. "
        "Copy or export the bundle again."
    )


def _unreadable(file: BundleFile | Variant, source: Path, error: OSError) -> TemperError:
    return TemperError(f"{file.file} of the bundle {source} cannot be read: {error.strerror}.")


def _regular_size(folder: Path, relative: str, source: Path) -> int:
    """The size of a regular file that is reached from ``folder`` without any link."""
    path, status = folder, None
    try:
        for part in relative.split("/"):
            path = path / part
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                raise TemperError(
                    f"{relative} of the bundle {source} is reached through a link, which a bundle may not hold."
                )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TemperError(
            f"The bundle {source} has no file {relative}, which its manifest names. Copy or export the bundle again."
        ) from error
    except OSError as error:
        raise TemperError(f"{relative} of the bundle {source} cannot be read: {error.strerror}.") from error
    if status is None or not stat.S_ISREG(status.st_mode):
        raise TemperError(f"{relative} of the bundle {source} is not a plain file.")
    return status.st_size


def _read(path: Path, source: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TemperError(f"{path.name} of the bundle {source} cannot be read: {error.strerror}.") from error
