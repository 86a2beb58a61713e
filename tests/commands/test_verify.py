"""A finished run, verified as it is and after something went wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from temper.bundle.manifest import with_checksum
from temper.cli import main
from temper.core.files import read_json, sha256_file, write_json
from tiny_run import FinishedRun
from traced_graphs import convolutions, corrupted


@pytest.fixture
def run(finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinishedRun:
    """A finished run of one's own, in the current folder."""
    monkeypatch.chdir(tmp_path)
    return finished_run.copy_to(tmp_path)


def bundle(run: FinishedRun, model: str) -> Path:
    return run.path / f"export-{model}" / f"tiny-{model}.temper"


def spoil(folder: Path, layer: int) -> str:
    """Change a layer's weights in a bundle, hash and all, as a faulty export would have done it; gives its name."""
    graph, manifest = folder / "graphs" / "fp32.onnx", read_json(folder / "manifest.json")
    wrong = convolutions(graph)[layer]
    corrupted(graph, wrong, graph, 3)
    manifest["variants"][0] |= {"sha256": sha256_file(graph), "bytes": graph.stat().st_size}
    write_json(folder / "manifest.json", with_checksum(manifest))
    return wrong


def test_what_was_exported_is_what_was_trained(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "tiny"]) == 0
    said = capsys.readouterr().out
    for model in ("teacher", "student", "distilled"):
        for runtime in ("onnxruntime", "openvino"):
            assert f"{model} fp32 on {runtime}  ok: 6 pictures, numbers within " in said
        record = read_json(run.path / "verify" / f"{model}.json")
        assert record["passed"] is True and record["kind"] == "measured"
        assert record["weights_sha256"] == sha256_file(run.path / model / "weights.safetensors")
        assert [proof["runtime"] for proof in record["proofs"]] == ["onnxruntime", "openvino"]
        for proof in record["proofs"]:
            assert proof["detections"]["matched_share"] > proof["tolerance"]["matched_share"]
            assert proof["raw"]["scores"]["relative_error"] < 1e-4
            assert proof["batch"] == {"size": 8, "same": True, "not_tried": None}
            assert proof["map"]["paddle"] is not None
    assert "batch of 8 the same" in said
    # the stages stand: nothing of what verifying left is theirs
    assert main(["status", "tiny", "--json"]) == 0
    stages = json.loads(capsys.readouterr().out.splitlines()[-1])["stages"]
    assert {stage["state"] for stage in stages} == {"done"}


def test_a_part_of_it_as_json(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "student", "--variant", "fp32", "--runtime", "openvino", "--images", "3", "--json"]
    assert main(["verify", "runs/tiny", *words]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (proof,) = [event for event in events if event["event"] == "proof"]
    assert (proof["model"], proof["variant"], proof["runtime"]) == ("student", "fp32", "openvino")
    assert proof["detections"]["pictures"] == 3
    assert events[-1] == {
        "event": "verified",
        "model": "student",
        "passed": True,
        "record": "runs/tiny/verify/student.json",
        "page": None,
    }
    assert [path.name for path in (run.path / "verify").iterdir()] == ["student.json"]


def test_a_wrong_layer_is_named_and_the_command_fails(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = spoil(bundle(run, "student"), 6)
    assert main(["verify", "tiny", "--model", "student", "--model", "teacher"]) == 1
    said = capsys.readouterr()
    assert "teacher fp32 on openvino  ok: " in said.out
    failed = next(line for line in said.out.splitlines() if line.startswith("student fp32 on onnxruntime  failed: "))
    assert f"the difference begins at {wrong} (Conv)" in failed
    assert said.err.startswith("Error: runs/tiny was not exported as it was trained: student fp32 on onnxruntime, ")
    record = read_json(run.path / "verify" / "student.json")
    assert record["passed"] is False
    assert record["proofs"][0]["suspect"]["layer"]["name"] == wrong
    page = run.path / "verify" / "student.html"
    assert page.is_file() == any(proof["unmatched"] for proof in record["proofs"])


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["tiny", "--model", "studnet"], 2, "there is no 'studnet'. Did you mean 'student'?"),
        (["tiny", "--variant", "int9"], 2, "has no variant 'int9'; it has fp32"),
        (["tiny", "--runtime", "openvin"], 2, "There is no runtime 'openvin'. Did you mean 'openvino'?"),
        (["tiny", "--runtime", "onnxruntime-cuda"], 1, "has no CUDAExecutionProvider"),
        (["tiny", "--images", "0"], 2, "--images"),
        (["tine"], 2, "There is no run tine. Did you mean 'tiny'?"),
    ],
)
def test_what_cannot_be_verified_is_one_sentence(
    run: FinishedRun, capsys: pytest.CaptureFixture[str], words: list[str], code: int, sentence: str
) -> None:
    assert main(["verify", *words]) == code
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
    assert not (run.path / "verify").exists()


def test_a_model_is_read_as_it_was_exported_whatever_the_recipe_says_now(
    run: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = read_json(run.path / "recipe.json")
    recipe["student"] |= {"pixels": "unit", "depth": 34}
    write_json(run.path / "recipe.json", recipe)
    assert main(["verify", "tiny", "--model", "student", "--runtime", "onnxruntime"]) == 0
    assert "student fp32 on onnxruntime  ok: " in capsys.readouterr().out


def test_what_does_not_belong_together_is_not_compared(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    (run.path / "student" / "weights.safetensors").write_bytes(
        (run.path / "distilled" / "weights.safetensors").read_bytes()
    )
    assert main(["verify", "tiny", "--model", "student"]) == 1
    assert "was made of other weights than" in capsys.readouterr().err
    (run.path / "teacher" / "weights.safetensors").unlink()
    assert main(["verify", "tiny", "--model", "teacher"]) == 1
    assert "There are no weights" in capsys.readouterr().err
    bundle(run, "distilled").rename(run.path / "elsewhere.temper")
    assert main(["verify", "tiny", "--model", "distilled"]) == 1
    assert "No distilled is exported in runs/tiny. Export it with 'temper export onnx'" in capsys.readouterr().err


def test_a_graph_that_says_nothing_of_its_decoding_is_not_ours(
    run: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bundle(run, "student")
    graph, manifest = folder / "graphs" / "fp32.onnx", read_json(folder / "manifest.json")
    model = onnx.load(str(graph))
    del model.metadata_props[:]
    onnx.save(model, str(graph))
    manifest["variants"][0] |= {"sha256": sha256_file(graph), "bytes": graph.stat().st_size}
    write_json(folder / "manifest.json", with_checksum(manifest))
    assert main(["verify", "tiny", "--model", "student"]) == 1
    assert "fp32.onnx does not say how it decodes, so it is not a graph of Temper's." in capsys.readouterr().err
