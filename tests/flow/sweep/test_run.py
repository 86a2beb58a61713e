from __future__ import annotations

import http.server
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from temper.core.errors import DivergedError, OutOfMemoryError, TemperError, UsageError
from temper.core.events import Event, silent
from temper.distill.recipe import Recipe
from temper.distill.recipe_file import read_recipe
from temper.distill.remote_weights import local_weights
from temper.flow.sweep.space import parse_space

pytest.importorskip("paddle", reason="training needs PaddlePaddle")
pytest.importorskip("optuna", reason="a sweep needs Optuna")

from temper.flow.run import run_recipe
from temper.flow.sweep.run import Sweep, run_sweep

THIN = {"depth": 18, "width": 0.125, "neck_channels": 16, "head_convs": 1, "head_norm": "level_batch"}
VALUES: dict[str, Any] = {
    "name": "tiny",
    "data": {"synthetic": {"train": 10, "val": 4}},
    "input": {"width": 64, "height": 64},
    "teacher": {**THIN, "strides": [8, 16, 32]},
    "student": {**THIN, "strides": [8, 16, 32]},
    "training": {"epochs": 1, "batch_size": 4, "warmup_steps": 2, "workers": 0, "checkpoint_seconds": 0},
    "distillation": {"mgd": {"alpha": 0.5, "alpha_form": "mean"}},
}
SPACE = parse_space(["distillation.mgd.alpha=0.05:5:log"], ["distillation.inherit=true,false"])


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.model_validate(VALUES)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs in which the data and the teacher are made."""
    runs = tmp_path_factory.mktemp("runs")
    run_recipe(Recipe.model_validate(VALUES), runs, silent, goals=("teacher",))
    return runs


def made(runs: Path) -> dict[str, str]:
    stages = ("data", "teacher")
    return {stage: json.loads((runs / "tiny" / stage / "stage.json").read_text())["finished_at"] for stage in stages}


def test_two_trials_and_the_recipe_of_the_better_one(recipe: Recipe, trained: Path) -> None:
    before = made(trained)
    events: list[Event] = []
    outcome = run_sweep(Sweep(recipe, SPACE, 2), trained, events.append)
    assert [one.outcome for one in outcome.results] == ["done", "done"]
    assert outcome.results[0].values == {"distillation.mgd.alpha": 0.5, "distillation.inherit": True}
    assert made(trained) == before, "data and teacher are made once"
    best = read_recipe(outcome.folder / "best.yml")
    first = max(outcome.results, key=lambda one: (one.score or 0, -one.place))
    assert best.distillation.mgd is not None
    assert best.distillation.mgd.alpha == first.values["distillation.mgd.alpha"]
    assert replace_alpha(best) == replace_alpha(recipe)
    page = (outcome.folder / "result.md").read_text()
    assert "2 of 2 trials, judged by mAP on synthetic steel/val" in page
    assert page.count("\n| ") == 4
    kept = list((outcome.folder / "trials").glob("*/weights.safetensors"))
    assert [path.parent.name for path in kept] == [first.folder]
    again = run_sweep(Sweep(recipe, SPACE, 2), trained, silent)
    assert again == outcome
    with pytest.raises(UsageError, match="holds a sweep that differs in seed"):
        run_sweep(Sweep(recipe, SPACE, 2, seed=1), trained, silent)
    other = recipe.model_copy(update={"seed": 7})
    with pytest.raises(UsageError, match="differs in the recipe or its data"):
        run_sweep(Sweep(other, SPACE, 2), trained, silent)


def replace_alpha(recipe: Recipe) -> Recipe:
    values = recipe.model_dump(mode="json")
    del values["distillation"]["mgd"]["alpha"], values["distillation"]["inherit"]
    return Recipe.model_validate(values)


@dataclass
class FakeRecord:
    """What the sweep reads of a training's record."""

    accuracy: dict[str, Any]
    epochs: int = 4
    seconds: float = 1.0


def rising_to(score: float, report: Any, epochs: int = 4) -> FakeRecord:
    for epoch in range(1, epochs + 1):
        data = {"epoch": epoch, "figures": {"ap": score * epoch / epochs}, "final": epoch == epochs}
        report(Event("evaluated", "distilled", data))
    return FakeRecord({"ap": score, "ap50": 2 * score})


def four_epochs(recipe: Recipe) -> Recipe:
    student = recipe.student.model_copy(update={"training": recipe.student.training.model_copy(update={"epochs": 4})})
    return recipe.model_copy(update={"student": student})


def test_bad_trials_are_stopped_and_a_divergence_is_no_end(recipe: Recipe, trained: Path) -> None:
    asked: list[str] = []

    def train(job: Any, out: Path, report: Any) -> FakeRecord:
        asked.append(job.val.name)
        if len(asked) == 3:
            raise DivergedError("The loss is not a finite number.")
        return rising_to(40 - 2 * len(asked), report)

    sweep = Sweep(four_epochs(recipe), SPACE, 8)
    outcome = run_sweep(sweep, trained, silent, again=True, train=train)  # type: ignore[arg-type]
    outcomes = [one.outcome for one in outcome.results]
    assert outcomes[:4] == ["done", "done", "failed", "done"]
    assert set(outcomes[5:]) == {"pruned"}
    pruned = outcome.results[-1]
    assert pruned.epoch == 2  # the first quarter of the epochs is not judged
    assert set(asked) == {"synthetic steel/val"}
    page = (outcome.folder / "result.md").read_text()
    assert "stopped after epoch 2 at 12.0 mAP" in page
    assert "failed: The loss is not a finite number." in page
    assert "Best: trial 1" in page


def test_a_trial_that_does_not_fit_memory_is_one_that_failed(recipe: Recipe, trained: Path) -> None:
    asked: list[int] = []

    def train(job: Any, out: Path, report: Any) -> FakeRecord:
        asked.append(len(asked))
        if len(asked) == 2:
            raise OutOfMemoryError("The training ran out of this GPU's memory. A batch of 2 went through.")
        return rising_to(10, report)

    outcome = run_sweep(Sweep(recipe, SPACE, 3), trained, silent, again=True, train=train)  # type: ignore[arg-type]
    assert [one.outcome for one in outcome.results] == ["done", "failed", "done"]
    assert "failed: The training ran out" in (outcome.folder / "result.md").read_text()


def test_memory_that_somebody_else_took_stops_a_sweep_until_it_goes_on(recipe: Recipe, trained: Path) -> None:
    def train(job: Any, out: Path, report: Any) -> FakeRecord:
        if not freed:
            raise TemperError("something else took the memory meanwhile")
        return rising_to(10, report)

    freed = False
    with pytest.raises(TemperError, match="something else took the memory"):
        run_sweep(Sweep(recipe, SPACE, 2), trained, silent, again=True, train=train)  # type: ignore[arg-type]
    freed = True
    outcome = run_sweep(Sweep(recipe, SPACE, 2), trained, silent, train=train)  # type: ignore[arg-type]
    assert [one.outcome for one in outcome.results] == ["done", "done"]


def test_a_part_of_the_training_pictures_can_judge(recipe: Recipe, trained: Path) -> None:
    sets: list[tuple[set[str], set[str]]] = []

    def train(job: Any, out: Path, report: Any) -> FakeRecord:
        sets.append(tuple({sample.file_name for sample in part.samples} for part in (job.train, job.val)))  # type: ignore[arg-type]
        return rising_to(10, report)

    sweep = Sweep(recipe, SPACE, 2, judge_on="train")
    run_sweep(sweep, trained, silent, again=True, train=train)  # type: ignore[arg-type]
    learnt, judged = sets[0]
    assert (len(learnt), len(judged)) == (8, 2)
    assert not learnt & judged
    assert all(name.startswith("train") for name in learnt | judged)
    assert sets[1] == sets[0]


def test_unlabelled_pictures_are_listed_once_for_all_trials(recipe: Recipe, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"listed by its name alone")
    runs, lists = tmp_path / "runs", list[Path]()
    shutil.copytree(trained / "tiny", runs / "tiny")

    def train(job: Any, out: Path, report: Any) -> FakeRecord:
        lists.append(job.unlabelled_list)
        job.unlabelled_list.write_text("{}")
        return rising_to(10, report)

    data = recipe.data.model_copy(update={"unlabelled": str(tmp_path)})
    sweep = Sweep(recipe.model_copy(update={"data": data}), SPACE, 2)
    outcome = run_sweep(sweep, runs, silent, train=train)  # type: ignore[arg-type]
    assert len(lists) == 2 and set(lists) == set(outcome.folder.glob("unlabelled-*.json"))


def test_copies_of_a_picture_are_not_judged_on_where_they_are_learnt_from(
    recipe: Recipe, trained: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(trained / "tiny", runs / "tiny")
    pictures = sorted((runs / "tiny/data").rglob("train_*.png"))
    for one, other in zip(pictures[::2], pictures[1::2], strict=True):
        shutil.copyfile(one, other)
    pair = {path.name: place // 2 for place, path in enumerate(pictures)}
    sides: list[list[set[int]]] = []

    def train(job: Any, out: Path, report: Any) -> FakeRecord:
        sides.append([{pair[Path(sample.file_name).name] for sample in part.samples} for part in (job.train, job.val)])
        return rising_to(10, report)

    run_sweep(Sweep(recipe, SPACE, 1, judge_on="train"), runs, silent, train=train)  # type: ignore[arg-type]
    ((learnt, judged),) = sides
    assert (len(pair), len(learnt), len(judged)) == (10, 4, 1)
    assert not learnt & judged


def test_trials_of_different_lengths_are_not_compared_on_the_way(recipe: Recipe, trained: Path) -> None:
    notes: list[str] = []
    space = parse_space(["student.training.epochs=1:6"], [])

    def train(job: Any, out: Path, report: Any) -> FakeRecord:
        return rising_to(job.training.epochs, report, job.training.epochs)

    outcome = run_sweep(
        Sweep(recipe, space, 6),
        trained,
        lambda event: notes.append(event.data["message"]) if event.kind == "note" else None,
        again=True,
        train=train,  # type: ignore[arg-type]
    )
    assert {one.outcome for one in outcome.results} == {"done"}
    assert sorted(one.values["student.training.epochs"] for one in outcome.results) == [1, 2, 3, 4, 5, 6]
    assert any("none is stopped early" in note for note in notes)


def test_another_failure_ends_the_sweep_and_its_trial_is_tried_again(recipe: Recipe, trained: Path) -> None:
    seen: list[float] = []

    def train(job: Any, out: Path, report: Any) -> FakeRecord:
        seen.append(job.distillation.mgd.alpha)
        if len(seen) == 2:
            raise TemperError("The disk is full.")
        return rising_to(10, report)

    sweep = Sweep(recipe, SPACE, 3)
    with pytest.raises(TemperError, match="The disk is full"):
        run_sweep(sweep, trained, silent, again=True, train=train)  # type: ignore[arg-type]
    outcome = run_sweep(sweep, trained, silent, train=train)  # type: ignore[arg-type]
    assert [one.place for one in outcome.results] == [1, 2, 3]
    assert seen[1] == seen[2] == outcome.results[1].values["distillation.mgd.alpha"]


def three_epochs_in_place(recipe: Recipe, **distillation: Any) -> Recipe:
    """More epochs than flips (one, without any), so that 'auto' keeps the teacher's features on disk."""
    values = recipe.model_dump(mode="json")
    values["training"]["augment"].update(flip_horizontal=False, flip_vertical=False)
    values["student"]["training"]["epochs"] = 3
    values["distillation"].update(distillation)
    return Recipe.model_validate(values)


def filled(events: list[Event]) -> int:
    """How often the teacher was run over all pictures."""
    unit = "pictures seen by the teacher"
    return sum(e.kind == "step" and e.data["unit"] == unit and e.data["done"] == e.data["total"] for e in events)


def test_the_teacher_sees_the_pictures_once_for_all_trials_and_nothing_of_it_is_left(
    recipe: Recipe, tmp_path: Path
) -> None:
    from temper.distill.training.train import train_model

    events: list[Event] = []
    stores: list[int] = []

    def train(job: Any, out: Path, report: Any) -> Any:
        record = train_model(job, out, report)
        stores.append(len(list((tmp_path / "tiny-sweep/features").glob("features-*"))))
        if len(stores) == 2:
            (out / "features/features-of-an-older-temper").mkdir(parents=True)
            raise DivergedError("The loss is not a finite number.")
        return record

    sweep = Sweep(three_epochs_in_place(recipe), SPACE, 3)
    outcome = run_sweep(sweep, tmp_path, events.append, train=train)
    assert [one.outcome for one in outcome.results] == ["done", "failed", "done"]
    assert (filled(events), stores) == (1, [1, 1, 1])
    assert not [path for path in outcome.folder.rglob("*features*") if path.is_dir()]


def test_a_place_of_the_recipes_own_is_used_and_left(recipe: Recipe, tmp_path: Path) -> None:
    events: list[Event] = []
    place = tmp_path / "place"
    own = three_epochs_in_place(recipe, cache=str(place))
    run_sweep(Sweep(own, SPACE, 2), tmp_path / "runs", events.append)
    assert filled(events) == 1
    assert len(list(place.glob("features-*/features.f16"))) == 1
    assert not (tmp_path / "runs/tiny-sweep/features").exists()


def test_a_run_that_lies_where_the_sweep_would_is_left_alone(recipe: Recipe, tmp_path: Path) -> None:
    run = tmp_path / f"{recipe.name}-sweep"
    run.mkdir()
    (run / "recipe.json").write_text("{}")
    with pytest.raises(UsageError, match=r"is the folder of a run, and this sweep would lie there.*--set name=NAME"):
        run_sweep(Sweep(recipe, SPACE, 2), tmp_path, silent, again=True)
    assert [path.name for path in tmp_path.iterdir()] == [run.name]
    assert [path.name for path in run.iterdir()] == ["recipe.json"]


def test_fields_are_checked_before_anything_starts(recipe: Recipe, tmp_path: Path) -> None:
    space = parse_space(["training.learning_rate=1e-4:1e-2:log"], [])
    with pytest.raises(UsageError, match=r"Vary student\.training\.learning_rate instead"):
        run_sweep(Sweep(recipe, space, 2), tmp_path / "runs", silent)
    assert not (tmp_path / "runs").exists()


_SCRIPT = """
import json, sys
from pathlib import Path
from temper.core.events import silent
from temper.distill.recipe import Recipe
from temper.flow.sweep.run import Sweep, run_sweep
from temper.flow.sweep.space import parse_space

recipe = Recipe.model_validate(json.loads(sys.argv[1]))
space = parse_space(["distillation.mgd.alpha=0.05:5:log"], ["distillation.inherit=true,false"])
run_sweep(Sweep(recipe, space, 2), Path(sys.argv[2]), silent)
"""


def test_sigkill_in_a_trial_costs_no_trial(recipe: Recipe, trained: Path, tmp_path: Path) -> None:
    longer = four_epochs(recipe)
    sweep = Sweep(longer, SPACE, 2)
    shutil.copytree(trained / "tiny", tmp_path / "broken/tiny")
    whole = run_sweep(sweep, trained, silent, again=True)
    script = tmp_path / "sweep.py"
    script.write_text(_SCRIPT)
    command = [sys.executable, str(script), json.dumps(longer.model_dump(mode="json")), str(tmp_path / "broken")]
    trials = tmp_path / "broken/tiny-sweep/trials"
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None and len(list(trials.glob("*/checkpoints/*"))) < 1:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(list(trials.iterdir())) >= 1
    broken = run_sweep(sweep, tmp_path / "broken", silent)
    assert [replace(one, seconds=0) for one in broken.results] == [replace(one, seconds=0) for one in whole.results]
    assert not list((tmp_path / "broken").rglob("*.partial"))


def test_a_sweep_from_weights_that_were_still_to_be_fetched_goes_on(
    recipe: Recipe, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, shelf = tmp_path / "runs", tmp_path / "shelf"
    shelf.mkdir()
    shutil.copytree(trained / "tiny", runs / "tiny")
    shutil.copy(trained / "tiny/teacher/weights.safetensors", shelf)
    monkeypatch.setenv("TEMPER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(shelf)))
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{httpd.server_port}/weights.safetensors"
    student = recipe.student.model_copy(update={"weights": address})
    sweep = Sweep(recipe.model_copy(update={"student": student}), SPACE, 1)

    def train(job: Any, out: Path, report: Any) -> FakeRecord:
        # what a real training does with it
        local_weights(job.detector.weights, None, lambda _: None)
        return rising_to(10, report)

    first = run_sweep(sweep, runs, silent, train=train)  # type: ignore[arg-type]
    httpd.shutdown()
    httpd.server_close()
    again = run_sweep(replace(sweep, trials=2), runs, silent, train=train)  # type: ignore[arg-type]
    assert again.results[0] == first.results[0] and len(again.results) == 2
