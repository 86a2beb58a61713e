"""What goes wrong over a real SSH server, each with its sentence."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker import free_port
from remote_place import Place
from ssh_server import host_line, make_key, needs_sshd, ssh_server
from temper.benchmarks.remote import steps
from temper.cli import main

pytestmark = needs_sshd
Told = pytest.CaptureFixture[str]


def test_an_unknown_host_is_refused_with_the_commands_that_add_it(place: Place, tmp_path: Path, capsys: Told) -> None:
    empty = tmp_path / "known_hosts"
    assert place.remote(tmp_path / "out", "--known-hosts", empty) == 1
    told = capsys.readouterr().out
    assert f"127.0.0.1 is not in {empty}" in told
    command = f"ssh-keyscan -p {place.server.port} 127.0.0.1"
    assert f"'{command} | ssh-keygen -lf -'" in told and f"'{command} >> {empty}'" in told
    assert not empty.exists(), "nothing is taken over blindly"
    # the command works
    subprocess.run(f"{command} >> {empty}", shell=True, check=True, capture_output=True)
    assert place.remote(tmp_path / "out", "--known-hosts", empty, "--python", "/no/such") == 1
    assert "there is no such program" in capsys.readouterr().out


def test_a_changed_host_key_is_refused(place: Place, tmp_path: Path, capsys: Told) -> None:
    other = tmp_path / "known_hosts"
    other.write_text(host_line(place.server.port, make_key(tmp_path / "other")))
    assert place.remote(tmp_path / "out", "--known-hosts", other) == 1
    told = capsys.readouterr().out
    assert "is not the one in" in told and f"ssh-keygen -R '[127.0.0.1]:{place.server.port}'" in told
    # a key of another kind is no other case
    words = ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(tmp_path / "ecdsa")]
    subprocess.run(words, check=True)
    other.write_text(host_line(place.server.port, tmp_path / "ecdsa"))
    assert place.remote(tmp_path / "out", "--known-hosts", other) == 1
    assert "is not the one in" in capsys.readouterr().out


def test_without_a_key_or_with_a_wrong_one(place: Place, tmp_path: Path, capsys: Told) -> None:
    words = place.words(tmp_path / "out")
    at = words.index("--identity")
    assert main([*words[:at], *words[at + 2 :]]) == 1
    told = capsys.readouterr().out
    assert "There is no SSH key to log in" in told and f"ssh-copy-id -p {place.server.port} root@127.0.0.1" in told
    assert place.remote(tmp_path / "out", "--identity", make_key(tmp_path / "stranger")) == 1
    assert "accepts none of the SSH keys" in capsys.readouterr().out
    locked = make_key(tmp_path / "locked", "secret")
    assert place.remote(tmp_path / "out", "--identity", locked) == 1
    assert f"'ssh-add {locked}'" in capsys.readouterr().out
    assert place.remote(tmp_path / "out", "--identity", tmp_path / "none") == 1
    assert f"The key {tmp_path / 'none'} cannot be used: No such file" in capsys.readouterr().out


def test_hosts_out_of_reach(place: Place, tmp_path: Path, capsys: Told) -> None:
    words = place.words(tmp_path / "out")
    words[2:3] = [f"root@127.0.0.1:{free_port()}", "root@no-such-host.invalid"]
    assert main(words) == 1
    told = capsys.readouterr().out
    assert "Nobody listens at 127.0.0.1" in told
    assert "There is no machine of the name no-such-host.invalid" in told


def test_pythons_that_do_not_fit(place: Place, tmp_path: Path, capsys: Told) -> None:
    old = tmp_path / "python's 3.8; touch injected"
    old.write_text("#!/bin/sh\necho 3.8.10\n")
    old.chmod(0o755)
    assert place.remote(tmp_path / "out", "--python", old) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "Temper needs Python 3.10 to 3.13" in told and "3.8.10" in told
    assert not list(tmp_path.glob("**/injected"))


def test_a_folder_of_somebody_else(place: Place, tmp_path: Path, capsys: Told) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").touch()
    assert place.remote(tmp_path / "out", "--remote-folder", tmp_path / "theirs", "--clean") == 1
    assert "is not Temper's, and holds other things" in capsys.readouterr().out
    assert (tmp_path / "theirs" / "thesis.tex").exists()


def test_results_do_not_replace_something_else(place: Place, tmp_path: Path, capsys: Told) -> None:
    (tmp_path / "out" / "127.0.0.1").mkdir(parents=True)
    (tmp_path / "out" / "127.0.0.1" / "notes.txt").touch()
    assert place.remote(tmp_path / "out") == 2
    assert "holds something else than results" in capsys.readouterr().err


def test_wheels_that_are_missing_are_named_with_the_command(place: Place, tmp_path: Path, capsys: Told) -> None:
    few = tmp_path / "few wheels"
    few.mkdir()
    (wheel,) = (place.folder / "wheels").glob("click-*.whl")
    (few / wheel.name).write_bytes(wheel.read_bytes())
    assert place.remote(tmp_path / "out", "--wheels", few) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert f"{few} has no wheel of" in told
    assert f"pip download --dest '{few}' --only-binary :all:" in told and "--platform manylinux2014_x86_64" in told


def test_without_an_index_the_command_for_wheels_is_given(place: Place, tmp_path: Path, capsys: Told) -> None:
    words = place.words(tmp_path / "out")
    at = words.index("--wheels")
    with ssh_server(
        tmp_path / "ssh", SetEnv="PIP_INDEX_URL=http://127.0.0.1:1/simple PIP_RETRIES=0 PIP_NO_COMPILE=1"
    ) as cut_off:
        words[2] = cut_off.login
        words = [*words[:at], *words[at + 2 :], "--identity", str(cut_off.identity)]
        assert main([*words, "--known-hosts", str(cut_off.known_hosts)]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "reaches no package index" in told and "pip download --dest wheels" in told and "numpy>=1.26" in told


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_before_and_in_the_middle(
    place: Place, tmp_path: Path, capsys: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", "600k") as disk:
        assert place.remote(tmp_path / "out", "--remote-folder", disk / "far") == 1
        told = " ".join(capsys.readouterr().out.split())
        assert "The disk of root@127.0.0.1 is full: 0.6 MB are free" in told and "are needed" in told
        monkeypatch.setattr(steps, "_ROOM", -(10**12))
        assert place.remote(tmp_path / "out", "--remote-folder", disk / "far") == 1
        told = " ".join(capsys.readouterr().out.split())
        assert "The disk of root@127.0.0.1 is full" in told and "are needed" not in told
        assert not list((disk / "far" / "files").rglob("*.partial"))
