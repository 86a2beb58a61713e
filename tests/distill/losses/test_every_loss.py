"""What holds for all distillation losses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

paddle = pytest.importorskip("paddle", reason="the losses are computed by PaddlePaddle")

from temper.distill.losses.base import NeckPair  # noqa: E402
from temper.distill.losses.build import LOSSES, build_losses  # noqa: E402
from temper.distill.recipe_distillation import DistillationSection  # noqa: E402

# every loss, and what its options change
KINDS = {
    "mgd sum": {"mgd": {"alpha": 1e-3}},
    "mgd mean": {"mgd": {"alpha": 1.0, "alpha_form": "mean"}},
    "mgd relative": {"mgd": {"alpha": 1.0, "alpha_form": "relative"}},
    "mgd with all options": {
        "mgd": {"alpha": 1.0, "alpha_form": "mean", "alpha_end": 0.1, "mask_focus": 0.5, "box_weight": 4}
    },
    "mgd_backbone": {"mgd_backbone": {"alpha": 1.0, "alpha_form": "mean"}},
    "cwd": {"cwd": {}},
    "fgd sum": {"fgd": {"form": "sum"}},
    "fgd relative": {"fgd": {}},
    "response": {"response": {}},
}
NECKS = NeckPair((8, 16), (3, 3), (8, 8))
SAME_CHANNELS = NeckPair((8, 16), (8, 8), (8, 8))


def build(kind: str):
    paddle.seed(3)
    fields = KINDS[kind]
    (loss,) = build_losses(DistillationSection.model_validate({"mgd": None, **fields}), NECKS, NECKS).values()
    return loss


def test_each_loss_of_the_list_is_tested_here_and_has_a_section():
    assert {name for fields in KINDS.values() for name in fields} == set(LOSSES)
    others = {"config", "inherit", "features", "cache", "unlabelled_ratio"}
    assert set(DistillationSection.model_fields) == others | set(LOSSES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_the_mean_of_its_pictures(make_lesson, kind):
    """So that processes with a share of the batch each, gradients averaged, equal one with all of it."""
    loss = build(kind)
    alone = [float(loss(make_lesson([picture]))) for picture in (4, 5, 6)]
    assert min(alone) > 0
    assert float(loss(make_lesson([4, 5, 6]))) == pytest.approx(np.mean(alone), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_reaches_the_teacher(make_lesson, kind):
    lesson = make_lesson(trained=True)
    build(kind)(lesson).backward()
    taught = [*lesson.student, *lesson.student_backbone, lesson.student_outputs.logits]
    assert any(tensor.grad is not None for tensor in taught)
    given = [*lesson.teacher, *lesson.teacher_backbone, lesson.teacher_outputs.logits]
    assert all(tensor.grad is None for tensor in given)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_moves(make_lesson, kind):
    loss = build(kind)
    before = {name: value.numpy().copy() for name, value in loss.named_parameters()}
    optimizer = paddle.optimizer.Adam(0.01, parameters=loss.parameters()) if before else None
    # a context block starts as the identity, so its first half has no slope before the second step
    for picture in range(3 if before else 0):
        loss(make_lesson([picture])).backward()
        optimizer.step()
        optimizer.clear_grad()
    still = [name for name, value in loss.named_parameters() if np.array_equal(before[name], value.numpy())]
    assert still == []
    assert bool(before) == (kind != "response")


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_without_boxes_teach_as_well(make_lesson, kind):
    lesson = make_lesson(boxes=False, trained=True)
    value = build(kind)(lesson)
    value.backward()
    assert 0 < float(value) < 1e6
    taught = [*lesson.student, *lesson.student_backbone, lesson.student_outputs.logits]
    gradients = [tensor.grad for tensor in taught if tensor.grad is not None]
    assert gradients and all(np.isfinite(g.numpy()).all() for g in gradients)


@pytest.mark.parametrize(
    "kind", ["mgd mean", "mgd relative", "mgd with all options", "mgd_backbone", "cwd", "fgd relative"]
)
def test_size_free_forms_do_not_grow_with_the_picture(make_lesson, kind):
    loss = build(kind)
    small, large = (float(loss(make_lesson(range(6), size=size, boxes=False))) for size in (64, 256))
    assert large == pytest.approx(small, rel=0.3)


@pytest.mark.parametrize("kind", ["mgd relative", "cwd", "fgd relative"])
@pytest.mark.parametrize("factor", [0.01, 30.0])
def test_relative_forms_do_not_depend_on_the_size_of_the_networks_numbers(make_lesson, kind, factor):
    lesson = make_lesson()
    loss = build_losses(DistillationSection.model_validate({"mgd": None, **KINDS[kind]}), SAME_CHANNELS)[
        kind.split()[0]
    ]
    if kind == "mgd relative":  # a generation block of no biases passes a factor on
        for name, parameter in loss.named_parameters():
            if name.endswith("bias"):
                parameter.set_value(paddle.zeros_like(parameter))

    def scaled(by: float):
        teacher = [feature * by for feature in lesson.teacher]
        return replace(lesson, student=[feature.flip(1) for feature in teacher], teacher=teacher)

    assert float(loss(scaled(factor))) == pytest.approx(float(loss(scaled(1.0))), rel=1e-4)


@pytest.mark.parametrize("kind", ["mgd sum", "fgd sum"])
def test_the_papers_forms_do_grow(make_lesson, kind):
    loss = build(kind)
    small, large = (float(loss(make_lesson(range(6), size=size, boxes=False))) for size in (64, 256))
    assert large > 1.5 * small


def test_losses_add_up_in_a_fixed_order(make_lesson):
    section = DistillationSection.model_validate({"response": {}, "cwd": {}, "fgd": {}, "mgd_backbone": {}, "mgd": {}})
    losses = build_losses(section, NECKS, NeckPair((16,), (5,), (5,)))
    assert list(losses) == ["mgd", "mgd_backbone", "cwd", "fgd", "response"]
    assert [name for name, loss in losses.items() if loss.needs_head] == ["response"]
    assert [name for name, loss in losses.items() if loss.needs_backbone] == ["mgd_backbone"]
    assert losses["mgd_backbone"].formula().endswith("over strides 16, mask hides 65%, of the backbones")
    assert all("\n" not in loss.formula() for loss in losses.values())


def test_levels_with_channels_of_their_own():
    """Only where a level's channels differ is there a convolution to align them."""
    necks = NeckPair((8, 16, 32), (8, 16, 32), (8, 24, 32))
    section = DistillationSection.model_validate({"cwd": {}, "fgd": {}, "mgd": {"alpha": 1, "alpha_form": "mean"}})
    features = [
        [paddle.randn([1, channels[level], 8 >> level, 8 >> level]) for level in range(3)]
        for channels in (necks.student_channels, necks.teacher_channels)
    ]
    for name, loss in build_losses(section, necks).items():
        aligned = [n for n, _ in loss.named_parameters() if n.startswith("align.")]
        assert aligned == ["align.1.weight", "align.1.bias"][: 1 if name == "cwd" else 2], name
        given = [*features, [np.zeros((0, 4), np.float32)]]
        if name == "mgd":
            given[2] = [paddle.ones([1, 1, 8 >> level, 8 >> level]) for level in range(3)]
            assert float(loss.of_masked(*given)) > 0
        else:
            assert float(loss.of_features(*given[: 2 if name == "cwd" else 3])) > 0
