"""A recipe as a commented file: every field with its value, what it means and what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from ..core.settings.fields import FieldPath, accepted_values, as_written, field_schema, section_fields
from .recipe import DataSection, Recipe, SyntheticData, to_plain
from .recipe_detectors import RetinaNetSection
from .recipe_distillation import DistillationSection, MgdSection

#: A header line for each section; its docstring is not written for users of a file.
_HEADINGS: dict[FieldPath, str] = {
    ("data",): "where the pictures come from: 'synthetic' or 'path', the other one null",
    ("data", "synthetic"): "hot-rolled steel made on the spot; null where 'path' is given",
    ("input",): "what the networks see",
    ("teacher",): "the large model that teaches; each kind of detector has fields of its own",
    ("student",): "the small model, trained twice: alone, and taught by the teacher",
    ("teacher", "training"): "what differs from 'training' below for this model; null: nothing",
    ("student", "training"): "what differs from 'training' below for this model; null: nothing",
    ("training",): "how all models are trained",
    ("training", "augment"): "changes of a training picture that leave steel steel",
    ("distillation",): "how the teacher teaches",
    ("distillation", "mgd"): "Masked Generative Distillation (arXiv 2205.01529)",
    ("distillation", "mgd_backbone"): "the same on the backbones' outputs; {} switches it on, null off",
    ("distillation", "cwd"): "Channel-wise Distillation (arXiv 2011.13256); {} switches it on, null off",
    ("distillation", "fgd"): "Focal and Global Distillation (arXiv 2111.11837); {} switches it on, null off",
    ("distillation", "response"): "the teacher's answers as targets, same heads only; {} switches it on, null off",
    ("export",): "what becomes of the trained models: one ONNX graph per precision",
    ("benchmark",): "what is measured of the graphs",
}
_OPENING = """\
# A recipe for Temper, with every field there is. Behind the # stand what a field means and what it takes.
#
#   temper run {file}
#   temper run {file} --set data.synthetic=null --set data.path=FOLDER     with your own pictures
#
# Paths start from the folder the command is given in; in them ~ is the home folder, and ${{VARIABLE}} or
# ${{VARIABLE:-otherwise}} are taken from the environment. A single field can be changed for one run:
# --set training.epochs=3
"""


def starter_recipe(name: str) -> Recipe:
    """The recipe that ``temper init`` writes: the defaults, with what trains small models from scratch on a CPU."""
    small = {"neck_channels": 96, "head_convs": 2, "head_norm": "level_batch"}
    return Recipe(
        name=name,
        data=DataSection(synthetic=SyntheticData()),
        teacher=RetinaNetSection.model_validate({"depth": 34, **small}),
        student=RetinaNetSection.model_validate({"depth": 18, **small}),
        # the paper's alpha belongs to its own, larger pictures
        distillation=DistillationSection(mgd=MgdSection(alpha=0.4, alpha_form="relative")),
    )


def write_recipe(recipe: Recipe, file: str, notes: Sequence[str] = ()) -> str:
    """A recipe as YAML with a comment for every field.

    Args:
        recipe: what to write; reading the text gives an equal one.
        file: the name it will have, for its opening lines.
        notes: what else the opening lines should say, one sentence each, without a full stop.
    """
    lines = _OPENING.format(file=file).splitlines()
    # a note may quote a stranger's file: whatever is in it stays on its line, behind the mark of a comment
    lines += ["#", *(f"# Note: {' '.join(note.split())}." for note in notes)] if notes else []
    _section(to_plain(recipe), (), lines)
    return "\n".join(lines) + "\n"


def _section(values: dict[str, Any], path: FieldPath, lines: list[str]) -> None:
    """Lines for the fields of a section, sections in it last; ``path`` names the kind of a section that has several."""
    written = as_written(Recipe, path)
    indent = "  " * len(written)
    names = section_fields(Recipe, path)
    for name in sorted(names, key=lambda name: isinstance(values[name], dict)):
        inner, value = (*path, name), values[name]
        if isinstance(value, dict):
            if not path:
                lines.append("")
            lines.append(f"{indent}{name}: # {_heading(inner)}")
            has_kinds = "oneOf" in (field_schema(Recipe, inner) or {})
            _section(value, (*inner, value["detector"]) if has_kinds else inner, lines)
        else:
            comment = _comment(inner)
            lines.append(f"{indent}{name}: {_scalar(value)}{' # ' if comment else ''}{comment}")


def _heading(path: FieldPath) -> str:
    heading = _HEADINGS.get(as_written(Recipe, path))
    return heading or str((field_schema(Recipe, path) or {}).get("description", path[-1]))


def _comment(path: FieldPath) -> str:
    entry = field_schema(Recipe, path) or {}
    if (heading := _HEADINGS.get(as_written(Recipe, path))) is not None:
        return heading
    return "; ".join(part for part in (entry.get("description", ""), accepted_values(Recipe, path)) if part)


def _scalar(value: Any) -> str:
    """A value as YAML on one line, in a form that reads back as the same value."""
    if isinstance(value, float):
        # 2e-05 is a number in YAML 1.2, and a text to some readers of 1.1 unless it has a point
        text = repr(value)
        return text.replace("e", ".0e", 1) if "e" in text and "." not in text else text
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True).removesuffix("\n...\n").strip()
    )
