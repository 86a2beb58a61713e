from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from temper.benchmarks.remote.hosts import Host
from temper.benchmarks.remote.order import DEFAULT_FOLDER, Asked, Order, make_order
from temper.benchmarks.remote.steps import blocks
from temper.benchmarks.remote.trouble import HostError
from temper.benchmarks.remote.wheel import Wheel
from temper.bundle.pack import pack_bundle
from temper.cli import main
from temper.commands import bench_remote
from temper.core.errors import TemperError, UsageError
from temper.detection.dataset import DataSet, load_split, save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data

HOST = Host("line-3", "10.0.3.7")
WHEEL = Wheel("temper-1-py3-none-any.whl", b"wheel", ())


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    save_split(replace(toy_data(tmp_path / "my data" / "images", 3), labels=LABELS), tmp_path / "my data", "val")
    return load_split(tmp_path / "my data", "val")


def order(bundle: Path, data: DataSet, asked: Asked | None = None, wheels: Path | None = None) -> Order:
    return make_order([bundle], data, "val", asked or Asked(), [HOST], WHEEL, wheels=wheels)


def test_a_job_is_known_by_all_it_is_made_of(tmp_path: Path, data: DataSet) -> None:
    bundle = make_tiny_bundle(tmp_path, name="small")
    first = order(bundle, data).job(HOST)
    assert order(bundle, data).job(HOST) == first
    assert order(bundle, data).job(replace(HOST, name="other", address="elsewhere")) == first
    changed = [
        order(bundle, data, Asked(options=("--seconds", "9"))).job(HOST),
        order(bundle, data).job(replace(HOST, batches=(4,))),
        order(bundle, data.subset([0])).job(HOST),
        order(make_tiny_bundle(tmp_path / "b", name="small", size=(96, 64)), data).job(HOST),
    ]
    data.image_path(data.samples[0]).write_bytes(data.image_path(data.samples[1]).read_bytes())
    changed.append(order(bundle, data).job(HOST))
    assert len({first, *changed}) == 6


def test_what_goes_there(tmp_path: Path, data: DataSet) -> None:
    bundle = make_tiny_bundle(tmp_path, name="small")
    (bundle / "notes.txt").touch()
    made = order(bundle, data)
    paths = sorted(cargo.path.split("/", 2)[2] for cargo in made.cargo if not cargo.path.startswith("programs/"))
    pictures = [f"my data/images/{sample.file_name}" for sample in data.samples]
    assert paths == sorted(
        [
            "my data/annotations/val.json",
            *pictures,
            "small.temper/graphs/fp32.onnx",
            "small.temper/manifest.json",
            WHEEL.name,
        ]
    )
    zipped = order(pack_bundle(bundle), data)
    assert [cargo.path for cargo in zipped.cargo if cargo.path.startswith("bundles/")] == list(zipped.bundles)
    assert zipped.manifests == made.manifests and zipped.bundles[0].endswith(".zip")


def test_a_host_has_wishes_of_its_own(tmp_path: Path, data: DataSet) -> None:
    bundle = make_tiny_bundle(tmp_path, name="small")
    host = replace(HOST, batches=(1, 4), precisions=("fp32",))
    words = make_order([bundle], data, "val", Asked(), [host], WHEEL).words(host)
    plain = " ".join(word for word in words if isinstance(word, str))
    assert "--runtime onnxruntime --precision fp32 --batch 1 --batch 4" in plain
    with pytest.raises(UsageError, match="There is no runtime 'none'"):
        make_order([bundle], data, "val", Asked(), [replace(HOST, runtimes=("none",))], WHEEL)


def test_what_cannot_go_there(tmp_path: Path, data: DataSet) -> None:
    bundle = make_tiny_bundle(tmp_path, name="small")
    with pytest.raises(UsageError, match="There is no folder of wheels"):
        order(bundle, data, wheels=tmp_path / "none")
    with pytest.raises(UsageError, match=r"has no wheels \(\*.whl\) in it"):
        order(bundle, data, wheels=tmp_path)
    with pytest.raises(TemperError, match="has no pictures"):
        order(bundle, data.subset([]))
    made = order(bundle, data)
    (picture,) = [cargo for cargo in made.cargo if cargo.path.endswith("0000.png")]
    data.image_path(data.samples[0]).write_bytes(b"short")
    with pytest.raises(HostError, match="became shorter while it was sent"):
        list(blocks(picture))


def test_only_wheels_that_fit_go_there(tmp_path: Path, data: DataSet) -> None:
    for name in (
        "a-1-py3-none-any.whl",
        "b-1-cp310-cp310-manylinux2014_aarch64.whl",
        "b-1-cp310-cp310-linux_x86_64.whl",
    ):
        (tmp_path / name).write_text(name)
    made = order(make_tiny_bundle(tmp_path, name="small"), data, wheels=tmp_path)
    cargo, place = made.wheels_for("aarch64")
    assert [one.path for one in cargo] == [
        f"{place}/a-1-py3-none-any.whl",
        f"{place}/b-1-cp310-cp310-manylinux2014_aarch64.whl",
    ]
    assert made.wheels_for("x86_64")[1] != place


def test_a_host_is_a_device_of_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = tmp_path / "hosts.yml"
    hosts.write_text("hosts:\n  - {name: a, address: b, device: jetson-orin-nano-9gb}\n")
    words = ["--hosts", str(hosts), "--bundle", "x.temper", "--data", "data", "--out", str(tmp_path / "out")]
    assert main(["bench", "remote", *words]) == 2
    assert "Did you mean 'jetson-orin-nano-8gb'?" in capsys.readouterr().err


def test_the_command_names_the_folder_that_is_used() -> None:
    assert bench_remote.DEFAULT_FOLDER == DEFAULT_FOLDER
