"""Archives from strangers: what they may not do, and that damage is said, not passed over."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from foreign_data import write_official
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.core.errors import TemperError
from temper.distill.data import archive as module
from temper.distill.data.archive import is_archive, unpack


def tar_of(path: Path, *members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w") -> Path:
    """A tar of members, the plain files by name and content."""
    with tarfile.open(path, mode) as tarred:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tuple):
                entry = tarfile.TarInfo(member[0])
                entry.size = len(member[1])
                tarred.addfile(entry, io.BytesIO(member[1]))
            else:
                tarred.addfile(member)
    return path


def zip_of(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members:
            zipped.writestr(name, content)
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def unpacked(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_only_pictures_and_annotations_come_out(tmp_path: Path, place: Path) -> None:
    members = [("a/b/1.JPG", b"1"), ("./a/1.xml", b"2"), ("setup.sh", b"3"), ("a/.bashrc", b"4"), ("t.txt", b"5")]
    unpack(tar_of(tmp_path / "a.tgz", *members, mode="w:gz"), place)
    assert unpacked(place) == ["a/1.xml", "a/b/1.JPG", "t.txt"]
    assert (place / "a/b/1.JPG").read_bytes() == b"1"
    assert not [path for path in place.rglob("*") if os.access(path, os.X_OK) and path.is_file()]


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/tmp/evil.txt", "..\\evil.txt", "C:\\evil.txt"])
@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_no_member_leaves_the_folder(tmp_path: Path, place: Path, name: str, make: Callable[..., Path]) -> None:
    with pytest.raises(TemperError, match=r"was not unpacked: its member '.*evil\.txt' would be written outside"):
        unpack(make(tmp_path / "a", (name, b"evil")), place)
    assert unpacked(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "member",
    [
        special("a.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        special("a.jpg", tarfile.LNKTYPE, "../../secret.jpg"),
        special("images", tarfile.SYMTYPE, "/tmp"),
        special("a.jpg", tarfile.FIFOTYPE),
        special("a.jpg", tarfile.CHRTYPE),
        special("a.jpg", tarfile.BLKTYPE),
    ],
    ids=lambda member: f"{member.name}-{member.type.decode()}",
)
def test_links_and_devices_are_refused(tmp_path: Path, place: Path, member: tarfile.TarInfo) -> None:
    # what would be written through the link must not be written
    archive = tar_of(tmp_path / "a.tar", member, ("images/x.jpg", b"x"))
    with pytest.raises(TemperError, match=f"its member '{member.name}' is a link or device"):
        unpack(archive, place)
    assert unpacked(place) == []


def test_links_in_a_zip_are_refused(tmp_path: Path, place: Path) -> None:
    link = zipfile.ZipInfo("a.jpg")
    link.external_attr = 0o120777 << 16
    with pytest.raises(TemperError, match=r"its member 'a\.jpg' is a link or device"):
        unpack(zip_of(tmp_path / "a.zip", (link, b"/etc/passwd")), place)


@pytest.mark.parametrize("name", ["zeros.bmp", "zeros.bin"])
def test_bombs_are_met_before_they_fill_the_disk(
    tmp_path: Path, place: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ALLOWANCE_BYTES", 1 << 20)
    archive = tar_of(tmp_path / "a.tar.gz", (name, bytes(64 << 20)), mode="w:gz")
    assert archive.stat().st_size < 100_000
    # also what would only be passed over has to be unpacked to be passed
    with pytest.raises(TemperError, match=r"a\.tar\.gz swells to more than 100 times its size"):
        unpack(archive, place)
    assert sum(path.stat().st_size for path in place.rglob("*")) <= (1 << 20) + 100 * 100_000


def test_bombs_of_many_small_members_are_met_as_well(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ALLOWANCE_BYTES", 1 << 20)
    monkeypatch.setattr(module, "MAX_SWELLING", 3)
    archive = zip_of(tmp_path / "a.zip", *((f"{number}.bmp", bytes(1 << 16)) for number in range(64)))
    with pytest.raises(TemperError, match="swells to more than 3 times its size"):
        unpack(archive, place)
    monkeypatch.setattr(module, "MAX_MEMBERS", 10)
    with pytest.raises(TemperError, match="has more than 10 members"):
        unpack(archive, place)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, place: Path, kind: bytes) -> None:
    header = special("x", kind)
    header.size = 1 << 40
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))
    assert is_archive(tmp_path / "a.tar.gz")
    with pytest.raises(TemperError, match=r"is damaged: one of its headers has 1,099,511,627,776 bytes"):
        unpack(tmp_path / "a.tar.gz", place)


def test_headers_without_end_are_damage(tmp_path: Path, place: Path) -> None:
    header = special("x", tarfile.GNUTYPE_LONGNAME)
    header.size = 1
    chain = (header.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * 5000
    first = tarfile.TarInfo("a.jpg").tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes(first + chain)
    with pytest.raises(TemperError, match=r"a\.tar is damaged"):
        unpack(tmp_path / "a.tar", place)


def test_an_encrypted_zip_is_said(tmp_path: Path, place: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("a.jpg", b"x"))
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.index(signature) + offset
        content[at : at + 2] = struct.pack("<H", 1)
    archive.write_bytes(content)
    with pytest.raises(TemperError, match="is encrypted. Unpack it yourself"):
        unpack(archive, place)


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_members_that_contradict_each_other_are_said(tmp_path: Path, place: Path, make: Callable[..., Path]) -> None:
    archive = make(tmp_path / "a", ("a.jpg", b"x"), ("a.jpg/b.jpg", b"y"))
    with pytest.raises(TemperError, match="has members that contradict each other"):
        unpack(archive, place)


def test_a_name_that_no_disk_takes_is_said(tmp_path: Path, place: Path) -> None:
    with pytest.raises(TemperError, match="has a member whose name no file can have here: File name too long"):
        unpack(tar_of(tmp_path / "a.tar", ("a" * 300 + ".jpg", b"x")), place)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_cut_short_is_not_taken_for_a_smaller_one(tmp_path: Path, mode: str) -> None:
    source = write_official(tmp_path / "source")
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, mode) as tarred:  # type: ignore[call-overload]
        tarred.add(source, "source")
    whole = archive.read_bytes()
    end = len(whole) - (10240 if mode == "w" else 0)  # a plain tar ends in zeros, of which none is needed
    for number, length in enumerate(range(1024, end, max(512, end // 40 // 512 * 512))):
        archive.write_bytes(whole[:length])
        target = tmp_path / f"place{number}"
        target.mkdir()
        # gzip, bzip2 and xz have not begun to give a header at times
        if is_archive(archive):
            with pytest.raises(TemperError, match="is damaged"):
                unpack(archive, target)


def test_a_broken_header_in_the_middle_is_not_the_end(tmp_path: Path, place: Path) -> None:
    archive = tar_of(tmp_path / "a.tar", ("1.jpg", b"1"), ("2.jpg", b"2"), ("3.jpg", b"3"))
    content = bytearray(archive.read_bytes())
    content[1024 + 150] ^= 0xFF  # the checksum of the second
    archive.write_bytes(content)
    with pytest.raises(TemperError, match="is damaged: one of its headers is broken"):
        unpack(archive, place)


def test_a_checksum_that_does_not_hold_is_damage(tmp_path: Path, place: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", ("1.jpg", b"1"), mode="w:gz")
    content = bytearray(archive.read_bytes())
    content[-8] ^= 1
    archive.write_bytes(content)
    with pytest.raises(TemperError, match=r"a\.tar\.gz is damaged: CRC check failed"):
        unpack(archive, place)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK", bytes(100), b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0"])
def test_what_is_no_archive_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert not is_archive(tmp_path / "a")


def test_an_archive_that_may_not_be_read_is_said(unprivileged: Path) -> None:
    archive = zip_of(unprivileged / "a.zip", ("a.jpg", b"x"))
    archive.chmod(0)
    with pytest.raises(TemperError, match=r"a\.zip cannot be read: Permission denied"):
        is_archive(archive)


@settings(max_examples=150)
@given(st.sampled_from(["zip", "tar", "tar.gz"]), st.integers(0, 1 << 32), st.integers(1, 8))
def test_whatever_is_broken_is_said_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, ending: str, seed: int, changes: int
) -> None:
    folder = tmp_path_factory.mktemp("broken")
    members = [("d/1.jpg", b"1" * 700), ("d/2.xml", b"2" * 90), ("d/" + "n" * 120 + ".txt", b"3")]
    make: Callable[..., Path] = zip_of if ending == "zip" else tar_of
    archive = make(folder / "a", *members)
    content = archive.read_bytes()
    chance = Random(seed)
    content = bytearray(gzip.compress(content, mtime=0) if ending == "tar.gz" else content)
    for _ in range(changes):
        content[chance.randrange(len(content))] = chance.randrange(256)
    archive.write_bytes(content)
    (folder / "place").mkdir()
    with contextlib.suppress(TemperError):
        if is_archive(archive):
            unpack(archive, folder / "place")
    assert [path.name for path in folder.iterdir() if path.name not in ("a", "place")] == []
