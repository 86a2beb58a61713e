from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from temper.bundle.manifest import with_checksum
from temper.commands.bench import bench
from temper.commands.bundle import bundle
from temper.commands.deploy import deploy
from temper.core.errors import TemperError, UsageError
from temper.core.files import read_json, write_json
from tiny_bundle import make_tiny_bundle


def invoke(*arguments: object, group: object = bundle, text: str | None = None) -> Result:
    return CliRunner().invoke(group, list(map(str, arguments)), input=text)  # type: ignore[arg-type]


@pytest.fixture
def keyed(tmp_path: Path) -> Path:
    """A bundle with golden pictures and a key beside it, not signed yet."""
    assert invoke("keygen", tmp_path / "plant").exit_code == 0
    return make_tiny_bundle(tmp_path, golden=True)


def test_from_keys_to_a_checked_single_file(keyed: Path, tmp_path: Path) -> None:
    unsigned = invoke("check", keyed, "--public-key", tmp_path / "plant.pub")
    assert isinstance(unsigned.exception, TemperError)
    assert "is not signed" in str(unsigned.exception)
    assert invoke("sign", keyed, "--key", tmp_path / "plant.key", "--signer", "Quality").exit_code == 0
    assert invoke("pack", keyed).exit_code == 0
    packed = tmp_path / "tiny.temper.zip"
    checked = invoke("check", packed, "--public-key", tmp_path / "plant.pub", "--threads", 1)
    assert checked.exit_code == 0, checked.exception
    assert "ok (1 graph, 4 golden pictures)" in checked.output
    assert "signature   Quality, key " in checked.output
    shown = invoke("inspect", packed)
    assert "whose key this is was not checked" in shown.output
    assert json.loads(invoke("inspect", packed, "--json").output)["signature"]["signer"] == "Quality"


def test_deploy_and_bench_refuse_what_is_not_signed(keyed: Path, tmp_path: Path) -> None:
    key = ("--public-key", tmp_path / "plant.pub")
    source = ("--source", keyed / "golden", "--out", tmp_path / "out")
    for result in (
        invoke("run", keyed, *source, *key, group=deploy),
        CliRunner().invoke(deploy, list(map(str, ("run", keyed, *source))), env={"TEMPER_PUBLIC_KEY": str(key[1])}),
    ):
        assert isinstance(result.exception, TemperError)
        assert "is not signed" in str(result.exception)
    empty = CliRunner().invoke(deploy, list(map(str, ("run", keyed, *source))), env={"TEMPER_PUBLIC_KEY": ""})
    assert empty.exit_code == 2 and "name a file of public keys" in empty.output, "no key at all is said otherwise"
    from temper.benchmarks.candidate import list_candidates

    with pytest.raises(TemperError, match="is not signed"):
        list_candidates([keyed], public_key=tmp_path / "plant.pub")
    assert "--public-key" in invoke("run", "--help", group=bench).output
    invoke("sign", keyed, "--key", tmp_path / "plant.key")
    assert invoke("run", keyed, *source, *key, group=deploy).exit_code == 0
    assert list_candidates([keyed], public_key=tmp_path / "plant.pub")


def test_a_passphrase_from_the_keyboard_or_a_file(keyed: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("steel\n")
    assert invoke("keygen", tmp_path / "locked", "--passphrase", text="steel\nsteel\n").exit_code == 0
    locked = tmp_path / "locked.key"
    assert isinstance(invoke("sign", keyed, "--key", locked).exception, UsageError)
    assert invoke("sign", keyed, "--key", locked, "--passphrase-file", tmp_path / "secret").exit_code == 0


def test_diff_exits_as_diff_does(keyed: Path, tmp_path: Path) -> None:
    same = invoke("diff", keyed, keyed)
    assert (same.exit_code, same.output) == (0, "")
    other = make_tiny_bundle(tmp_path / "other", golden=True)
    manifest = read_json(other / "manifest.json")
    manifest["thresholds"]["dark"] = 0.5
    write_json(other / "manifest.json", with_checksum(manifest))
    different = invoke("diff", keyed, other)
    assert (different.exit_code, different.output) == (1, "thresholds.dark: 0.3 -> 0.5 (+0.2)\n")
    as_json = invoke("diff", keyed, other, "--json")
    assert json.loads(as_json.output) == {"field": "thresholds.dark", "first": 0.3, "second": 0.5}
    invoke("sign", keyed, "--key", tmp_path / "plant.key")
    assert "signed_by: null -> " in invoke("diff", other, keyed).output
    assert isinstance(invoke("diff", keyed, tmp_path / "none").exception, UsageError)


def test_schema_prints_json() -> None:
    assert json.loads(invoke("schema").output)["title"] == "Manifest"
    assert json.loads(invoke("schema", "signature").output)["title"] == "Signature"


def test_a_key_with_a_dot_is_not_two_keys(tmp_path: Path) -> None:
    folders = []
    for name, recipe in (("one", {"a.b": 1}), ("two", {"a": {"b": 1}})):
        folder = make_tiny_bundle(tmp_path / name)
        manifest = read_json(folder / "manifest.json")
        manifest["made_by"]["recipe"] = recipe
        write_json(folder / "manifest.json", with_checksum(manifest))
        folders.append(folder)
    result = invoke("diff", *folders)
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        'made_by.recipe."a.b": 1 -> absent',
        "made_by.recipe.a.b: absent -> 1",
    ]
