"""What this machine can do for Temper, and the commands that would add the rest."""

from __future__ import annotations

import json
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from .requirements import training_install_hint

#: A library that has not loaded after this many seconds hangs.
PROBE_SECONDS = 60
PADDLE_GPU = "paddlepaddle-gpu==3.2.2"
_PADDLE_GPU_INDEX = "https://www.paddlepaddle.org.cn/packages/stable/cu126/"
_TRTEXEC_PLACES = (Path("/usr/src/tensorrt/bin/trtexec"), Path("/opt/tensorrt/bin/trtexec"))


@dataclass(frozen=True)
class Finding:
    """One thing that is there or not.

    Attributes:
        name: what was looked for.
        found: whether it is there and works.
        text: version, build or what is wrong.
        advice: how to get it; empty where there is nothing to do.
    """

    name: str
    found: bool
    text: str
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Machine:
    """What the advice depends on."""

    gpus: tuple[str, ...]
    jetson: str | None

    @property
    def has_gpu(self) -> bool:
        """Whether there is an NVIDIA GPU."""
        return bool(self.gpus) or self.jetson is not None


def examine() -> list[Finding]:
    """Look at everything; libraries load in processes of their own, so one that crashes is a finding too."""
    machine = Machine(nvidia_gpus(), jetson_model())
    looks: list[Callable[[], list[Finding]]] = [
        lambda: [_python()],
        lambda: _hardware(machine),
        lambda: _training(machine),
        lambda: _onnxruntime(machine),
        lambda: [_openvino()],
        lambda: _tensorrt(machine),
        lambda: [_runtimes()],
        _cameras,
        lambda: _energy(machine),
    ]
    with ThreadPoolExecutor(2) as pool:
        return [finding for found in pool.map(lambda look: look(), looks) for finding in found]


def pip(verb: str, *packages: str) -> str:
    """A command that installs or uninstalls packages for the Python that runs; by uv where it comes without pip."""
    python, names = shlex.quote(sys.executable), " ".join(shlex.quote(package) for package in packages)
    # looking for the module itself makes setuptools swap distutils under everybody else
    if version_of("pip"):
        return f"{python} -m pip {verb}{' -y' if verb == 'uninstall' else ''} {names}"
    return f"uv pip {verb} --python {python} {names}"


def nvidia_gpus() -> tuple[str, ...]:
    """The NVIDIA GPUs that the driver lists, each in a line."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = ["--query-gpu=name,memory.total,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run([program, *query], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    gpus = []
    for line in done.stdout.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 4:
            gpus.append(f"{parts[0]}, {parts[1]}, driver {parts[2]}, compute capability {parts[3]}")
    return tuple(gpus)


def jetson_model() -> str | None:
    """The name of this Jetson; None on any other machine."""
    try:
        model = Path("/proc/device-tree/model").read_bytes().rstrip(b"\0").decode(errors="replace")
    except OSError:
        return None
    return model if "jetson" in model.lower() or Path("/etc/nv_tegra_release").exists() else None


def probe(code: str) -> dict[str, Any]:
    """Run a few lines of Python in a process of its own.

    Args:
        code: its last line of output must be a JSON object.

    Returns:
        That object, or ``{"error": reason}``.
    """
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return {"error": f"it did not load within {PROBE_SECONDS} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        try:
            value = json.loads(lines[-1])
            return value if isinstance(value, dict) else {"error": "it gave no answer"}
        except json.JSONDecodeError:
            return {"error": "it gave no answer"}
    said = done.stderr.strip().splitlines()
    return {"error": said[-1] if said else f"it ended with exit code {done.returncode}"}


def version_of(*packages: str) -> str | None:
    """The version of the first of these packages that is installed."""
    for package in packages:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return None


def _python() -> Finding:
    version = sys.version_info[:2]
    text = f"{platform.python_version()} at {sys.executable}"
    if (3, 10) <= version <= (3, 12):
        return Finding("Python", True, text)
    return Finding("Python", True, f"{text}; bundles run with it, training does not", training_install_hint())


def _hardware(machine: Machine) -> list[Finding]:
    from ..benchmarks.machine import machine_state

    state = machine_state(sample_seconds=0)
    quota = "" if state.cpu_quota_cores is None else f", {state.cpu_quota_cores:g} allowed by the container"
    features = ", ".join(state.cpu_features) or "no features listed"
    disk = shutil.disk_usage(Path.cwd())
    gpus = [Finding("GPU", True, gpu) for gpu in machine.gpus]
    if machine.jetson:
        gpus.append(Finding("Jetson", True, machine.jetson))
    if not gpus:
        devices = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
        advice = "Install NVIDIA's driver: nvidia-smi, which comes with it, lists no GPU." if devices else ""
        gpus = [Finding("GPU", False, "no NVIDIA GPU that nvidia-smi lists", advice)]
    return [
        Finding("CPU", True, f"{state.cpu_model or platform.machine()}, {state.usable_cores} cores usable{quota}"),
        Finding("CPU features", bool(state.cpu_features), features),
        Finding("Memory", True, f"{state.memory_mib / 1024:.1f} GiB, {state.memory_available_mib / 1024:.1f} GiB free"),
        Finding("Disk", True, f"{disk.free / 2**30:.1f} GiB free in {Path.cwd()}"),
        *gpus,
    ]


_PADDLE_CODE = """
import json, paddle
cuda = paddle.is_compiled_with_cuda()
print(json.dumps({"version": paddle.__version__, "cuda": paddle.version.cuda() if cuda else None,
                  "gpus": paddle.device.cuda.device_count() if cuda else 0}))
"""


def _training(machine: Machine) -> list[Finding]:
    parts = [_paddle(machine)]
    for name, module in (("paddledet", "ppdet"), ("paddle2onnx", "paddle2onnx"), ("onnx", "onnx")):
        version = version_of(name)
        advice = "" if version else training_install_hint()
        parts.append(Finding(name, version is not None, version or f"not installed (module {module})", advice))
    return parts


def _paddle(machine: Machine) -> Finding:
    version = version_of("paddlepaddle-gpu", "paddlepaddle")
    if version is None:
        return Finding("Paddle", False, "not installed; training and export need it", training_install_hint())
    said = probe(_PADDLE_CODE)
    if "error" in said:
        return Finding(
            "Paddle", False, f"{version} is installed and does not load: {said['error']}", training_install_hint()
        )
    build = f"CUDA {said['cuda']}, {said['gpus']} GPUs" if said["cuda"] else "for CPUs"
    advice = ""
    if machine.gpus and not said["cuda"]:
        advice = (
            f"For the GPU: {pip('uninstall', 'paddlepaddle')} && {pip('install', PADDLE_GPU)} -i {_PADDLE_GPU_INDEX}"
        )
    return Finding("Paddle", True, f"{said['version']}, build {build}", advice)


def _onnxruntime(machine: Machine) -> list[Finding]:
    code = "import json, onnxruntime as o; "
    said = probe(code + "print(json.dumps({'version': o.__version__, 'providers': o.get_available_providers()}))")
    if "error" in said:
        return [Finding("ONNX Runtime", False, said["error"], pip("install", "onnxruntime"))]
    providers = [name.removesuffix("ExecutionProvider") for name in said["providers"]]
    advice = ""
    if machine.gpus and "CUDA" not in providers:
        swap = pip("uninstall", "onnxruntime"), pip("install", "onnxruntime-gpu")
        advice = f"For the GPU: {swap[0]} && {swap[1]}"
    return [Finding("ONNX Runtime", True, f"{said['version']}; providers: {', '.join(providers)}", advice)]


def _openvino() -> Finding:
    said = probe(
        # without the telemetry that its import would send
        "import json, sys; sys.modules['openvino_telemetry'] = None; import openvino as o; c = o.Core(); "
        "print(json.dumps({'version': o.__version__, 'devices': c.available_devices}))"
    )
    if "error" in said:
        reason = "not installed" if "No module named" in said["error"] else said["error"]
        return Finding("OpenVINO", False, reason, pip("install", "openvino>=2024.6"))
    return Finding("OpenVINO", True, f"{said['version']}; devices: {', '.join(said['devices']) or 'none'}")


def _tensorrt(machine: Machine) -> list[Finding]:
    said = probe("import json, tensorrt; print(json.dumps({'version': tensorrt.__version__}))")
    found = Finding("TensorRT", True, str(said.get("version")))
    if "error" in said:
        missing = "No module named 'tensorrt'" in said["error"]
        reason = "not installed" if missing else said["error"]
        if not machine.has_gpu:
            reason += "; it needs an NVIDIA GPU"
        found = Finding("TensorRT", False, reason, _tensorrt_advice(machine))
    trtexec = shutil.which("trtexec") or next((str(path) for path in _TRTEXEC_PLACES if path.is_file()), None)
    advice = (
        ""
        if trtexec or not machine.has_gpu
        else "It comes with TensorRT's packages for the system: sudo apt install libnvinfer-bin"
    )
    return [found, Finding("trtexec", trtexec is not None, trtexec or "not in PATH", advice)]


def _runtimes() -> Finding:
    said = probe("import json; from temper.deploy.runtimes.load import absences; print(json.dumps(absences()))")
    there = [name for name, absence in said.items() if absence is None]
    return Finding("Runtimes", bool(there), ", ".join(there) or str(said.get("error", "none")))


def _tensorrt_advice(machine: Machine) -> str:
    if machine.jetson:
        return (
            "It comes with JetPack (sudo apt install nvidia-jetpack); an environment sees it when it is made with "
            f"python3 -m venv --system-site-packages .venv; then {pip('install', 'cuda-python>=12.6,<13')}"
        )
    if machine.gpus:
        packages = "tensorrt-cu12>=10.8", "cuda-python>=12.6,<13"
        return f"{pip('install', *packages)} (fetches NVIDIA's libraries from NVIDIA's own index)"
    return ""  # without an NVIDIA GPU there is nothing to run it on


def _cameras() -> list[Finding]:
    return [_v4l2(), _aravis(), *_camera_packages()]


def _v4l2() -> Finding:
    devices = sorted(Path("/dev").glob("video*"))
    named = []
    for device in devices:
        try:
            name = Path(f"/sys/class/video4linux/{device.name}/name").read_text(encoding="utf-8").strip()
        except OSError:
            name = "unnamed"
        named.append(f"{device} ({name})")
    return Finding("Cameras (V4L2)", bool(named), ", ".join(named) or "no /dev/video*")


def _aravis() -> Finding:
    said = probe(
        "import json; from temper.deploy.cameras.introspection import aravis; Aravis, _ = aravis(); "
        "ask = [getattr(Aravis, f'get_{part}_version', None) for part in ('major', 'minor', 'micro')]; "
        "print(json.dumps({'version': '.'.join(str(one()) for one in ask) if all(ask) else '0.8'}))"
    )
    if "error" not in said:
        return Finding("Cameras (Aravis)", True, str(said["version"]))
    advice = "For GigE Vision and USB3 Vision cameras: sudo apt install gir1.2-aravis-0.8 python3-gi"
    return Finding("Cameras (Aravis)", False, "not installed", advice)


def _camera_packages() -> list[Finding]:
    """What reads streams (PyAV) and what reads GenTL producers (Harvesters)."""
    findings = []
    for name, module, package, purpose in (
        ("Cameras (PyAV)", "av", "av>=12", "For RTSP and V4L2 cameras"),
        (
            "Cameras (Harvesters)",
            "harvesters.core",
            "harvesters>=1.4",
            "For cameras with a GenTL producer",
        ),
    ):
        said = probe(f"import json, {module}; print(json.dumps({{}}))")
        version = version_of(module.partition(".")[0])
        if "error" not in said:
            findings.append(Finding(name, True, version or "installed"))
        else:
            reason = said["error"] if version else "not installed"
            findings.append(Finding(name, False, reason, f"{purpose}: {pip('install', package)}"))
    return findings


_ENERGY_CODE = """
import json
from temper.benchmarks.energy.find import sensors_here
with sensors_here() as found:
    told = [{"part": one.info.part, "text": f"{one.info.name} ({one.info.device}): {one.info.covers}",
             "power": one.info.method is not None} for one in found.sensors]
    print(json.dumps({"sensors": told, "absences": found.absences}))
"""


def _energy(machine: Machine) -> list[Finding]:
    """The sensors of power and heat that this machine could have."""
    said = probe(_ENERGY_CODE)
    if "error" in said:
        return [Finding("Energy sensors", False, said["error"])]
    kinds = {"processor": "processor"} | ({"gpu": "GPU"} if machine.gpus else {})
    kinds |= {"module": "module"} if machine.jetson else {}
    findings = []
    for part, kind in kinds.items():
        own = [one for one in said["sensors"] if one["part"] == part]
        name, reason = f"Energy ({kind})", said["absences"].get(kind, "")
        # its sentence ends with what adds it
        text, _, advice = reason.partition("not installed. ")
        if own:
            findings.append(Finding(name, any(one["power"] for one in own), "; ".join(one["text"] for one in own)))
        else:
            findings.append(Finding(name, False, f"{text}not installed" if advice else text.rstrip("."), advice))
    return findings
