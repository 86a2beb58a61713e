from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from temper.core.errors import UsageError
from temper.core.files import read_json, write_json
from temper.core.settings.file import MAX_BYTES
from temper.distill.recipe import Recipe, to_plain
from temper.distill.recipe_file import read_recipe, recipe_from_plain, shipped_recipes, without_places

SMALLEST = "name: x\ndata: {synthetic: {}}\nteacher: {}\nstudent: {}\n"


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    """Writes a text to ``r.yml`` and reads it as a recipe."""
    monkeypatch.chdir(tmp_path)

    def read(text: str | bytes, *overrides: str, **environment: str) -> Recipe:
        Path("r.yml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_recipe(Path("r.yml"), overrides, environment)

    return read


def test_what_is_left_out_keeps_its_default(read: Callable[..., Recipe]) -> None:
    recipe = read(SMALLEST + "training: {epochs: 5}\n")
    assert recipe.name == "x"
    assert recipe.training.epochs == 5
    assert recipe.training.batch_size == type(recipe.training)().batch_size


def test_a_section_with_everything_commented_out_is_its_defaults(read: Callable[..., Recipe]) -> None:
    recipe = read(SMALLEST + "training:\n  # epochs: 3\ndistillation:\n")
    assert recipe == read(SMALLEST)


@pytest.mark.parametrize("name", ["demo", "neu-det-cpu", "neu-det"])
def test_shipped_recipes_are_right_and_named_after_their_files(name: str) -> None:
    assert read_recipe(shipped_recipes()[name], environment={}).name == name


def test_a_models_own_training_fields_win(read: Callable[..., Recipe]) -> None:
    recipe = read(SMALLEST, "student.training.epochs=3", "training.epochs=7")
    assert recipe.training_of(recipe.student).epochs == 3
    assert recipe.training_of(recipe.teacher).epochs == 7


def test_later_overrides_win_and_make_sections_that_are_missing(read: Callable[..., Recipe]) -> None:
    overrides = ["training.epochs=3", "training.epochs=4", "training.augment.contrast=0", "data.synthetic.seed=9"]
    recipe = read(SMALLEST, *overrides)
    assert recipe.training.epochs == 4
    assert recipe.training.augment.contrast == 0
    assert recipe.data.synthetic is not None and recipe.data.synthetic.seed == 9


def test_an_override_takes_any_value_of_yaml(read: Callable[..., Recipe]) -> None:
    recipe = read(
        SMALLEST,
        "data.synthetic=null",
        "data.path=folder of mine",
        "export.precisions=[fp32]",
        "training.learning_rate=3e-4",
        "training.clip_norm=",
    )
    assert recipe.data.synthetic is None and recipe.data.path == "folder of mine"
    assert recipe.export.precisions == ("fp32",)
    assert recipe.training.learning_rate == 3e-4
    assert recipe.training.clip_norm is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("taecher: {}", "r.yml, line 5: there is no field 'taecher'. Did you mean 'teacher'?"),
        ("training: {epoch: 3}", "line 5: there is no field 'epoch' in 'training'. Did you mean 'epochs'?"),
        ("batch_size: 3", "line 5: there is no field 'batch_size'. Did you mean 'training.batch_size'?"),
        ("input:\n  heigth: 64", "line 6: there is no field 'heigth' in 'input'. Did you mean 'height'?"),
        ("quux: 1", "line 5: there is no field 'quux'. Known here: benchmark, data, device, "),
        ("device: cup", "line 5: device is 'cup'; it takes cpu or gpu. Did you mean 'cpu'?"),
        ("seed: -1", "line 5: seed is -1; it takes a whole number from 0 to "),
        ("seed: '1'", "line 5: seed is '1'; it takes a whole number"),
        ("training: {epochs: many}", "line 5: training.epochs is 'many'; it takes a whole number from 1 to 10000."),
        ("training: {epochs: true}", "line 5: training.epochs is true; it takes a whole number"),
        ("training: {epochs: 1.5}", "line 5: training.epochs is 1.5; it takes a whole number"),
        ("training: {epochs: }", "line 5: training.epochs is empty; it takes a whole number"),
        ("training: {epochs: {a: 1}}", "line 5: training.epochs is a section; it takes a whole number"),
        ("training: 3", "line 5: training is 3; it takes a section with epochs, "),
        ("training: {learning_rate: .nan}", "line 5: training.learning_rate is nan; it takes a number above 0"),
        (
            "training: {augment: {flip_vertical: yes}}",
            "augment.flip_vertical is 'yes'; it takes true or false.",
        ),
        ("training: {step_epochs: [1, b]}", "line 5: training.step_epochs.1 is 'b'; it takes a whole number from 1."),
        ("input: {width: 50}", "line 5: input.width is 50; it takes a whole number from 32 to 8192, a multiple of 32."),
        ("export: {score_floor: 2}", "line 5: export.score_floor is 2; it takes a number from 0 to 1."),
        ("export: {precisions: []}", "line 5: export.precisions is []; it takes a list of one or more, each "),
        (
            "export: {precisions: [fp31]}",
            "export.precisions.0 is 'fp31'; it takes fp32, fp16, int8 or int8-trt. Did you mean 'fp32'?",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line_its_value_and_what_is_right(
    read: Callable[..., Recipe], lines: str, message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        read(f"{SMALLEST}{lines}\n")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: 12\n", "line 1: name is 12; it takes letters, digits, '.', '_' and '-', .* Put it in quotes."),
        ("name: ../up\n", r"name is '../up'; it takes letters"),
        ("name: x\ndata: {}\n", "line 2: data: give exactly one of 'synthetic' and 'path'"),
        ("name: x\ndata: {synthetic: {}, path: y}\n", "line 2: data: give exactly one of 'synthetic' and 'path'"),
        (
            "data: {synthetic: {}, split_ratio: [1, 2]}\n",
            r"is \[1, 2\]; it takes a list of 3, each a whole",
        ),
        ("data: {synthetic: {}, split_ratio: [1, 0, 2]}\n", r"line 1: data.split_ratio is \[1, 0, 2\]; it must leave"),
        ("teacher: {strides: [8, 15]}\n", r"line 1: teacher.strides is \[8, 15\]; it takes \[8, 16, 32\]"),
        ("name: x\n", "r.yml: data is missing; it takes a section with synthetic, path"),
    ],
)
def test_mistakes_in_what_every_recipe_has(read: Callable[..., Recipe], text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(text)


def test_every_mistake_is_told_at_once_in_the_order_of_the_file(read: Callable[..., Recipe]) -> None:
    with pytest.raises(UsageError, match="r.yml") as caught:
        read("name: x\ndata: {synthetic: {train: 0}}\nteacher: {dept: 18}\nstudent: {}\nseed: a\n")
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "r.yml, line 2",
        "r.yml, line 3",
        "r.yml, line 5",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "--set training.epochs: write it as field=value, for example"),
        ("=3", "--set =3: write it as field=value"),
        ("training.epoch=3", "--set training.epoch=3: there is no field 'epoch' in 'training'. Did you mean 'epochs'"),
        ("traning.epochs=3", "--set traning.epochs=3: there is no field 'traning'. Did you mean 'training'"),
        ("training.epochs=three", "--set training.epochs=three: training.epochs is 'three'; it takes a whole number"),
        ("training.epochs=", "--set training.epochs=: training.epochs is empty"),
        ("training=3", "--set training=3: training is 3; it takes a section"),
        ("name.first=3", "--set name.first=3: name is 'x', which has no field 'first'"),
        ("seed={", "--set seed={, line 1, column 2: this is not YAML"),
    ],
)
def test_a_mistake_in_an_override_names_the_override(read: Callable[..., Recipe], override: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        read(SMALLEST, override)


def test_a_line_that_an_override_replaced_is_not_blamed(read: Callable[..., Recipe]) -> None:
    with pytest.raises(UsageError, match=r"^--set data=\{\}: data: give exactly one"):
        read(SMALLEST, "data={}")
    assert read("name: '!'\n" + SMALLEST.replace("name: x\n", ""), "name=y").name == "y"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "r.yml is not a recipe: it should hold fields such as 'name: demo'"),
        (b"\n# only a comment\n", "r.yml is not a recipe"),
        (b"- a\n- b\n", "r.yml is not a recipe"),
        (b"hello", "r.yml is not a recipe"),
        (b"\x7fELF\x02\x01\x01\xff\xff", r"r.yml is not a text in UTF-8 \(see byte 7\)"),
        (b"name: x\0y", "r.yml: this is not YAML .unacceptable character"),
        (
            b"name: x\ndata:\n\tpath: y\n",
            "r.yml, line 3, column 1: .* Indent with spaces instead of tabs.",
        ),
        (b"name: a\nname: b\n", r"r.yml, line 2: name is there twice \(first in line 1\)."),
        (b"training: {epochs: 1, epochs: 2}\n", "r.yml, line 1: training.epochs is there twice"),
        (b"x: {y: [}\n", "r.yml, line 1, column 9: this is not YAML"),
        (b"name: x\n" * 50_000, f"r.yml is larger than {MAX_BYTES >> 10} KiB, so it is not a recipe"),
    ],
)
def test_what_is_no_recipe_is_refused_in_one_sentence(
    read: Callable[..., Recipe], content: bytes, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read(content)
    assert "\n" not in str(caught.value)


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no recipe .*mine.yml. 'temper init' writes one to start from"):
        read_recipe(tmp_path / "mine.yml")
    with pytest.raises(UsageError, match=r"'temper init --from demo' writes the one that comes with Temper"):
        read_recipe(tmp_path / "demo.yml")
    with pytest.raises(UsageError, match="is a folder, and a recipe is a YAML file"):
        read_recipe(tmp_path)
    (tmp_path / "annotations").mkdir()
    with pytest.raises(UsageError, match=r"is a data set \(give it to a recipe with --set data.path=FOLDER\), and"):
        read_recipe(tmp_path)
    (tmp_path / "manifest.json").touch()
    with pytest.raises(UsageError, match=r"is a bundle \(see 'temper bundle inspect'"):
        read_recipe(tmp_path)


def test_paths_take_variables_and_the_home_folder(read: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    text = "name: x\ndata: {path: '${DATA}/steel'}\nteacher: {weights: ~/w.st}\nstudent: {weights: '${W:-else}.st'}\n"
    recipe = read(text, DATA="/mnt/disk", W="")
    assert recipe.data.path == "/mnt/disk/steel"
    assert recipe.teacher.weights == "/home/somebody/w.st"
    assert recipe.student.weights == "else.st"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("'${DATA}'", r"line 2: data.path is '\$\{DATA\}', and the environment variable DATA is not set"),
        ("'${DATA'", r"a variable is written \$\{NAME\} or"),
        ("''", "data.path is '', which names no file"),
        ('"a\\nb"', "which names no file"),
    ],
)
def test_a_path_that_is_none(read: Callable[..., Recipe], path: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(f"name: x\ndata: {{path: {path}}}\nteacher: {{}}\nstudent: {{}}\n")


def test_plain_values_give_the_same_recipe_again(read: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = read(SMALLEST, "data.synthetic=null", "data.path=${A}", "training.weight_decay=2e-5", A="/x y")
    write_json(tmp_path / "recipe.json", to_plain(recipe))
    assert recipe_from_plain(read_json(tmp_path / "recipe.json"), "recipe.json") == recipe
    # a run's own file may be given where a recipe is asked for
    assert read_recipe(tmp_path / "recipe.json", environment={}) == recipe


def test_plain_values_of_another_version_are_refused(read: Callable[..., Recipe]) -> None:
    plain = to_plain(read(SMALLEST)) | {"teachers": 2}
    with pytest.raises(UsageError, match="recipe.json: there is no field 'teachers'. Did you mean 'teacher'"):
        recipe_from_plain(plain, "recipe.json")
    with pytest.raises(UsageError, match="recipe.json is not a recipe"):
        recipe_from_plain([plain], "recipe.json")


def test_others_learn_no_folder_of_this_machine(read: Callable[..., Recipe]) -> None:
    recipe = read(
        SMALLEST, "data.synthetic=null", "data.path=/home/me/steel.zip", "teacher.weights=https://x.org/w.pdparams"
    )
    plain = to_plain(recipe)
    shared = without_places(plain)
    assert (shared["data"]["path"], shared["teacher"]["weights"]) == ("steel.zip", "https://x.org/w.pdparams")
    assert plain["data"]["path"] == "/home/me/steel.zip"
    assert recipe_from_plain(shared, "shared").student == recipe.student


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["distillation.features=cached", "distillation.response={}"],
            "features is cached, but response read more of the teacher than its neck",
        ),
        (
            ["distillation.features=cached", "training.scales=[0.5, 1]"],
            "features is cached, but training.scales gives the pictures many sizes",
        ),
        (["teacher.backbone_norm=frozen"], "teacher freezes parts of its backbone and starts from no weights"),
        (["student.freeze_stages=1"], "student freezes parts of its backbone and starts from no weights"),
        (["export.precisions=[fp32, int8, fp32]"], "fp32 stands there twice"),
        (["benchmark.runtimes=[openvino, openvino]"], "openvino stands there twice"),
        (["benchmark.batch_sizes=[8, 1, 8]"], "8 stands there twice"),
        (["benchmark.split=test"], "synthetic data has no test pictures"),
    ],
)
def test_what_could_never_work_is_told_before_anything_is_trained(
    read: Callable[..., Recipe], overrides: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read(SMALLEST, *overrides)
