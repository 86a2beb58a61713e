from __future__ import annotations

import copy
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from temper.core.errors import UsageError
from temper.distill.paddledet import convert
from temper.distill.paddledet.convert import read_distillation, read_model, require_same_classes, translate
from temper.distill.paddledet.yaml_file import read_config
from temper.distill.recipe_detectors import PicoDetSection, PpYoloeSection, RetinaNetSection
from temper.distill.recipe_file import read_recipe
from temper.distill.recipe_template import write_recipe

ZOO = "https://paddledet.bj.bcebos.com/models"


def change(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_retinanet(configs: Path) -> None:
    model = read_model(configs / "retinanet/r50.yml")
    assert model.classes == 6 and not model.distils
    assert RetinaNetSection(**model.values) == RetinaNetSection(
        depth=50,
        backbone_norm="frozen",
        freeze_stages=1,
        weights=f"{ZOO}/retinanet_r50_fpn_2x_coco.pdparams",
    )


def test_picodet(configs: Path) -> None:
    assert PicoDetSection(**read_model(configs / "picodet/s.yml").values) == PicoDetSection(
        size="s", atss_share=0.333333
    )
    old = PicoDetSection(**read_model(configs / "picodet/esnet.yml").values)
    assert old == PicoDetSection(size="l", backbone="esnet", head_convs=3)


def test_ppyoloe(configs: Path) -> None:
    path = configs / "ppyoloe/plus_s.yml"
    assert PpYoloeSection(**read_model(path).values) == PpYoloeSection(size="s", atss_share=0.375)
    change(path, "width_mult: 0.50", "width_mult: 0.375")
    assert PpYoloeSection(**read_model(path).values).multipliers() == (0.33, 0.375)
    change(path, "use_alpha: True", "use_alpha: False")
    section = PpYoloeSection(**read_model(path).values)
    assert not section.plus and section.pixel_scale == "unit", "the reader says how its weights see pixels"
    change(path, "static_assigner_epoch: 30", "static_assigner_epoch: -1")
    assert read_model(path).values["atss_share"] == 0


def test_the_model_is_the_one_that_was_described(configs: Path) -> None:
    pytest.importorskip("paddle", reason="builds it")
    from temper.distill.detectors.build import build_detector

    section = PicoDetSection(**read_model(configs / "picodet/s.yml").values)
    assert build_detector(section, "abcdef", 0).neck_channels == (96,) * 4


def test_the_articles_distillation(configs: Path) -> None:
    path = configs / "slim/mgd.yml"
    teacher = read_model(path)
    assert teacher.distils and teacher.values["depth"] == 101
    assert teacher.values["weights"] == "output/r101/best_model.pdparams"
    assert teacher.values["training"] == {"epochs": 0}, "it is trained already"
    assert read_distillation(path) == {"mgd": {"alpha": 0.00002, "mask_ratio": 0.65, "alpha_form": "sum"}}


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "retinanet/_base_/model.yml",
            "architecture: RetinaNet",
            "architecture: FasterRCNN",
            "is 'FasterRCNN'; Temper trains",
        ),
        ("retinanet/_base_/model.yml", "variant: b", "variant: d", r"ResNet\.variant is d; Temper has b alone"),
        ("retinanet/_base_/model.yml", "depth: 50", "depth: 200", r"ResNet\.depth is 200"),
        ("retinanet/_base_/model.yml", "use_c5: false", "", r"FPN\.use_c5 is true; Temper has false alone"),
        (
            "retinanet/_base_/model.yml",
            "norm_type: null",
            "norm_type: bn",
            "head_norm: level_batch keeps the levels apart",
        ),
        ("retinanet/_base_/model.yml", "extra_stage: 2", "extra_stage: 3", r"FPN\.extra_stage is 3"),
        (
            "retinanet/_base_/model.yml",
            "SmoothL1Loss",
            "GIoULoss",
            r"loss_bbox\.name is GIoULoss; Temper has SmoothL1Loss",
        ),
        (
            "retinanet/_base_/model.yml",
            "depth: 50",
            "depth: 50\n  magic: 3",
            r"ResNet\.magic is 3, which Temper cannot do",
        ),
        (
            "retinanet/_base_/model.yml",
            "num_convs: 4",
            "num_convs: many",
            r"num_convs is many, and should be a number",
        ),
        ("retinanet/_base_/model.yml", "num_convs: 4", "num_convs: 99", "its head_convs became 99"),
        ("retinanet/_base_/reader.yml", "0.485", "0.5", r"NormalizeImage has mean \[0\.5, .*Temper has ImageNet's"),
        ("retinanet/r50.yml", "http://paddledet", "ftp://paddledet", "begins with https://"),
    ],
)
def test_what_has_no_counterpart_is_named(configs: Path, file: str, old: str, new: str, message: str) -> None:
    change(configs / file, old, new)
    with pytest.raises(UsageError, match=message):
        read_model(configs / "retinanet/r50.yml")


def test_a_whole_recipe(configs: Path, tmp_path: Path) -> None:
    made = translate("steel", configs / "retinanet/r50.yml", configs / "slim/mgd.yml", "neu-det.zip")
    recipe = made.recipe
    assert recipe.student.weights == f"{ZOO}/retinanet_r50_fpn_2x_coco.pdparams"
    assert recipe.teacher.depth == 101 and recipe.teacher.training.epochs == 0
    assert recipe.data.path == "neu-det.zip" and recipe.device == "gpu"
    assert recipe.distillation.mgd is not None and recipe.distillation.mgd.alpha == 2e-5
    training = recipe.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (30, 2, 0.01)
    assert (training.optimizer, training.weight_decay, training.clip_norm) == ("momentum", 1e-4, None)
    assert (training.schedule, training.step_epochs, training.warmup_steps) == ("step", (16, 22), 500)
    assert training.ema_decay is None
    assert training.augment.flip_horizontal and not training.augment.flip_vertical
    assert (recipe.input.width, recipe.input.height, recipe.input.resize) == (1344, 800, "letterbox")
    assert (recipe.export.nms_iou, recipe.export.score_floor, recipe.export.max_detections) == (0.6, 0.05, 80)
    assert any("num_classes is 6" in note for note in made.notes)
    assert any("for square ones give input.width 800" in note for note in made.notes)
    path = tmp_path / "steel.yml"
    path.write_text(write_recipe(recipe, "steel.yml", made.notes))
    assert read_recipe(path) == recipe, "what is written reads back as the same recipe"
    assert "# Note: the teacher's pretrain_weights are taken as trained" in path.read_text()


def test_a_recipe_without_a_teacher(configs: Path) -> None:
    made = translate("steel", configs / "picodet/s.yml", None, None)
    assert made.recipe.teacher == PicoDetSection(size="l")
    assert made.recipe.data.path == "dataset/steel"
    assert made.recipe.training.schedule == "cosine" and made.recipe.training.ema_decay == 0.9998
    assert made.recipe.training.augment.brightness == 0.1 and not made.recipe.training.augment.flip_horizontal
    assert (made.recipe.input.width, made.recipe.input.resize) == (320, "stretch")
    assert any("not changed by RandomCrop" in note for note in made.notes)
    assert any("larger sister teaches" in note for note in made.notes)
    larger = translate("steel", configs / "retinanet/r50.yml", None, None).recipe.teacher
    assert larger == RetinaNetSection(depth=101), "fresh weights are not frozen"


TOLD = {
    "ema_decay_type: exponential": "ema_decay_type (exponential) is left out",
    "cycle_epoch: 40": "cycle_epoch (40) is left out",
    "amp: true\namp_level: O2": "amp_level (O2) is left out",
    "OptimizerBuilder: {clip_grad_by_value: 35}": "OptimizerBuilder.clip_grad_by_value (35) is left out",
    "OptimizerBuilder: {optimizer: {type: Momentum, use_nesterov: true}}": "optimizer.use_nesterov (true) is left out",
    "LearningRate: {schedulers: [!CosineDecay {max_epochs: 300, min_lr_ratio: 0.05}]}": "min_lr_ratio (0.05) is left",
    "LearningRate: {schedulers: [!CosineDecay {max_epochs: 300, last_plateau_epochs: 9}]}": "last_plateau_epochs (9)",
    "LearningRate: {schedulers: [!PiecewiseDecay {}, !LinearWarmup {}]}": "begins at 0.333333 of the learning rate",
    "TrainReader: {mixup_epoch: 250}": "TrainReader.mixup_epoch (250) is left out",
    "TrainReader: {sample_transforms: [RandomFlip: {prob: 0.3}]}": "RandomFlip.prob is 0.3",
    "TrainReader: {sample_transforms: [RandomDistort: {}]}": "hue and saturation stay",
    "EvalReader: {sample_transforms: [Resize: {target_size: 320, interp: 2}]}": "whatever interp says",
    "PicoHeadV2: {nms: {name: MatrixNMS}}": "PicoHeadV2.nms.name (MatrixNMS) is left out",
    "PicoHeadV2: {nms: {name: MultiClassNMS, nms_top_k: 50}}": "nms_top_k (50) is left out",
    "MultiClassNMS: {nms_threshold: 0.9}": "MultiClassNMS ({'nms_threshold': 0.9}) is left out",
}


@pytest.mark.parametrize(("line", "note"), TOLD.items())
def test_whatever_of_a_training_is_left_out_is_told(configs: Path, line: str, note: str) -> None:
    path = configs / "picodet/own.yml"
    path.write_text(f"_BASE_: [s.yml]\n{line}\n")
    notes = translate("steel", path, None, None).notes
    assert any(note in told for told in notes), notes


def test_a_field_that_nobody_knows_is_told_wherever_it_stands(configs: Path) -> None:
    path = configs / "retinanet/r50.yml"
    config = read_config(path)
    schedulers = config["LearningRate"]["schedulers"]
    builder = config["OptimizerBuilder"]
    training = [config, config["LearningRate"], *schedulers, builder, builder["optimizer"], builder["regularizer"]]
    for section in [*training, config["TrainReader"], config["RetinaHead"]["nms"]]:
        section["magic"] = 7
        path.write_text(yaml.safe_dump(config))
        notes = translate("steel", path, None, None).notes
        assert any("magic (7) is left out" in note for note in notes), section
        del section["magic"]


def test_what_makes_no_difference_is_not_told(configs: Path) -> None:
    path = configs / "picodet/own.yml"
    path.write_text(
        "_BASE_: [s.yml]\nsnapshot_epoch: 10\nworker_num: 6\nema_decay_type: threshold\ncycle_epoch: -1\namp: false\n"
        "amp_level: O1\n"
        "OptimizerBuilder: {clip_grad_by_value: null, optimizer: {type: Momentum, use_nesterov: false}}\n"
        "LearningRate: {base_lr: 0.1, schedulers: [!CosineDecay {max_epochs: 300, min_lr_ratio: 0.0}]}\n"
        "TrainReader: {shuffle: true, drop_last: true, collate_batch: false}\n"
    )
    assert not any("left out" in note for note in translate("steel", path, None, None).notes)


def test_mixed_precision_and_a_schedule_without_warm_up(configs: Path) -> None:
    path = configs / "picodet/own.yml"
    decay = "!PiecewiseDecay {milestones: [200], use_warmup: false}"
    path.write_text(f"_BASE_: [s.yml]\namp: true\nLearningRate: {{schedulers: [{decay}, !LinearWarmup {{}}]}}\n")
    made = translate("steel", path, None, None)
    assert made.recipe.training.precision == "amp_fp16" and made.recipe.training.warmup_steps == 0
    path.write_text("_BASE_: [s.yml]\namp: true\nuse_gpu: false\n")
    made = translate("steel", path, None, None)
    assert made.recipe.training.precision == "fp32" and any("amp is left out" in note for note in made.notes)


def test_the_nms_of_the_older_picodet(configs: Path) -> None:
    path = configs / "picodet/own.yml"
    path.write_text(
        "_BASE_: [esnet.yml]\nPicoHead: {nms: {name: MultiClassNMS, nms_threshold: 0.7, keep_top_k: 5000}}\n"
    )
    made = translate("steel", path, None, None)
    assert made.recipe.export.nms_iou == 0.7
    assert any("keep_top_k is 5000" in note for note in made.notes)


def test_another_distillation(configs: Path) -> None:
    path = configs / "slim/mgd.yml"
    text = path.read_text().replace("MGD", "FGD").replace("alpha_mgd: 0.00002", "alpha_fgd: 0.002\n  temp: 0.4")
    path.write_text(text.replace("lambda_mgd: 0.65", "lambda_fgd: 0.000004"))
    found = translate("steel", configs / "retinanet/r50.yml", path, None).recipe.distillation
    assert found.mgd is None and found.fgd is not None
    assert found.fgd.weights() == (0.002, 5e-4, 1e-3, 4e-6)
    assert (found.fgd.form, found.fgd.temperature) == ("sum", 0.4)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "slim/mgd.yml",
            "student_channels: 256",
            "student_channels: 128",
            "student_channels is 128, and that neck has 256",
        ),
        ("slim/mgd.yml", "'neck_f_4', ", "", r"distill_loss_name is .*neck_f_0 to neck_f_4"),
        ("slim/mgd.yml", "lambda_mgd", "lamda_mgd", r"MGDFeatureLoss\.lamda_mgd is 0\.65, which Temper cannot do"),
        ("slim/mgd.yml", "slim_method: MGD", "slim_method: LD", "slim_method is LD; Temper translates MGD, FGD"),
        ("slim/mgd.yml", "slim: Distill", "slim: QAT", "does not distil"),
        ("slim/mgd.yml", "distill_loss: MGDFeatureLoss", "distill_loss: Other", "no fields under that name"),
        ("slim/mgd.yml", "slim: Distill", "num_classes: 80\nslim: Distill", "is for 6 classes and .* for 80"),
        ("slim/mgd.yml", "lambda_mgd: 0.65", "lambda_mgd: 65", r"distillation\.mgd\.mask_ratio is 65"),
        ("retinanet/_base_/optimizer.yml", "Momentum", "RMSProp", "type is RMSProp; Temper has Momentum and AdamW"),
        ("retinanet/_base_/optimizer.yml", "!LinearWarmup", "!ExpWarmup", "schedulers has ExpWarmup"),
    ],
)
def test_a_distillation_that_does_not_fit(configs: Path, file: str, old: str, new: str, message: str) -> None:
    change(configs / file, old, new)
    with pytest.raises(UsageError, match=message):
        translate("steel", configs / "retinanet/r50.yml", configs / "slim/mgd.yml", None)


STRANGE = [None, True, 0, -1, 1.5, float("nan"), 10**400, "x", "", [], {}, [None], {"name": 5}, [[1, 2], [3]]]


def mutated(values: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The values with something else in one or two places."""
    values = copy.deepcopy(values)
    for _ in range(chance.randint(1, 2)):
        place, keys = values, list(values)
        while isinstance(place[key := chance.choice(keys)], dict) and place[key] and chance.random() < 0.8:
            place, keys = place[key], list(place[key])
        place[key] = chance.choice(STRANGE)
    return values


@pytest.mark.parametrize("file", ["retinanet/r50.yml", "picodet/s.yml", "picodet/esnet.yml", "ppyoloe/plus_s.yml"])
def test_whatever_stands_there_the_answer_is_a_recipe_or_a_sentence(
    file: str, configs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(file)
    student, slim = read_config(configs / file), read_config(configs / "slim/mgd.yml")
    read = {"student.yml": student, "slim.yml": slim}
    monkeypatch.setattr(convert, "read_config", lambda path: read[path.name])
    answers = []
    for _ in range(300):
        read |= {"student.yml": mutated(student, chance), "slim.yml": mutated(slim, chance)}
        try:
            translate("steel", Path("student.yml"), Path("slim.yml") if chance.random() < 0.5 else None, None)
            answers.append("")
        except UsageError as error:
            answers.append(str(error))
    assert not any("\n" in answer for answer in answers)
    assert answers.count("") < 280


def test_a_students_file_that_distils(configs: Path) -> None:
    with pytest.raises(UsageError, match="give it with --slim"):
        translate("steel", configs / "slim/mgd.yml", None, None)


def test_weights_are_looked_for_here_and_beside_the_file(configs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = change(
        configs / "retinanet/r50.yml", f"{ZOO.replace('https', 'http')}/retinanet_r50_fpn_2x_coco.pdparams", "w"
    )
    monkeypatch.chdir(configs.parent)
    assert read_model(path).values["weights"] == "w.pdparams"
    (path.parent / "w.pdparams").touch()
    assert read_model(path).values["weights"] == str(path.parent / "w.pdparams")
    (configs.parent / "w.pdparams").touch()
    assert read_model(path).values["weights"] == "w.pdparams"


def recipe_with(folder: Path, text: str) -> Path:
    path = folder / "recipe.yml"
    path.write_text(f"name: steel\ndata: {{synthetic: {{}}}}\n{text}")
    return path


def test_a_recipe_names_configurations(configs: Path, tmp_path: Path) -> None:
    path = recipe_with(
        tmp_path,
        f"""
teacher: {{config: {configs}/slim/mgd.yml}}
student:
  config: ${{CONFIGS}}/retinanet/r50.yml
  weights: null
  freeze_stages: 0
  backbone_norm: train
distillation:
  config: {configs}/slim/mgd.yml
  inherit: false
  mgd: {{alpha: 1e-5}}
""",
    )
    recipe = read_recipe(path, environment={"CONFIGS": str(configs)})
    assert recipe.teacher.depth == 101 and recipe.teacher.training.epochs == 0
    assert recipe.student == RetinaNetSection(depth=50), "what stands beside the file wins"
    assert recipe.distillation.mgd is not None and not recipe.distillation.inherit
    assert (recipe.distillation.mgd.alpha, recipe.distillation.mgd.mask_ratio) == (1e-5, 0.65)
    assert recipe.student.config is None and recipe.distillation.config is None, "the recipe stands on its own"


def test_mistakes_are_told_with_the_recipes_line(configs: Path, tmp_path: Path) -> None:
    change(configs / "retinanet/_base_/model.yml", "variant: b", "variant: d")
    path = recipe_with(
        tmp_path,
        f"teacher:\n  config: {configs}/none.yml\nstudent:\n  config: {configs}/retinanet/r50.yml\n",
    )
    with pytest.raises(UsageError, match=r"ResNet\.variant") as caught:
        read_recipe(path)
    first, second = str(caught.value).splitlines()[:2]
    assert re.search(r"recipe\.yml, line 4: The configuration .*none\.yml cannot be read", first)
    assert re.search(r"recipe\.yml, line 6: .*ResNet\.variant is d", second)


def test_another_kind_than_the_configurations(configs: Path, tmp_path: Path) -> None:
    path = recipe_with(
        tmp_path, f"teacher: {{}}\nstudent: {{detector: picodet, config: {configs}/retinanet/r50.yml}}\n"
    )
    with pytest.raises(UsageError, match=r"describes a retinanet, and student\.detector says picodet"):
        read_recipe(path)


def test_models_for_other_numbers_of_classes(configs: Path, tmp_path: Path) -> None:
    change(configs / "retinanet/r101.yml", "ResNet:", "num_classes: 80\nResNet:")
    path = recipe_with(
        tmp_path,
        f"teacher: {{config: {configs}/retinanet/r101.yml}}\nstudent: {{config: {configs}/retinanet/r50.yml}}\n",
    )
    with pytest.raises(UsageError, match="is for 6 classes and .* for 80"):
        read_recipe(path)
    models = [read_model(configs / "retinanet/r50.yml"), read_model(configs / "picodet/esnet.yml")]
    require_same_classes(*models)  # the second does not say
