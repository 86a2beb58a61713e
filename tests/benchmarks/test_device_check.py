from __future__ import annotations

import getpass
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from standin import use_tensorrt
from temper.benchmarks import device_check
from temper.benchmarks.device_check import (
    check_on_device,
    made_up_pictures,
    result_path,
    runtimes_to_check,
    summary_line,
    without_folders,
)
from temper.bundle.loader import Bundle, open_bundle
from temper.core.errors import MissingDependencyError, TemperError, UsageError
from temper.core.events import Event, silent
from temper.core.files import read_json
from temper.deploy.runtimes.base import RawOutput
from temper.deploy.runtimes.openvino import OpenVino
from temper.detection.dataset import DataSet
from tiny_bundle import LABELS, make_tiny_bundle, replace_graph
from toy_data import toy_data


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return open_bundle(make_tiny_bundle(tmp_path))


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    return replace(toy_data(tmp_path / "data" / "images", 6), labels=LABELS)


def test_a_check_on_data_holds_numbers_detections_and_map(bundle: Bundle, data: DataSet) -> None:
    heard: list[Event] = []
    done = check_on_device(bundle, "openvino", data, heard.append, threads=1)
    assert done.passed
    written = read_json(done.path)
    assert done.path == bundle.path.parent / "tiny.check-openvino.json"
    assert (written["runtime"], written["reference"], written["passed"]) == ("openvino", "onnxruntime", True)
    assert written["bundle"]["name"] == "tiny"
    assert written["data_sha256"] == data.content_hash()
    assert written["machine"]["packages"]["openvino"].startswith("20")
    (checked,) = written["variants"]
    assert checked["graph_sha256"] == bundle.variant("fp32").sha256
    assert checked["runtime_version"] == written["machine"]["packages"]["openvino"]
    assert checked["pictures"] == checked["comparison"]["pictures"] == 6
    assert checked["comparison"]["matched_share"] == 1.0
    assert checked["comparison"]["matched"] > 50
    assert checked["comparison"]["scores_of_matched"]["largest"] < 1e-5
    assert checked["comparison"]["box_edges_of_matched_px"]["largest"] < 1e-3
    assert checked["batch"] == {"size": 8, "same": True, "not_tried": None}
    assert checked["accuracy"]["runtime"]["ap"] == pytest.approx(checked["accuracy"]["reference"]["ap"])
    assert heard[-1].data == {"done": 6, "total": 6, "unit": "pictures"}
    line = summary_line(done.results[0], "openvino")
    assert line.startswith("fp32 on openvino  ok: 6 pictures, 100.0% of the detections found again, scores off by ")
    assert "here, mAP" in line and line.endswith("on onnxruntime")


def test_without_data_pictures_are_made_up_and_map_is_left_out(bundle: Bundle) -> None:
    done = check_on_device(bundle, "openvino", None, silent, threads=1)
    (checked,) = read_json(done.path)["variants"]
    assert checked["pictures"] == 8
    assert "accuracy" not in checked
    assert read_json(done.path)["data_sha256"] is None


def test_the_result_names_no_person_host_or_path(bundle: Bundle, data: DataSet) -> None:
    text = check_on_device(bundle, "openvino", data, silent, threads=1).path.read_text(encoding="utf-8")
    for word in (str(bundle.path.parent), str(Path.home()), socket.gethostname(), getpass.getuser(), "0001.png"):
        assert f'"{word}' not in text


def test_the_reference_itself_is_held_against_nothing(bundle: Bundle, data: DataSet) -> None:
    done = check_on_device(bundle, "onnxruntime", data, silent, threads=1)
    (checked,) = read_json(done.path)["variants"]
    assert checked["comparison"] is None and checked["reference_version"] is None
    assert set(checked["accuracy"]) == {"runtime", "ap_at_export"}
    assert "found again" not in summary_line(done.results[0], "onnxruntime")


def test_tensorrt_is_checked_with_its_engines_record(
    bundle: Bundle, data: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tensorrt(monkeypatch, "11.4")
    done = check_on_device(bundle, "tensorrt", data, silent)
    assert done.passed, done.results
    (checked,) = read_json(done.path)["variants"]
    assert checked["engine"]["tensorrt"] == checked["runtime_version"] == "11.4.0.106"
    assert checked["engine"]["gpu"] == "Orin"
    assert checked["comparison"]["matched_share"] == 1.0
    assert checked["notes"] == ["Calls run as one CUDA graph."]
    assert checked["batch"]["same"] is True


def test_an_engine_for_one_picture_is_not_asked_for_eight(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    from temper.deploy.engines.build import ensure_engine
    from temper.deploy.engines.options import build_options, fixed_span

    use_tensorrt(monkeypatch, "11.4")
    ensure_engine(bundle, bundle.variant("fp32"), build_options((64, 64), batches=(fixed_span(1),)))
    done = check_on_device(bundle, "tensorrt", None, silent)
    assert done.passed
    (checked,) = read_json(done.path)["variants"]
    assert checked["batch"]["same"] is None
    assert "takes batches of 1:1:1" in checked["batch"]["not_tried"]


Change = Callable[[RawOutput], RawOutput]


def spoil(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    """Let OpenVINO give other answers."""
    real = OpenVino.infer

    def infer(self: OpenVino, images: NDArray[np.uint8]) -> RawOutput:
        return change(real(self, images))

    monkeypatch.setattr(OpenVino, "infer", infer)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            lambda a: replace(a, scores=a.scores + np.float32(0.02) * (a.labels >= 0)),
            r"% of the detections have a partner in the reference",
        ),
        (lambda a: replace(a, boxes=a.boxes + np.float32(3) * (a.labels >= 0)[..., None]), "boxes leave the picture; "),
        (lambda a: replace(a, scores=a.scores[:, [1, 0, *range(2, 100)]]), r"scores do not descend"),
        (
            lambda a: replace(a, count=a.count * 0),
            "boxes or scores past count are not 0; labels past count are not -1; 0.0%",
        ),
    ],
)
def test_a_runtime_that_detects_otherwise_fails(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, change: Change, fault: str
) -> None:
    spoil(monkeypatch, change)
    done = check_on_device(bundle, "openvino", None, silent, threads=1)
    assert not done.passed
    line = summary_line(done.results[0], "openvino")
    with pytest.raises(TemperError, match=fault):
        raise TemperError(line)
    written = read_json(done.path)
    assert written["passed"] is False and written["variants"][0]["faults"]


def test_map_that_is_too_far_off_fails(bundle: Bundle, data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([41.2, 42.0])
    real = device_check.evaluate
    monkeypatch.setattr(device_check, "evaluate", lambda data, found: replace(real(data, found), ap=next(figures)))
    done = check_on_device(bundle, "openvino", data, silent, threads=1)
    assert done.results[0].faults == ("mAP is 41.2 and the reference's 42.0, further apart than 0.1 points",)


def test_a_batch_that_changes_the_answers_fails(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def last_is_lost(answer: RawOutput) -> RawOutput:
        if len(answer.count) == 1:
            return answer
        values: dict[str, Any] = {name: getattr(answer, name).copy() for name in ("boxes", "scores", "labels", "count")}
        for name, empty in (("boxes", 0), ("scores", 0), ("labels", -1), ("count", 0)):
            values[name][-1] = empty
        return RawOutput(**values)

    spoil(monkeypatch, last_is_lost)
    done = check_on_device(bundle, "openvino", None, silent, threads=1)
    assert done.results[0].faults == ("1 of 8 pictures get another answer in a batch than alone",)


def test_a_variant_for_another_machine_is_not_tried(bundle: Bundle) -> None:
    variant = bundle.variant("fp32").model_copy(update={"target": "tensorrt"})
    other = Bundle(bundle.path, bundle.folder, bundle.manifest.model_copy(update={"variants": [variant]}))
    done = check_on_device(other, "openvino", None, silent)
    assert not done.passed
    assert summary_line(done.results[0], "openvino") == "fp32 on openvino  not tried: made for tensorrt"


def test_what_cannot_be_checked_is_one_sentence(bundle: Bundle, data: DataSet) -> None:
    with pytest.raises(UsageError, match="There is no runtime 'openvin'"):
        check_on_device(bundle, "openvin", None, silent)
    with pytest.raises(MissingDependencyError, match="has no CUDAExecutionProvider"):
        check_on_device(bundle, "onnxruntime-cuda", None, silent)
    with pytest.raises(UsageError, match="has no pictures"):
        check_on_device(bundle, "openvino", data.subset([]), silent)
    with pytest.raises(TemperError, match="The data set toy has a, b, c, and the bundle tiny knows dark"):
        check_on_device(bundle, "openvino", replace(data, labels=("a", "b", "c")), silent)


@pytest.mark.parametrize("sizes", [((64, 64), (128, 96)), ((128, 96), (64, 64))])
@pytest.mark.parametrize("on_data", [True, False])
def test_every_graph_is_judged_at_its_own_size(
    tmp_path: Path, data: DataSet, sizes: tuple[tuple[int, int], ...], on_data: bool
) -> None:
    bundle = open_bundle(make_tiny_bundle(tmp_path, size=sizes[0], other_sizes=sizes[1:], golden=True))
    done = check_on_device(bundle, "openvino", data if on_data else None, silent, threads=1)
    assert [result.faults for result in done.results] == [(), ()]
    assert [result.record["comparison"]["matched"] > 50 for result in done.results] == [True, True]


def test_boxes_beyond_a_smaller_graphs_picture_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the bundle's first size, where nobody would notice."""
    bundle = open_bundle(make_tiny_bundle(tmp_path, size=(128, 96), other_sizes=[(64, 64)]))
    infer = OpenVino.infer

    def further(runtime: OpenVino, images: NDArray[np.uint8]) -> RawOutput:
        answer = infer(runtime, images)
        answer.boxes[:, 0, 2] = 100
        return answer

    monkeypatch.setattr(OpenVino, "infer", further)
    done = check_on_device(bundle, "openvino", None, silent, threads=1)
    outside = ["boxes leave the picture" in result.faults for result in done.results]
    assert outside == [False, True]


def test_a_graph_that_does_not_load_is_a_result(bundle: Bundle) -> None:
    replace_graph(bundle.path, unknown_operator())
    done = check_on_device(open_bundle(bundle.path), "openvino", None, silent)
    assert not done.passed
    assert "cannot load" in done.results[0].faults[0]
    replace_graph(bundle.path, b"nothing that runs")
    done = check_on_device(open_bundle(bundle.path), "openvino", None, silent)
    assert "is no ONNX file that can be read" in done.results[0].faults[0]


def unknown_operator() -> bytes:
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", 64, 64])
    boxes = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["B", 100, 4])
    graph = helper.make_graph([helper.make_node("NoSuchOperator", ["image"], ["boxes"])], "none", [image], [boxes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString())


def test_a_graph_that_does_not_load_is_told_of_without_folders(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message of a runtime names the file; what is passed on names it as it lies in the bundle."""
    (tmp_path / "link").symlink_to(bundle.path.parent)
    replace_graph(bundle.path, unknown_operator())
    monkeypatch.chdir(tmp_path)
    for one in map(open_bundle, (bundle.path, tmp_path / "link" / bundle.path.name, Path(bundle.path.name))):
        for runtime in ("openvino", "onnxruntime"):
            done = check_on_device(one, runtime, None, silent)
            text = done.path.read_text(encoding="utf-8")
            assert "tiny.temper/graphs/fp32.onnx" in text or "tiny.temper:graphs/fp32.onnx" in text
            assert str(tmp_path) not in text and str(tmp_path.resolve()) not in text


def test_folders_are_taken_out_of_messages(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    beside = bundle.path.resolve().parent
    message = (
        f"The engine {beside}/tiny.engines/orin/fp32.engine, of '{bundle.path.absolute()}' and {beside}/cache, is not "
        "/home/ann/x nor (/home/ann) nor /home/anna nor /srv/home/ann."
    )
    assert without_folders(message, bundle) == (
        "The engine tiny.engines/orin/fp32.engine, of 'tiny.temper' and cache, is not "
        "~/x nor (~) nor /home/anna nor /srv/home/ann."
    )


def test_made_up_pictures_differ_and_fit(tmp_path: Path) -> None:
    colour = open_bundle(make_tiny_bundle(tmp_path, "rgb", (96, 64)))
    pictures = made_up_pictures(colour.manifest)
    assert pictures.shape == (8, 64, 96, 3) and pictures.dtype == np.uint8
    assert len({picture.tobytes() for picture in pictures}) == 8


def test_the_result_of_a_zip_lies_beside_the_zip(bundle: Bundle, tmp_path: Path) -> None:
    zipped = Bundle(tmp_path / "part.temper.zip", bundle.folder, bundle.manifest)
    assert result_path(zipped, "tensorrt") == tmp_path / "part.check-tensorrt.json"


def test_which_runtimes_are_checked() -> None:
    assert runtimes_to_check(["tensorrt", "openvino", "tensorrt"], []) == ["tensorrt", "openvino"]
    assert runtimes_to_check([], ["onnxruntime", "openvino", "tensorrt"]) == ["onnxruntime", "openvino"]


def test_a_limit_is_spread_over_the_data(data: DataSet) -> None:
    assert [sample.file_name for sample in data.spread(3).samples] == ["0000.png", "0002.png", "0004.png"]
    assert data.spread(None) is data and data.spread(10) is data


def test_where_nothing_can_be_written_the_verdict_stands(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = check_on_device(bundle, "onnxruntime", None, silent, threads=1, folder=tmp_path / "file")
    assert done.passed
    assert done.unwritten is not None and "cannot be made" in done.unwritten
    done = check_on_device(bundle, "onnxruntime", None, silent, threads=1, folder=tmp_path / "out")
    assert (done.unwritten, done.path.parent) == (None, tmp_path / "out")
    assert done.path.is_file()
