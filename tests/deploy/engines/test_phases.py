from __future__ import annotations

import threading

from temper.deploy.engines.phases import PhaseTree


def told(*calls: tuple[object, ...]) -> list[tuple[int, str]]:
    heard: list[tuple[int, str]] = []
    tree = PhaseTree(lambda percent, phase: heard.append((percent, phase)))
    for method, *arguments in calls:
        getattr(tree, str(method))(*arguments)
    return heard


def test_a_step_under_way_counts_by_the_phases_in_it() -> None:
    assert told(
        ("start", "build", None, 2),
        ("start", "tactics", "build", 4),
        ("step", "tactics", 0),
        ("step", "tactics", 1),
        ("finish", "tactics"),
        ("step", "build", 0),
        ("finish", "build"),
    ) == [(0, "build"), (12, "tactics"), (25, "tactics"), (50, "tactics"), (100, "build")]


def test_a_phase_without_a_parent_begins_anew() -> None:
    heard = told(
        ("start", "parse", None, 1),
        ("finish", "parse"),
        ("start", "build", None, 10),
        ("step", "build", 4),
    )
    assert heard == [(0, "parse"), (100, "parse"), (0, "build"), (50, "build")]


def test_what_was_never_started_is_let_be() -> None:
    assert told(("step", "ghost", 1), ("finish", "ghost"), ("start", "lost", "ghost", 3)) == [(0, "lost")]


def test_several_threads_may_tell() -> None:
    heard: list[int] = []
    tree = PhaseTree(lambda percent, _: heard.append(percent))
    tree.start("build", None, 400)
    threads = [threading.Thread(target=lambda: [tree.step("build", step) for step in range(400)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == sorted(set(heard))
    assert heard[-1] == 100
