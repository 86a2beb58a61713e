from __future__ import annotations

from pathlib import Path

import pytest
from temper.core.errors import UsageError
from temper.distill.paddledet.yaml_file import read_config


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yml").write_text(text)
    return folder / f"{next(iter(files))}.yml"


def test_files_build_on_one_another(configs: Path) -> None:
    values = read_config(configs / "slim/mgd.yml")
    assert values["ResNet"] == {
        "depth": 101,
        "variant": "b",
        "norm_type": "bn",
        "freeze_at": 0,
        "return_idx": [1, 2, 3],
        "num_stages": 4,
    }
    assert values["epoch"] == 30 and values["pretrain_weights"] == "output/r101/best_model"
    assert values["LearningRate"]["schedulers"][0] == {"name": "PiecewiseDecay", "gamma": 0.1, "milestones": [16, 22]}
    assert values["EvalReader"]["sample_transforms"][0]["Resize"]["target_size"] == [800, 1333]
    assert "_BASE_" not in values


def test_later_files_win(tmp_path: Path) -> None:
    path = written(tmp_path, top="_BASE_: [a.yml, b.yml]\nx: {c: 3}", a="x: {a: 1, b: 1, c: 1}", b="x: {b: 2}")
    assert read_config(path) == {"x": {"a": 1, "b": 2, "c": 3}}


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for tag in (f"!!python/object/apply:os.system ['touch {marker}']", "!!python/name:os.system ''"):
        with pytest.raises(UsageError, match="could not determine a constructor"):
            read_config(written(tmp_path, evil=f"a: {tag}"))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "line 1: "),
        ("- 1\n- 2", "should hold fields"),
        ("a: !Name [1]", "line 1: !Name must stand before fields"),
        ("a: !not.a.name {b: 1}", "is no name of a part"),
        ("a: &a [*a]", "a value contains itself|contains itself"),
        ("_BASE_: 3", "_BASE_ must be a list of files"),
        ("_BASE_: [none.yml]", r"none\.yml cannot be read: No such file or directory\. .*evil\.yml builds on it"),
        ("_BASE_: [evil.yml]", "builds on itself through _BASE_: evil.yml -> evil.yml"),
        ("a: " + "[" * 3000 + "]" * 3000, "is not YAML"),
        ("a: " + "x" * (256 << 10), "larger than 256 KiB"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_config(written(tmp_path, evil=text))


def test_aliases_that_stand_for_gigabytes(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(UsageError, match="more than 50,000 values with its aliases written out"):
        read_config(written(tmp_path, bomb="\n".join(lines)))


def test_files_without_end(tmp_path: Path) -> None:
    for number in range(70):
        written(tmp_path, **{f"f{number}": f"_BASE_: [f{number + 1}.yml]"})
    with pytest.raises(UsageError, match="builds on more than 64 files"):
        read_config(tmp_path / "f0.yml")


def test_an_empty_file(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, empty="# nothing")) == {}
