"""A recipe's teacher and student, which are one of several kinds of sections."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from temper.core.errors import UsageError
from temper.core.settings.fields import accepted_values, section_fields, walk_fields
from temper.distill.recipe import DataSection, Recipe, SyntheticData
from temper.distill.recipe_detectors import DetectorSection, PicoDetSection, PpYoloeSection, RetinaNetSection
from temper.distill.recipe_file import read_recipe, recipe_from_plain, shipped_recipes
from temper.distill.recipe_template import write_recipe

SECTIONS = [
    RetinaNetSection(depth=18),
    PicoDetSection(size="l", head_convs=2),
    PicoDetSection(backbone="esnet", weights="https://example.com/w.pdparams", weights_sha256="0" * 64),
    PpYoloeSection(size="m", plus=False, pixels="unit"),
]


def recipe_text(folder: Path, student: str) -> Path:
    path = folder / "recipe.yml"
    path.write_text(f"name: steel\ndata:\n  synthetic: {{}}\nteacher:\nstudent:\n{student}")
    return path


@pytest.mark.parametrize("student", SECTIONS)
@pytest.mark.parametrize("teacher", SECTIONS)
def test_written_recipes_read_back(teacher: DetectorSection, student: DetectorSection, tmp_path: Path) -> None:
    recipe = Recipe(name="r", data=DataSection(synthetic=SyntheticData()), teacher=teacher, student=student)
    path = tmp_path / "r.yml"
    path.write_text(write_recipe(recipe, "r.yml"))
    assert read_recipe(path) == recipe
    assert type(read_recipe(path).student) is type(student)
    assert recipe_from_plain(recipe.model_dump(mode="json"), "r") == recipe


def test_a_template_shows_the_fields_of_its_kinds_alone(tmp_path: Path) -> None:
    recipe = Recipe(
        name="r", data=DataSection(synthetic=SyntheticData()), teacher=PpYoloeSection(), student=PicoDetSection()
    )
    text = write_recipe(recipe, "r.yml")
    assert "plus: true # PP-YOLOE+: weighted shortcuts" in text and "backbone: lcnet # 'esnet'" in text
    assert "anchor_scale" not in text
    assert "  detector: picodet # kind of detector; retinanet, picodet or ppyoloe" in text


def test_left_out_it_is_a_retinanet(tmp_path: Path) -> None:
    recipe = read_recipe(recipe_text(tmp_path, "  depth: 18\n"))
    assert recipe.student == RetinaNetSection(depth=18) and recipe.teacher == RetinaNetSection()
    changed = read_recipe(recipe_text(tmp_path, "  depth: 18\n"), ["student={detector: ppyoloe, size: x}"])
    assert changed.student == PpYoloeSection(size="x")


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_retinanets(name: str) -> None:
    recipe = read_recipe(shipped_recipes()[name])
    assert isinstance(recipe.teacher, RetinaNetSection) and isinstance(recipe.student, RetinaNetSection)


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (
            "  detector: picodot\n",
            "line 6: student.detector is 'picodot'; it takes retinanet, picodet or ppyoloe. Did you mean 'picodet'?",
        ),
        ("  detector:\n", "line 6: student.detector is empty; it takes retinanet, picodet or ppyoloe."),
        ("  detector: [picodet]\n", "line 6: student.detector is ['picodet']; it takes retinanet, picodet or ppyoloe."),
        (
            "  detector: picodet\n  depth: 18\n",
            "line 7: there is no field 'depth' in 'student', which is a picodet. It belongs to retinanet.",
        ),
        (
            "  size: s\n",
            "line 6: there is no field 'size' in 'student', which is a retinanet. It belongs to picodet or",
        ),
        (
            "  detector: ppyoloe\n  sise: s\n",
            "line 7: there is no field 'sise' in 'student', which is a ppyoloe. Did you mean 'size'?",
        ),
        ("  detector: ppyoloe\n  size: xs\n", "line 7: student.size is 'xs'; it takes s, m, l or x."),
        (
            "  detector: picodet\n  atss_share: 3\n",
            "line 7: student.atss_share is 3; it takes a number from 0 to 1.",
        ),
        (
            "  detector: picodet\n  training: {epochs: many}\n",
            "line 7: student.training.epochs is 'many'; it takes a whole number from 0 to 10000, or null.",
        ),
        (
            "  detector: picodet\n  training: {epochz: 3}\n",
            "line 7: there is no field 'epochz' in 'student.training'. Did you mean 'epochs'?",
        ),
        (
            "  detector: picodet\n  backbone: esnet\n  size: xs\n",
            "line 5: student: there is no size xs with backbone esnet; take s, m or l, or lcnet.",
        ),
        (
            "  weights: http://example.com/w.pdparams\n",
            "student: 'http://example.com/w.pdparams' could be changed on its way; give the same address with https://.",
        ),
        (
            "  weights: w.pdparams\n  weights_sha256: ABC\n",
            "line 7: student.weights_sha256 is 'ABC'; it takes 64 hexadecimal digits in lower case, or null.",
        ),
        (f"  weights_sha256: '{'0' * 64}'\n", "student: weights_sha256 belongs to weights, and there are none."),
        ("  training: {epochs: 0}\n", "student: training.epochs is 0, so weights must name the trained model."),
        (
            "  weights: w.pdparams\n  training: {epochs: 0}\n",
            "student.training.epochs is 0, so there is nothing a teacher could do; give at least 1.",
        ),
    ],
)
def test_mistakes_name_field_value_and_what_is_right(student: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe\.yml") as caught:
        read_recipe(recipe_text(tmp_path, student))
    assert message in str(caught.value)


def test_a_student_that_is_no_section(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"student is 3; it takes a section with detector \(retinanet, picodet or ppyoloe\)"
    ):
        read_recipe(recipe_text(tmp_path, "  depth: 18\n"), ["student=3"])
    values = {"name": "r", "data": {"synthetic": {}}, "teacher": {}}
    with pytest.raises(UsageError, match="student is missing; it takes a section with detector"):
        recipe_from_plain(values, "r")


def test_configurations_are_followed_in_files_alone() -> None:
    with pytest.raises(ValidationError, match="config is followed where a recipe's file is read"):
        PicoDetSection(config="s.yml")


def test_fields_of_every_kind_are_known() -> None:
    names = section_fields(Recipe, ("student",))
    assert {"depth", "size", "plus", "backbone", "training"} <= set(names) and len(names) == len(set(names))
    assert ("teacher", "training", "epochs") in set(walk_fields(Recipe))
    assert section_fields(Recipe, ("student", "picodet"))[0] == "detector"
    assert "plus" not in section_fields(Recipe, ("student", "picodet"))
    assert accepted_values(Recipe, ("student", "picodet", "size")) == "xs, s, m or l"
    assert accepted_values(Recipe, ("student", "ppyoloe", "detector")) == "retinanet, picodet or ppyoloe"


def test_what_a_network_is_apart_from_its_weights() -> None:
    plain = PicoDetSection().architecture()
    trained = PicoDetSection(weights="w.pdparams", weights_sha256="1" * 64, training={"epochs": 3}).architecture()
    assert plain == trained and plain["size"] == "s"
    assert PicoDetSection(pixels="unit").architecture() != plain


@pytest.mark.parametrize("section", SECTIONS)
def test_necks(section: DetectorSection) -> None:
    strides, channels = section.neck()
    assert len(strides) == len(channels) and list(strides) == sorted(strides)


def test_the_widest_ppyoloe_neck_is_the_deepest() -> None:
    assert PpYoloeSection(size="s").neck() == ((8, 16, 32), (96, 192, 384))
    assert PpYoloeSection(size="x").neck()[1] == (240, 480, 960)
