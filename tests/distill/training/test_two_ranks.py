"""Two processes that meet through gloo, and what they make of a batch, against one process and the same batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from temper.core.events import silent
from temper.distill.weights import load_weights

pytest.importorskip("paddle", reason="training needs PaddlePaddle")

from point_detectors import SMALL
from temper.distill.training.log import read_metrics
from temper.distill.training.train import train_model
from tiny_training import start_ranks, tiny_job

#: Every training of the two processes: one start of Paddle for all of them.
CASES = {
    "momentum": {},
    "adamw": {"optimizer": "adamw", "learning_rate": 1e-3},
    "clipped": {"clip_norm": 0.5, "ema_decay": 0.9},
    "scales": {"scales": (0.5, 1.0, 1.5), "augment": {"noise": 0.05, "gamma": 0.3}},
    "stopping": {"early_stopping": {"patience": 1, "hold_out": 0.34}, "epochs": 4},
    "batch_norm": {"norm": "batch"},
}
_SCRIPT = """
import json, sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from temper.core.errors import TemperError
from temper.core.events import silent
from temper.distill import ranks
from temper.distill.paddle_import import paddle
from temper.distill.training.train import train_model
from point_detectors import SMALL
from tiny_training import tiny_job

folder, cases = Path(sys.argv[1]), json.loads(sys.argv[2])
ranks.join_ranks("cpu")
out = folder / ("together" if ranks.rank() == 0 else "other")
seen = {"rank": ranks.rank(), "size": ranks.size()}
seen["normaliser"] = ranks.shared_normaliser(3 if ranks.rank() else 0)
seen["of none"] = ranks.shared_normaliser(0)
seen["tensor"] = float(ranks.shared_normaliser(paddle.to_tensor(2.5 + ranks.rank())))
seen["shared"] = ranks.share_bytes(b"from the first" if ranks.rank() == 0 else b"?").decode()
with ranks.by_itself():
    seen["by itself"] = [ranks.size(), ranks.shared_normaliser(7)]
layers = [paddle.nn.Linear(2, 1, bias_attr=False) for _ in range(3)]
layers[ranks.rank()](paddle.ones([1, 2])).sum().backward()
parameters = [layer.weight for layer in layers]
ranks.average_gradients(parameters)
seen["gradients"] = [None if p.grad is None else p.grad.flatten().tolist() for p in parameters]
seen["record"] = {}
for name, training in cases.items():
    record = train_model(tiny_job(folder / "data", **training), out / name, silent)
    seen["record"][name] = record.weights_sha256
for name in ("picodet", "ppyoloe"):
    train_model(tiny_job(folder / "data", detector=SMALL[name]), out / name, silent)
try:
    train_model(tiny_job(folder / "data", batch_size=7), out / "uneven", silent)
except TemperError as error:
    seen["uneven"] = str(error)
teacher = folder / "together/momentum/weights.safetensors"
train_model(tiny_job(folder / "data", "distilled", teacher=teacher), out / "distilled", silent)
train_model(tiny_job(folder / "data", "distilled", teacher=teacher, everything=True), out / "everything", silent)
job = tiny_job(folder / "data", "distilled", teacher=teacher, epochs=3)
section = job.distillation.model_copy(update={"features": "cached", "cache": str(folder / "features")})
told = []
train_model(replace(job, distillation=section), out / "cached", told.append)
seen["filled"] = len([event for event in told if event.data.get("unit", "").startswith("pictures")])
(folder / f"seen-{ranks.rank()}.json").write_text(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    """A folder in which two processes have done every case."""
    folder = tmp_path_factory.mktemp("ranks")
    tiny_job(folder / "data")
    script = folder / "script.py"
    script.write_text(_SCRIPT)
    processes = start_ranks(script, [str(folder), json.dumps(CASES)])
    for process in processes:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    return folder


def seen(folder: Path, rank: int) -> dict:
    return json.loads((folder / f"seen-{rank}.json").read_text())


def test_what_they_tell_one_another(together):
    for rank in (0, 1):
        told = seen(together, rank)
        assert (told["rank"], told["size"]) == (rank, 2)
        assert told["normaliser"] == 1.5 and told["of none"] == 0.5 and told["tensor"] == 3.0
        assert told["shared"] == "from the first" and told["by itself"] == [1, 7.0]
        assert told["gradients"] == [[0.5, 0.5], [0.5, 0.5], None], "what no rank has a gradient for has none after"
        assert "A batch has 7 pictures, over all 2 processes" in told["uneven"] and "batch_size to 8" in told["uneven"]


@pytest.mark.parametrize("case", [name for name in CASES if name != "batch_norm"])
def test_two_processes_are_one_with_the_same_batch(together, tmp_path, case):
    train_model(tiny_job(together / "data", **CASES[case]), tmp_path / "alone", silent)
    same_within_rounding(together / "together" / case, tmp_path / "alone")


@pytest.mark.parametrize(("name", "everything"), [("distilled", False), ("everything", True)])
def test_two_processes_distil_as_one_does(together, tmp_path, name, everything):
    listing = "everything/unlabelled.json"
    assert (together / "together" / listing).is_file() and not (together / "other" / listing).exists()
    teacher = together / "together/momentum/weights.safetensors"
    job = tiny_job(together / "data", "distilled", teacher=teacher, everything=everything)
    train_model(job, tmp_path / "alone", silent)
    same_within_rounding(together / "together" / name, tmp_path / "alone")


def test_two_processes_fill_and_read_the_same_features(together, tmp_path):
    teacher = together / "together/momentum/weights.safetensors"
    job = tiny_job(together / "data", "distilled", teacher=teacher, epochs=3)
    section = job.distillation.model_copy(update={"features": "cached"})
    train_model(replace(job, distillation=section), tmp_path / "alone", silent)
    same_within_rounding(together / "together/cached", tmp_path / "alone")
    (store,) = (together / "features").glob("features-*")
    checks = np.frombuffer((store / "checks.u64").read_bytes(), "<u8")
    assert len(checks) == 4 * 24 and checks.all()
    # the other one reports to nobody
    assert 0 < seen(together, 0)["filled"] <= 24 and seen(together, 1)["filled"] == 0


def same_within_rounding(together: Path, alone: Path) -> None:
    mine, theirs = (read_metrics(folder / "metrics.jsonl") for folder in (alone, together))
    assert [(e["kind"], e["step"]) for e in mine] == [(e["kind"], e["step"]) for e in theirs]
    steps = [(a, b) for a, b in zip(mine, theirs, strict=True) if a["kind"] == "step"]
    assert [a["total"] for a, _ in steps] == pytest.approx([b["total"] for _, b in steps], rel=1e-4)
    one, two = (load_weights(folder / "weights.safetensors") for folder in (alone, together))
    assert one.keys() == two.keys()
    # a bias in front of a norm has no gradient but rounding, which AdamW blows up to its full rate
    compared = [name for name in one if not (one[name].ndim == 1 and ".conv.bias" in name)]
    assert len(compared) > len(one) - 4
    for name in compared:
        assert np.allclose(one[name], two[name], rtol=1e-3, atol=2e-5), name


def test_only_the_first_writes_and_all_have_its_record(together):
    assert not (together / "other").exists()
    first, second = seen(together, 0), seen(together, 1)
    assert first["record"] == second["record"] and set(first["record"]) == set(CASES)


def test_batch_norm_sees_its_own_share_and_its_statistics_are_averaged(together, tmp_path):
    """Not equal to one process, as each normalises by the pictures it has; but of the same make, and it learns."""
    train_model(tiny_job(together / "data", **CASES["batch_norm"]), tmp_path / "alone", silent)
    one, two = (load_weights(f / "weights.safetensors") for f in (tmp_path / "alone", together / "together/batch_norm"))
    means = [name for name in one if name.endswith("._mean")]
    assert means and any(not np.array_equal(one[name], two[name]) for name in means)
    first, last = (read_metrics(together / "together/batch_norm/metrics.jsonl")[i]["total"] for i in (0, -2))
    assert last < first


@pytest.mark.parametrize("name", ["picodet", "ppyoloe"])
def test_detectors_whose_loss_counts_their_positives_share_the_count(together, tmp_path, name):
    """One rank's few boxes must not weigh as much as the other's many: the first loss is that of one process, but for
    the batch norm."""
    train_model(tiny_job(together / "data", detector=SMALL[name]), tmp_path / "alone", silent)
    alone, two = (read_metrics(f / "metrics.jsonl") for f in (tmp_path / "alone", together / "together" / name))
    assert two[0]["total"] == pytest.approx(alone[0]["total"], rel=0.1)
    assert two[-2]["total"] < two[0]["total"]
