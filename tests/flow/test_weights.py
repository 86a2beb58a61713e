"""Weights with an address in a run: fetched before any work, and not at all where nothing needs them."""

from __future__ import annotations

import hashlib
import http.server
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from temper.core.errors import TemperError
from temper.core.events import Event, silent
from temper.distill.recipe import DataSection, Recipe, SyntheticData
from temper.distill.recipe_detectors import PicoDetSection, RetinaNetSection
from temper.flow.run import run_recipe
from temper.flow.status import run_status

CONTENT = pickle.dumps({"w": np.zeros(3, np.float32)})
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """An address of a weight file on this machine, and what was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *args: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("TEMPER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    yield f"http://127.0.0.1:{httpd.server_port}/zoo/student.pdparams", asked
    httpd.shutdown()
    httpd.server_close()


def recipe_with(weights: str, sha256: str | None) -> Recipe:
    return Recipe(
        name="steel",
        data=DataSection(synthetic=SyntheticData()),
        teacher=RetinaNetSection(depth=18),
        student=PicoDetSection(weights=weights, weights_sha256=sha256),
    )


class Runner:
    """Stands in for the work of the stages: what counts is which are done."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def __call__(self, recipe: Recipe, run: object, stage: str, report: object) -> dict[str, object]:
        self.done.append(stage)
        return {"content_sha256": "data", "test_sha256": "none"} if stage == "data" else {"weights_sha256": stage}


@pytest.mark.parametrize("pin", [SHA256, None])
def test_fetched_before_any_work_and_never_again(
    server: tuple[str, list[str]], tmp_path: Path, pin: str | None
) -> None:
    url, asked = server
    recipe, runner, events = recipe_with(url, pin), Runner(), list[Event]()
    goals = ["student", "teacher"]
    run_recipe(recipe, tmp_path / "runs", events.append, goals, runner=runner)
    assert runner.done == ["data", "teacher", "student"] and len(asked) == 1
    first = events[0]
    assert (first.kind, first.stage) == ("note", "student") and first.data["message"] == f"Fetching {url}"
    run_recipe(recipe, tmp_path / "runs", silent, goals, runner=runner)
    assert len(runner.done) == 3 and len(asked) == 1
    states = {status.stage: status.state for status in run_status(tmp_path / "runs/steel")}
    assert states["student"] == "done"


def test_a_teacher_alone_needs_no_weights_of_the_student(server: tuple[str, list[str]], tmp_path: Path) -> None:
    url, asked = server
    run_recipe(recipe_with(url, SHA256), tmp_path, silent, ["teacher"], runner=Runner())
    assert not asked


def test_a_finished_run_needs_no_network(server: tuple[str, list[str]], tmp_path: Path) -> None:
    url, asked = server
    recipe, runner = recipe_with(url, SHA256), Runner()
    run_recipe(recipe, tmp_path / "runs", silent, ["student"], runner=runner)
    for path in (tmp_path / "cache/weights").iterdir():
        path.unlink()
    run_recipe(recipe, tmp_path / "runs", silent, ["student"], runner=runner)
    assert runner.done == ["data", "student"] and len(asked) == 1


def test_nothing_is_begun_without_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    gone = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    gone.server_close()
    runner = Runner()
    for pin in (SHA256, None):
        recipe = recipe_with(f"http://127.0.0.1:{gone.server_port}/m.pdparams", pin)
        with pytest.raises(TemperError, match="Connection refused"):
            run_recipe(recipe, tmp_path / "runs", silent, ["distilled"], runner=runner)
    assert not runner.done


def test_a_file_with_another_content_than_pinned(tmp_path: Path) -> None:
    path = tmp_path / "w.pdparams"
    path.write_bytes(CONTENT)
    with pytest.raises(TemperError, match="is not the file that the recipe means"):
        run_recipe(recipe_with(str(path), "0" * 64), tmp_path / "runs", silent, ["student"], runner=Runner())
