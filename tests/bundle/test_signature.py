"""Keys, signatures and the single file: what is signed is found changed wherever a byte is."""

from __future__ import annotations

import random
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_bundle import make_plain_bundle
from temper.bundle import archive as archive_module
from temper.bundle.keys import PassphraseNeededError, generate_key_files, read_private_key, read_public_keys
from temper.bundle.loader import open_bundle
from temper.bundle.manifest import SIGNATURE_NAME, with_checksum
from temper.bundle.pack import pack_bundle, sign_bundle
from temper.core.errors import TemperError, UsageError
from temper.core.files import read_json, write_json


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path]:
    """A signed bundle and the file of the public key."""
    keys = generate_key_files(tmp_path / "plant")
    bundle = make_plain_bundle(tmp_path / "steel.temper")
    sign_bundle(bundle, read_private_key(keys.private), "Quality")
    return bundle, keys.public


def test_keys_are_standard_files_of_their_owner(tmp_path: Path) -> None:
    keys = generate_key_files(tmp_path / "deep" / "plant")
    assert stat.S_IMODE(keys.private.stat().st_mode) == 0o600
    assert keys.private.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert keys.public.read_text().startswith("-----BEGIN PUBLIC KEY-----")
    before = keys.private.read_bytes()
    with pytest.raises(TemperError, match="never overwritten"):
        generate_key_files(tmp_path / "deep" / "plant")
    assert keys.private.read_bytes() == before


def test_a_passphrase_locks_the_private_key(tmp_path: Path) -> None:
    keys = generate_key_files(tmp_path / "plant", b"steel")
    assert b"ENCRYPTED" in keys.private.read_bytes()
    read_private_key(keys.private, b"steel")
    with pytest.raises(PassphraseNeededError, match="is encrypted"):
        read_private_key(keys.private)
    with pytest.raises(TemperError, match="does not open with this passphrase"):
        read_private_key(keys.private, b"iron")
    with pytest.raises(UsageError, match="is not encrypted"):
        read_private_key(generate_key_files(tmp_path / "open").private, b"steel")
    with pytest.raises(UsageError, match="empty passphrase"):
        generate_key_files(tmp_path / "empty", b"")


def test_key_files_that_are_none(tmp_path: Path) -> None:
    keys = generate_key_files(tmp_path / "plant")
    with pytest.raises(TemperError, match="is a private key, which belongs on no device"):
        read_public_keys(keys.private)
    (tmp_path / "x.key").write_text("nothing")
    (tmp_path / "x.key").chmod(0o600)
    with pytest.raises(TemperError, match="not a private key in PEM form"):
        read_private_key(tmp_path / "x.key")
    with pytest.raises(TemperError, match="not a public key in PEM form"):
        read_public_keys(tmp_path / "x.key")
    with pytest.raises(TemperError, match="There is no public key"):
        read_public_keys(tmp_path / "none.pub")
    with pytest.raises(TemperError, match="is a public key, which only checks"):
        read_private_key(keys.public)
    keys.private.chmod(0o644)
    with pytest.raises(TemperError, match="may be read by others"):
        read_private_key(keys.private)


def test_unsigned_foreign_and_changed_are_refused(signed: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, public = signed
    other = generate_key_files(tmp_path / "other")
    assert open_bundle(bundle, public).signature is not None
    with pytest.raises(TemperError, match="is signed by 'Quality' with the key .* not one of those asked for"):
        open_bundle(bundle, other.public)
    both = tmp_path / "both.pub"
    both.write_bytes(other.public.read_bytes() + public.read_bytes())
    open_bundle(bundle, both)
    with pytest.raises(TemperError, match="signed already"):
        sign_bundle(bundle, read_private_key(other.private))
    manifest = bundle / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"0.4", b"0.9"))
    for key in (public, None):
        with pytest.raises(TemperError, match="changed after it was signed"):
            open_bundle(bundle, key)
    with pytest.raises(TemperError, match="is not as it was written"):
        sign_bundle(bundle, read_private_key(other.private), replace=True)
    write_json(manifest, with_checksum(read_json(manifest)))
    sign_bundle(bundle, read_private_key(other.private), replace=True)
    open_bundle(bundle, other.public)
    (bundle / "signature.json").unlink()
    open_bundle(bundle)
    with pytest.raises(TemperError, match="is not signed"):
        open_bundle(bundle, public)


def test_a_strangers_file_is_not_unpacked_before_its_signature_is_looked_at(
    signed: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, key = signed
    packed = pack_bundle(folder, tmp_path / "mine.zip")
    unsigned = tmp_path / "unsigned.zip"
    with zipfile.ZipFile(packed) as whole, zipfile.ZipFile(unsigned, "w") as bare:
        for info in whole.infolist():
            if info.filename != SIGNATURE_NAME:
                bare.writestr(info, whole.read(info))
    written: list[Path] = []
    monkeypatch.setattr(archive_module, "_extract", lambda opened, info, target, *rest: written.append(target))
    with pytest.raises(TemperError, match="is not signed"):
        open_bundle(unsigned, key)
    assert written == []


def test_signing_and_packing_give_the_same_bytes_again(signed: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, public = signed
    first = pack_bundle(bundle)
    assert first.name == "steel.temper.zip"
    copy = tmp_path / "copy" / "steel.temper"
    shutil.copytree(bundle, copy)
    for path in copy.rglob("*"):
        path.chmod(0o700)
    assert pack_bundle(copy).read_bytes() == first.read_bytes()
    assert pack_bundle(first, tmp_path / "again.zip").read_bytes() == first.read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        pack_bundle(bundle)
    with open_bundle(first, public) as opened:
        assert opened.manifest == open_bundle(bundle).manifest


def test_a_single_file_is_signed_where_it_lies(tmp_path: Path) -> None:
    keys = generate_key_files(tmp_path / "plant")
    packed = pack_bundle(make_plain_bundle(tmp_path / "steel.temper"))
    sign_bundle(packed, read_private_key(keys.private))
    with open_bundle(packed, keys.public) as opened:
        assert opened.signature is not None


def test_a_byte_anywhere_in_the_signed_file_is_found(signed: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, public = signed
    content = pack_bundle(bundle).read_bytes()
    flipped = tmp_path / "flipped.zip"
    generator = random.Random(0)
    for at in generator.sample(range(len(content)), 150) + list(range(len(content) - 60, len(content))):
        changed = bytearray(content)
        changed[at] ^= 1 << generator.randrange(8)
        flipped.write_bytes(changed)
        with pytest.raises(TemperError, match=r"^[^\n]+$"):
            open_bundle(flipped, public)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_byte_anywhere_in_the_signed_folder_is_found(signed: tuple[Path, Path], data: st.DataObject) -> None:
    bundle, public = signed
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    content = path.read_bytes()
    changed = bytearray(content)
    changed[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        with pytest.raises(TemperError, match=r"^[^\n]+$"):
            open_bundle(bundle, public)
    finally:
        path.write_bytes(content)
    open_bundle(bundle, public)


def test_a_signature_stays_until_another_takes_its_place(signed: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, _ = signed
    other = generate_key_files(tmp_path / "third")
    path = bundle / "manifest.json"
    values = read_json(path)
    write_json(path, with_checksum({**values, "nms_iou": 0.9}))
    before = (bundle / "signature.json").read_bytes()
    with pytest.raises(TemperError, match="A signer's name has 1 to 100 characters"):
        sign_bundle(bundle, read_private_key(other.private), "x" * 1000, replace=True)
    assert (bundle / "signature.json").read_bytes() == before
    with pytest.raises(TemperError, match="changed after it was signed"):
        open_bundle(bundle)
