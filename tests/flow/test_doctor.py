from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
from temper.flow import doctor
from temper.flow.doctor import Machine, examine, nvidia_gpus, pip, probe

PLAIN = Machine(gpus=(), jetson=None)
WITH_GPU = Machine(gpus=("NVIDIA A2, 15356 MiB, driver 550, compute capability 8.6",), jetson=None)
JETSON = Machine(gpus=(), jetson="NVIDIA Jetson Orin Nano Developer Kit")


def test_this_machine_is_examined() -> None:
    findings = {finding.name: finding for finding in examine()}
    assert findings["Python"].text.endswith(sys.executable)
    assert re.search(r"\d+ cores usable", findings["CPU"].text)
    assert findings["ONNX Runtime"].found
    assert "CPU" in findings["ONNX Runtime"].text
    wanted = ("CPU features", "Memory", "Disk", "Paddle", "OpenVINO", "TensorRT", "trtexec")
    cameras = ("Cameras (V4L2)", "Cameras (Aravis)", "Cameras (PyAV)", "Cameras (Harvesters)")
    assert {*wanted, *cameras, "Energy (processor)"} < set(findings)
    for finding in findings.values():
        assert finding.text
        assert "\n" not in finding.text + finding.advice
        json.dumps(finding.to_dict())


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("print('{\"a\": 1}')", {"a": 1}),
        ("print('chatter'); print('{\"a\": 1}')", {"a": 1}),
        ("print('[1]')", {"error": "it gave no answer"}),
        ("print('hello')", {"error": "it gave no answer"}),
        ("pass", {"error": "it ended with exit code 0"}),
        ("raise ImportError('no libx.so')", {"error": "ImportError: no libx.so"}),
        ("import os; os.abort()", {"error": "it ended with exit code -6"}),
    ],
)
def test_a_library_is_asked_in_a_process_of_its_own(code: str, answer: dict[str, object]) -> None:
    assert probe(code) == answer


def test_a_library_that_hangs_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.2)
    assert probe("import time; time.sleep(60)") == {"error": "it did not load within 0.2 s"}


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An nvidia-smi that says what is written into it."""
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return program


@pytest.mark.parametrize(
    ("script", "gpus"),
    [
        (
            "echo 'NVIDIA A2, 15356 MiB, 550.54, 8.6'",
            ("NVIDIA A2, 15356 MiB, driver 550.54, compute capability 8.6",),
        ),
        ("echo 'No devices were found'", ()),
        ("echo 'NVIDIA-SMI has failed'; exit 9", ()),
    ],
)
def test_gpus_are_those_the_driver_lists(driver: Path, script: str, gpus: tuple[str, ...]) -> None:
    driver.write_text(f"#!/bin/sh\n{script}\n")
    driver.chmod(0o755)
    assert nvidia_gpus() == gpus


def answers(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    """Libraries answer so; one that is not named is not installed."""

    def probe(code: str) -> dict[str, object]:
        for name, value in values.items():
            if re.search(rf"\b{name}\b", code):
                return value if isinstance(value, dict) else {"error": str(value)}
        module = re.search(r"import json, (\w+)", code)
        return {"error": f"ModuleNotFoundError: No module named '{module[1] if module else ''}'"}

    monkeypatch.setattr(doctor, "probe", probe)


def test_a_build_for_cpus_beside_a_gpu_gets_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(
        monkeypatch,
        paddle={"version": "3.2.2", "cuda": None, "gpus": 0},
        onnxruntime={"version": "1.20", "providers": ["AzureExecutionProvider", "CPUExecutionProvider"]},
    )
    monkeypatch.setattr(doctor, "version_of", lambda *_: "3.2.2")
    for machine, advised in ((PLAIN, False), (WITH_GPU, True)):
        paddle, runtime = doctor._paddle(machine), doctor._onnxruntime(machine)[0]
        assert paddle.found and paddle.text == "3.2.2, build for CPUs"
        assert runtime.found and runtime.text == "1.20; providers: Azure, CPU"
        assert bool(paddle.advice) is bool(runtime.advice) is advised
    command = f"{pip('uninstall', 'paddlepaddle')} && {pip('install', doctor.PADDLE_GPU)} -i https://"
    assert command in doctor._paddle(WITH_GPU).advice
    # the same as the README's
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert doctor._paddle(WITH_GPU).advice.partition(" install ")[2] in readme
    assert "pip install onnxruntime-gpu" in doctor._onnxruntime(WITH_GPU)[0].advice


def test_a_build_for_gpus_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(
        monkeypatch,
        paddle={"version": "3.2.2", "cuda": "12.6", "gpus": 2},
        onnxruntime={"version": "1.20", "providers": ["CUDAExecutionProvider", "CPUExecutionProvider"]},
    )
    monkeypatch.setattr(doctor, "version_of", lambda *_: "3.2.2")
    assert doctor._paddle(WITH_GPU) == doctor.Finding("Paddle", True, "3.2.2, build CUDA 12.6, 2 GPUs")
    assert doctor._onnxruntime(WITH_GPU)[0].advice == ""


def test_what_is_installed_and_broken_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, paddle="ImportError: libgomp.so.1", openvino="OSError: bad ELF", tensorrt="it crashed")
    monkeypatch.setattr(doctor, "version_of", lambda *_: "3.2.2")
    assert doctor._paddle(PLAIN).text == "3.2.2 is installed and does not load: ImportError: libgomp.so.1"
    assert doctor._openvino().text == "OSError: bad ELF"
    assert doctor._tensorrt(WITH_GPU)[0].text == "it crashed"


def test_tensorrt_is_advised_where_it_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch)
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    monkeypatch.setattr(doctor, "_TRTEXEC_PLACES", ())
    package, program = doctor._tensorrt(PLAIN)
    assert (package.text, package.advice) == ("not installed; it needs an NVIDIA GPU", "")
    assert (program.found, program.advice) == (False, "")
    assert "pip install 'tensorrt-cu12>=10.8'" in doctor._tensorrt(WITH_GPU)[0].advice
    assert "libnvinfer-bin" in doctor._tensorrt(WITH_GPU)[1].advice
    assert "nvidia-jetpack" in doctor._tensorrt(JETSON)[0].advice


def test_what_cameras_need_is_named_with_its_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch)
    findings = {finding.name: finding for finding in doctor._cameras()}
    assert "sudo apt install gir1.2-aravis-0.8" in findings["Cameras (Aravis)"].advice
    assert "pip install 'av>=12'" in findings["Cameras (PyAV)"].advice
    assert "pip install 'harvesters>=1.4'" in findings["Cameras (Harvesters)"].advice
    answers(monkeypatch, Aravis={"version": "0.8.30"}, av={}, harvesters="ImportError: genicam")
    monkeypatch.setattr(doctor, "version_of", lambda name: "14.1" if name in ("av", "harvesters") else None)
    findings = {finding.name: finding for finding in doctor._cameras()}
    assert findings["Cameras (Aravis)"].text == "0.8.30"
    assert findings["Cameras (PyAV)"] == doctor.Finding("Cameras (PyAV)", True, "14.1")
    assert findings["Cameras (Harvesters)"].text == "ImportError: genicam"


def test_advice_is_for_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/my env/bin/python")
    assert pip("install", "av>=12") == "'/opt/my env/bin/python' -m pip install 'av>=12'"
    assert pip("uninstall", "av") == "'/opt/my env/bin/python' -m pip uninstall -y av"
    monkeypatch.setattr(doctor, "version_of", lambda *_: None)
    assert pip("uninstall", "av") == "uv pip uninstall --python '/opt/my env/bin/python' av"


def test_sensors_of_energy_that_this_machine_could_have(monkeypatch: pytest.MonkeyPatch) -> None:
    install = "In a clone of Temper: pip install '.[energy]'."
    answers(
        monkeypatch,
        sensors_here={
            "sensors": [{"part": "processor", "text": "rapl (package-0): processor packages", "power": True}],
            "absences": {"GPU": f"A GPU's power is read through nvidia-ml-py, which is not installed. {install}"},
        },
    )
    (processor,) = doctor._energy(PLAIN)
    assert processor == doctor.Finding("Energy (processor)", True, "rapl (package-0): processor packages")
    gpu = doctor._energy(WITH_GPU)[1]
    text = "A GPU's power is read through nvidia-ml-py, which is not installed"
    assert gpu == doctor.Finding("Energy (GPU)", False, text, install)
    assert [finding.name for finding in doctor._energy(JETSON)] == ["Energy (processor)", "Energy (module)"]


def test_a_processor_that_tells_its_heat_alone_is_no_sensor_of_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"part": "processor", "text": "processor: heat and clock, no power", "power": False}
    answers(monkeypatch, sensors_here={"sensors": [told], "absences": {}})
    assert doctor._energy(PLAIN) == [doctor.Finding("Energy (processor)", False, told["text"])]
