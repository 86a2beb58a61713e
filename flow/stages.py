"""What each stage does: the calls that join data, distillation, export and benchmark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bundle.manifest import BUNDLE_SUFFIX
from ..core.errors import TemperError
from ..core.events import Event, Reporter
from ..core.files import MAX_RECORD_BYTES, read_json, remove_tree, sha256_file, sha256_json
from ..core.models import MODELS
from ..detection.dataset import DataSet, load_split
from ..detection.decode import DecodeSettings
from ..distill.recipe import Recipe, to_plain
from ..distill.recipe_file import without_places
from .folder import RunFolder
from .together import Devices, train_together

if TYPE_CHECKING:
    from ..distill.training.job import TrainingJob

#: The data set inside the data stage's folder.
DATA_NAME = "set"
#: VisualDL's logs inside the run's folder, one folder per training: what 'visualdl --logdir' is given. They are for
#: looking at, so they lie outside the stages, and a stage stands without them.
VISUAL_LOG_NAME = "visualdl"


def run_stage(
    recipe: Recipe,
    run: RunFolder,
    stage: str,
    report: Reporter,
    devices: Devices | None = None,
    shared: Path | None = None,
) -> dict[str, Any]:
    """Do one stage in its folder and return its small facts.

    Args:
        recipe: of the run.
        run: its folder; the stages this one reads are done.
        stage: one of ``keys.STAGES``.
        report: hears of the progress.
        devices: what a training is spread over; None for one process.
        shared: folder of what several runs share; for trainings in this process.

    Raises:
        TemperError: what could not be done.
    """
    if stage == "data":
        return _data(recipe, run, report)
    if stage in MODELS:
        return _train(recipe, run, stage, report, devices or Devices(), shared)
    if stage.startswith("export-"):
        return _export(recipe, run, stage.removeprefix("export-"), report)
    return _benchmark(recipe, run, report) if stage == "benchmark" else _report(recipe, run)


def bundle_path(recipe: Recipe, run: RunFolder, model: str) -> Path:
    """Where a model's bundle lies in a run."""
    return run.stage(f"export-{model}") / f"{recipe.name}-{model}{BUNDLE_SUFFIX}"


def report_path(run: RunFolder) -> Path:
    """Where the run's report lies."""
    return run.stage("report") / "report.html"


def _data(recipe: Recipe, run: RunFolder, report: Reporter) -> dict[str, Any]:
    folder = run.stage("data") / DATA_NAME
    remove_tree(folder)
    section = recipe.data
    if section.synthetic is not None:
        from ..distill.synthetic.generator import write_data_set

        wanted = section.synthetic
        write_data_set(
            folder,
            train=wanted.train,
            val=wanted.val,
            width=wanted.width,
            height=wanted.height,
            seed=wanted.seed,
        )
    else:
        from ..distill.data.importer import import_data

        assert section.path is not None
        summary = import_data(
            Path(section.path), folder, split_ratio=section.split_ratio, split_seed=section.split_seed
        )
        report(Event("note", "data", {"message": str(summary)}))
    sets = {split: load_split(folder, split) for split in ("train", "val")}
    test = _test_split(recipe, run)
    for split, data in sets.items():
        if not len(data):
            raise TemperError(f"The data set has no pictures in its split '{split}'; both train and val are needed.")
    return {
        "labels": list(sets["train"].labels),
        "images": {split: len(data) for split, data in sets.items()},
        "boxes": {split: sum(len(s.labels) for s in data.samples) for split, data in sets.items()},
        "sha256": {split: data.content_hash() for split, data in sets.items()},
        "content_sha256": sha256_json([_content(data) for data in sets.values()]),
        # apart, for no training reads it
        "test_sha256": sha256_json(None if test is None else _content(test)),
    }


def _content(data: DataSet) -> list[str]:
    """Hashes over all that training reads of a split: boxes and labels, and every picture's bytes."""
    pictures = []
    for sample in data.samples:
        try:
            pictures.append(sha256_file(data.image_path(sample)))
        except OSError as error:
            raise TemperError(f"The picture {data.image_path(sample)} cannot be read: {error.strerror}.") from error
    return [data.content_hash(), *pictures]


def data_split(recipe: Recipe, run: RunFolder, split: str) -> DataSet:
    """A split of the run's data, named after where it came from."""
    data = load_split(run.stage("data") / DATA_NAME, split)
    source = "synthetic steel" if recipe.data.path is None else Path(recipe.data.path).resolve().name
    return replace(data, name=f"{source}/{split}")


def _train(
    recipe: Recipe, run: RunFolder, model: str, report: Reporter, devices: Devices, shared: Path | None
) -> dict[str, Any]:
    if devices.count > 1:
        if devices.gpus:
            from ..distill.training.train import require_gpus

            require_gpus(devices.gpus)
        record = train_together(run, model, devices, report)
    else:
        from ..distill.training.train import train_model

        record = train_model(training_job(recipe, run, model, shared), run.stage(model), report)
    if model == "distilled":
        _warn_of_weak_teacher(run, report)
    return record.to_dict()


def training_job(recipe: Recipe, run: RunFolder, model: str, shared: Path | None = None) -> TrainingJob:
    """The training of one of the run's models, given that the data (and the teacher) are there.

    Args:
        recipe: of the run.
        run: its folder.
        model: teacher, student or distilled.
        shared: folder of what several trainings share, the list of unlabelled pictures; None for one by itself.
    """
    from ..distill.training.job import WEIGHTS_NAME, TrainingJob

    section = recipe.section_of(model)
    distils = model == "distilled"
    return TrainingJob(
        role=model,  # type: ignore[arg-type]  # the names are the same on purpose
        detector=section,
        training=recipe.training_of(section),
        input=recipe.input,
        # the same for every recipe, so that a change of the export section leaves the training standing
        decode=DecodeSettings(),
        train=data_split(recipe, run, "train"),
        val=data_split(recipe, run, "val"),
        seed=recipe.seed,
        device=recipe.device,
        distillation=recipe.distillation if distils else None,
        teacher=recipe.teacher if distils else None,
        teacher_weights=run.stage("teacher") / WEIGHTS_NAME if distils else None,
        visual_log=run.path / VISUAL_LOG_NAME / model if recipe.training.visualdl else None,
        unlabelled=Path(recipe.data.unlabelled) if distils and recipe.data.unlabelled else None,
        test=_test_split(recipe, run) if distils and recipe.data.unlabelled else None,
        unlabelled_list=None if shared is None else _shared_list(recipe, run, shared),
    )


def _shared_list(recipe: Recipe, run: RunFolder, shared: Path) -> Path:
    """Where the unlabelled pictures of several trainings are listed: one list for one folder beside one data set."""
    data = run.record("data")
    assert data is not None
    judged = [data.result[identity] for identity in ("content_sha256", "test_sha256")]
    made_for = sha256_json([recipe.data.unlabelled, *judged])
    return shared / f"unlabelled-{made_for[:12]}.json"


def _warn_of_weak_teacher(run: RunFolder, report: Reporter) -> None:
    teacher, student = run.record("teacher"), run.record("student")
    if teacher is None or student is None:
        return
    points = [record.result["accuracy"]["ap"] for record in (teacher, student)]
    if None not in points and points[0] <= points[1]:
        message = (
            f"The teacher ({points[0]:.1f} mAP) is not better than the student alone ({points[1]:.1f} mAP), so there "
            "is little to learn from it; train it longer or choose a larger one."
        )
        report(Event("warning", "distilled", {"message": message}))


def _export(recipe: Recipe, run: RunFolder, model: str, report: Reporter) -> dict[str, Any]:
    from ..distill.training.job import RECORD_NAME, WEIGHTS_NAME
    from ..export.export import export_model
    from ..export.job import ExportJob

    data = run.record("data")
    assert data is not None
    training = run.stage(model) / RECORD_NAME
    job = ExportJob(
        name=f"{recipe.name}-{model}",
        role=model,  # type: ignore[arg-type]
        detector=recipe.section_of(model),
        weights=run.stage(model) / WEIGHTS_NAME,
        labels=tuple(data.result["labels"]),
        input=recipe.input,
        export=recipe.export,
        calibration=data_split(recipe, run, "train"),
        validation=data_split(recipe, run, "val"),
        recipe=without_places(to_plain(recipe)),
        data_sha256=data.result["content_sha256"],
        test=_test_split(recipe, run),
        training=read_json(training, MAX_RECORD_BYTES) if training.is_file() else None,
    )
    manifest = export_model(job, bundle_path(recipe, run, model), report)
    return {
        name: [entry.model_dump(mode="json") for entry in entries]
        for name, entries in (("variants", manifest.variants), ("left_out", manifest.left_out))
    }


def _test_split(recipe: Recipe, run: RunFolder) -> DataSet | None:
    """Pictures that nothing is chosen on, where the data has some."""
    there = (run.stage("data") / DATA_NAME / "annotations" / "test.json").is_file()
    return data_split(recipe, run, "test") if there else None


def judged_split(recipe: Recipe, run: RunFolder) -> DataSet:
    """The pictures that the exported models are judged on."""
    split = recipe.benchmark.split
    data = data_split(recipe, run, "val") if split == "val" else _test_split(recipe, run)
    if data is None or not len(data):
        raise TemperError(
            "benchmark.split is test, and the data has no test pictures. 'temper data split' parts some off; or judge "
            "on the validation pictures with --set benchmark.split=val."
        )
    return data


def _benchmark(recipe: Recipe, run: RunFolder, report: Reporter) -> dict[str, Any]:
    from ..benchmarks.candidate import list_candidates
    from ..benchmarks.history.store import history_path, remember
    from ..benchmarks.latency import STAGE
    from ..benchmarks.measurement import BenchmarkSettings
    from ..benchmarks.run import run_benchmark

    section = recipe.benchmark
    candidates = list_candidates(
        [bundle_path(recipe, run, model) for model in MODELS],
        runtimes=section.runtimes,
        batch_sizes=section.batch_sizes,
        threads=section.threads,
    )
    settings = BenchmarkSettings(
        min_seconds=section.min_seconds, min_samples=section.min_samples, rounds=section.starts
    )
    folder = run.stage("benchmark")
    measured = run_benchmark(candidates, judged_split(recipe, run), settings, folder, report)
    remember(measured, history_path(run.path.parent), folder, report, STAGE)
    return {"candidates": len(candidates)}


def _report(recipe: Recipe, run: RunFolder) -> dict[str, Any]:
    from ..benchmarks.measurement import MEASUREMENTS_NAME
    from ..benchmarks.report.build import ReportInput, build_report
    from ..benchmarks.report.training import TrainingFiles
    from ..distill.training.job import EXAMPLES_NAME, METRICS_NAME, RECORD_NAME

    source = ReportInput(
        name=recipe.name,
        measurements=run.stage("benchmark") / MEASUREMENTS_NAME,
        data=judged_split(recipe, run),
        watched=data_split(recipe, run, "val"),
        recipe=to_plain(recipe),
        trainings={
            model: TrainingFiles(*(run.stage(model) / name for name in (METRICS_NAME, EXAMPLES_NAME, RECORD_NAME)))
            for model in MODELS
        },
    )
    return {"path": build_report(source, run.stage("report")).name}
