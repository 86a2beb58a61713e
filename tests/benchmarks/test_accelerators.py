from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from temper.benchmarks.accelerators import GpuState, gpu_states, power_mode
from temper.benchmarks.history.figures import machine_key, machine_title
from temper.benchmarks.machine import machine_state

NVPMODEL = """\
# FORMAT: < POWER_MODEL ID=id_num NAME=mode_name >
< POWER_MODEL ID=0 NAME=MAXN >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=2 NAME=15W >
< PM_CONFIG DEFAULT=2 >
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def jetson(root: Path, mode: str | None = "pmode:0000") -> Path:
    files = {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64",
        "etc/nvpmodel.conf": NVPMODEL,
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
        "sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
        "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
        "sys/class/devfreq/15340000.vic/max_freq": "1\n",
    }
    return write(root, files | ({} if mode is None else {"var/lib/nvpmodel/status": mode}))


def test_a_jetson_tells_its_gpu_and_power_mode(tmp_path: Path) -> None:
    root = jetson(tmp_path)
    assert gpu_states(root) == (
        GpuState(
            "GPU of the NVIDIA Jetson Orin Nano Developer Kit", "L4T 36.4.3", clock_mhz=306.0, max_clock_mhz=1020.0
        ),
    )
    assert power_mode(root) == "MAXN"
    write(root, {"var/lib/nvpmodel/status": "pmode:0002"})
    assert power_mode(root) == "15W"


def test_a_mode_that_was_never_chosen_is_the_default(tmp_path: Path) -> None:
    assert power_mode(jetson(tmp_path, None)) == "15W"


def test_elsewhere_the_firmware_tells_or_nobody(tmp_path: Path) -> None:
    assert power_mode(tmp_path) is None
    assert power_mode(write(tmp_path, {"sys/firmware/acpi/platform_profile": "balanced\n"})) == "balanced"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (
            "NVIDIA H100 80GB HBM3, 550.54.15, 81559, 1980, 1980, 700.00\n"
            "NVIDIA T4, 550.54.15, 15360, [N/A], 1590, 70.00",
            (
                GpuState("NVIDIA H100 80GB HBM3", "550.54.15", 81559.0, 1980.0, 1980.0, 700.0),
                GpuState("NVIDIA T4", "550.54.15", 15360.0, None, 1590.0, 70.0),
            ),
        ),
        ("No devices were found", ()),
    ],
)
def test_nvidia_smi_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, found: tuple[GpuState, ...]
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpu_states(tmp_path / "no-jetson") == found


def test_a_driver_that_fails_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpu_states(tmp_path / "no-jetson") == ()


def test_another_gpu_or_power_mode_is_another_machine() -> None:
    bare = replace(machine_state(sample_seconds=0), gpus=(), visible_gpus=None, power_mode=None)
    small, large = GpuState("NVIDIA T4", "550"), GpuState("NVIDIA H100", "550")
    keys = [
        machine_key(bare),
        *(machine_key(replace(bare, power_mode=mode)) for mode in ("MAXN", "15W")),
        *(machine_key(replace(bare, gpus=(gpu,))) for gpu in (small, large, replace(large, power_limit_w=300.0))),
        *(machine_key(replace(bare, gpus=(small, large), visible_gpus=shown)) for shown in ("0", "1")),
    ]
    assert len(set(keys)) == len(keys)
    # what happens to it is not what it is
    assert machine_key(replace(bare, gpus=(replace(small, driver="560", clock_mhz=300.0),))) == keys[3]
    assert machine_key(replace(bare, visible_gpus="0")) == keys[0]
    assert machine_title(replace(bare, gpus=(large,), power_mode="MAXN")).endswith(", NVIDIA H100, power mode MAXN")
