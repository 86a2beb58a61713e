from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest
from click.testing import CliRunner, Result
from steel_pictures import steel
from temper.commands.deploy import deploy
from temper.core.errors import TemperError, UsageError
from tiny_bundle import make_tiny_bundle
from tiny_run import temper_command

PROGRAM = "from temper.commands.deploy import deploy; deploy()"
#: What a device does not have.
WITHOUT_TRAINING = "import sys; sys.modules.update(dict.fromkeys(({names}))); ".format(
    names="'paddle', 'paddle2onnx', 'onnx', 'temper.distill', 'temper.export', 'temper.flow', 'temper.benchmarks'"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four pictures, the last with a defect, and one that cannot be read."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.png"), steel(index == 3))
    (folder / "torn.png").write_bytes(b"\x89PNG torn")
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough frames that a run is still at work when it is killed."""
    path = tmp_path_factory.mktemp("video") / "line.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (320, 240))
    for index in range(3000):
        writer.write(cv2.cvtColor(steel(index % 5 == 0, 320, 240), cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(deploy, ["run", *map(str, arguments)])


def command(*arguments: object, before: str = "") -> list[str]:
    return [sys.executable, "-c", before + PROGRAM, "run", *map(str, arguments)]


def stored(out: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(out / "results.sqlite")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_a_log_of_plain_lines(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    result = invoke(bundle, "--source", pictures, "--out", tmp_path / "out")
    assert result.exit_code == 1, result.output
    lines = result.output.splitlines()
    assert any(line.startswith("defect         3.png: bright 0.") for line in lines)
    assert any(line.startswith("not inspected  torn.png: ") for line in lines)
    assert "5 frames: 3 ok, 1 defect, 1 not inspected" in lines
    assert "1 of 5 frames could not be inspected; the results name them." in str(result.exception)
    assert lines[-1] == f"Results: {tmp_path / 'out' / 'results.sqlite'}, run 1"
    assert any("frames/s; a frame takes" in line for line in lines)
    assert "\x1b" not in result.output
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 1


def test_json_lines(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    result = invoke(bundle, "--source", pictures, "--out", tmp_path / "out", "--json", "--pictures", "none")
    assert result.exit_code == 1, result.output
    values = [json.loads(line) for line in result.output.splitlines()]
    frames, summary = values[:-1], values[-1]
    assert [frame["verdict"] for frame in frames] == ["ok", "ok", "ok", "defect", "not_inspected"]
    assert frames[3]["defects"][0]["label"] == "bright"
    assert len(frames[3]["defects"][0]["box"]) == 4
    assert frames[4]["cause"] == "error"
    assert frames[4]["detail"]
    assert (summary["kind"], summary["frames"], summary["ended_by"]) == ("summary", 5, "source")


def test_a_terminal_gets_a_bar_and_the_summary(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    arguments = command(bundle, "--source", pictures, "--out", tmp_path / "out")
    with subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 4096):
                shown += block
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(ours)
    assert process.returncode == 1
    text = shown.decode("utf-8")
    assert "\x1b[" in text
    assert "5 frames: 3 ok, 1 defect, 1 not inspected" in text
    assert "0/5" in text or "5/5" in text


def test_a_device_needs_neither_paddle_nor_onnx(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    arguments = command(bundle, "--source", pictures, "--out", tmp_path / "out", before=WITHOUT_TRAINING)
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1, ended.stderr
    assert "5 frames: 3 ok, 1 defect, 1 not inspected" in ended.stdout


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from temper.commands.deploy import deploy; "
        "from temper.commands.bundle import bundle\n"
        "for group in (deploy, bundle): assert CliRunner().invoke(group, ['--help']).exit_code == 0\n"
        "print([m for m in ('numpy', 'cv2', 'onnxruntime', 'sqlalchemy', 'pydantic', 'rich') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "[]\n", ended.stderr


def test_the_inspection_goes_on_when_its_reader_goes(bundle: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = temper_command("deploy", "run", bundle, "--source", video, "--out", out, "--json", "--limit", 200)
    running = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None and running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    assert running.wait(60) == 0, running.stderr.read()
    assert stored(out, "SELECT count(*) FROM frame") == [(200,)]
    assert stored(out, "SELECT ended_by FROM run") == [("limit",)]


def test_the_inspection_goes_on_when_its_terminal_goes(bundle: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    parent, child = pty.openpty()
    arguments = temper_command("deploy", "run", bundle, "--source", video, "--out", out, "--limit", 400)
    running = subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=child, stderr=child, start_new_session=True,
        env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(child)
    assert os.read(parent, 10), "it has begun to show something"
    os.close(parent)
    assert running.wait(120) == 0
    assert stored(out, "SELECT count(*) FROM frame") == [(400,)]
    assert stored(out, "SELECT ended_by FROM run") == [("limit",)]


def test_a_full_output_stops_no_inspection(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with open("/dev/full", "wb") as full:
        arguments = temper_command("deploy", "run", bundle, "--source", pictures, "--out", out, "--json")
        ended = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert ended.returncode == 1, "a picture is torn"
    assert b"1 of 5 frames could not be inspected" in ended.stderr
    assert stored(out, "SELECT ended_by FROM run") == [("source",)]


def test_what_a_cut_video_does_not_give_is_not_inspected(bundle: Path, video: Path, tmp_path: Path) -> None:
    whole = video.read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 50])
    result = invoke(bundle, "--source", tmp_path / "cut.avi", "--out", tmp_path / "out", "--threads", 1)
    assert isinstance(result.exception, TemperError)
    assert "1 of " in str(result.exception) and "says it has 3000 frames" in str(result.exception)
    ((source, cause),) = stored(tmp_path / "out", "select source, detail from frame where cause is not null")
    assert source.endswith("..2999") and "the rest was not inspected" in cause


def test_sigkill_leaves_a_store_that_reads_and_goes_on(bundle: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = command(bundle, "--source", video, "--out", out, "--json", "--threads", 1)
    announced: list[int] = []
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            value = json.loads(line)
            if value["kind"] == "frame":
                announced.append(value["number"])
            if len(announced) == 40:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    assert stored(out, "PRAGMA integrity_check") == [("ok",)]
    frames = stored(out, "SELECT number, picture FROM frame ORDER BY number")
    assert [index for index, _ in frames] == list(range(len(frames)))
    assert len(frames) >= len(announced)
    assert all((out / picture).is_file() for _, picture in frames if picture)
    assert stored(out, "SELECT ended_by FROM run") == [(None,)]
    again = invoke(bundle, "--source", video, "--out", out, "--limit", 3)
    assert again.exit_code == 0, again.output
    assert stored(out, "SELECT run.number, count(*) FROM frame JOIN run ON run.id = run_id GROUP BY 1")[1] == (2, 3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_in_good_order(bundle: Path, video: Path, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    arguments = command(bundle, "--source", video, "--out", out, "--threads", 1, "--pictures", "none")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if (out / "results.sqlite").is_file() and stored(out, "SELECT count(*) FROM sqlite_master") != [(0,)]:
                (count,) = stored(out, "SELECT count(*) FROM frame")[0]
                if count >= 10:
                    break
            time.sleep(0.02)
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert errors == ""
    (frames,) = stored(out, "SELECT count(*) FROM frame")[0]
    assert f"{frames} frames (stopped): " in output
    assert stored(out, "SELECT ended_by FROM run") == [("signal",)]


@pytest.mark.parametrize("size", ["200k", "1m"])
def test_a_full_disk_is_one_sentence(bundle: Path, video: Path, tmp_path: Path, size: str) -> None:
    unshare = shutil.which("unshare")
    small = tmp_path / "small"
    small.mkdir()
    if unshare is None or subprocess.run([unshare, "-rm", "mount", "-t", "tmpfs", "none", str(small)]).returncode:
        pytest.skip("no file system of its own can be mounted here (unshare -rm mount)")
    catching = (
        "import sys\nfrom temper.core.errors import TemperError\nfrom temper.commands.deploy import deploy\n"
        "try:\n    deploy()\nexcept TemperError as error:\n    sys.exit(f'error: {error}')"
    )
    run = [sys.executable, "-c", catching, "run", bundle, "--source", video, "--out", small, "--pictures", "all"]
    # the mount is gone with the namespace, so what is left is looked at inside
    look = f"{sys.executable} -c \"import sqlite3; print(sqlite3.connect('{small}/results.sqlite').execute("
    look += "'SELECT count(*), count(picture) FROM frame').fetchone())\"; find {small} -name '*.partial*' | wc -l"
    script = f'mount -t tmpfs -o size={size} none {small} && "$@"; echo "exit $?"; {look.format(small=small)}'
    shell: Sequence[str] = [unshare, "-rm", "sh", "-c", script, "sh", *map(str, run)]
    ended = subprocess.run(shell, capture_output=True, text=True, timeout=120)
    assert "exit 1\n" in ended.stdout, ended.stdout + ended.stderr
    (sentence,) = [line for line in ended.stderr.splitlines() if line]
    assert sentence.startswith(f"error: No space left on the disk while writing {small}")
    announced = sum(line.startswith("defect ") for line in ended.stdout.splitlines())
    counts = ended.stdout.splitlines()[-2]
    frames = int(counts.strip("()").split(",")[0])
    assert frames >= announced > 0
    assert ended.stdout.splitlines()[-1].strip() == "0"


def fails(sentence: str, *arguments: object, kind: type[TemperError] = TemperError) -> None:
    result = invoke(*arguments)
    assert type(result.exception) is kind, result.output
    with pytest.raises(kind, match=sentence):
        raise result.exception


def test_wrong_input_is_one_sentence(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("a video")
    fails("There is no bundle .*nowhere", tmp_path / "nowhere", "--source", pictures, kind=UsageError)
    fails("is not a Temper bundle", pictures, "--source", pictures, "--out", out)
    fails("There is nothing at .*nowhere", bundle, "--source", tmp_path / "nowhere", "--out", out, kind=UsageError)
    fails("There is no picture in", bundle, "--source", tmp_path / "empty", "--out", out)
    fails("neither a picture nor a video", bundle, "--source", tmp_path / "text.mp4", "--out", out)
    fails("no variant 'int8'", bundle, "--source", pictures, "--out", out, "--variant", "int8", kind=UsageError)
    fails("Did you mean 'onnx", bundle, "--source", pictures, "--out", out, "--runtime", "onnxrt", kind=UsageError)
    fails("among the pictures", bundle, "--source", pictures, "--out", pictures, kind=UsageError)
    fails("is not a folder", bundle, "--source", pictures, "--out", tmp_path / "text.mp4")
    torn = pictures / "torn.png"
    fails(r"No frame could be inspected \(1 tried\).*torn\.png", bundle, "--source", torn, "--out", out)
    assert invoke(bundle, "--source", pictures, "--threads", 0).exit_code == 2
    assert invoke(bundle, "--source", pictures, "--pictures", "some").exit_code == 2


def test_a_store_that_is_none_is_left_alone(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "results.sqlite").write_text("my notes")
    fails("is no SQLite file", bundle, "--source", pictures, "--out", tmp_path)
    assert (tmp_path / "results.sqlite").read_text() == "my notes"


def test_a_zipped_bundle_runs(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    zipped = shutil.make_archive(str(tmp_path / "tiny"), "zip", bundle.parent, bundle.name)
    result = invoke(zipped, "--source", pictures, "--out", tmp_path / "out", "--pictures", "none")
    assert result.exit_code == 1, (result.output, result.exception)
    assert "5 frames: 3 ok, 1 defect, 1 not inspected" in result.output
