"""From a configuration's distillation (``slim: Distill``) to a recipe's ``distillation``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ...core.errors import UsageError
from .component import Component
from .yaml_file import Values

#: PaddleDetection's files for CWD say ``cls_f``, and yet its RetinaNets are compared by their necks.
_LEVEL = re.compile(r"(?:neck|cls)_f_([0-9])\Z")


def distillation_section(file: str, config: Values) -> Values:
    """The fields of a recipe's ``distillation``.

    Args:
        file: the configuration, for messages.
        config: its values.

    Raises:
        UsageError: if it does not distil, or by a method that Temper does not have.
    """
    if config.get("slim") != "Distill":
        raise UsageError(
            f"{file} does not distil: it needs 'slim: Distill' and a slim_method, and slim is {config.get('slim')!r}."
        )
    method = config.get("slim_method")
    if not isinstance(method, str) or method not in _METHODS:
        raise UsageError(f"{file}: slim_method is {method}; Temper translates {', '.join(_METHODS)}.")
    name = config.get("distill_loss")
    if not isinstance(name, str) or not isinstance(config.get(name), dict):
        raise UsageError(f"{file}: distill_loss is {name!r}, and there are no fields under that name.")
    return _METHODS[method](Component(file, name, config[name]))


def require_channels(file: str, config: Values, student: Sequence[int], teacher: Sequence[int]) -> None:
    """Refuse a loss made for other necks, or for other levels than the two have in common.

    Args:
        file: the configuration, for messages.
        config: its values.
        student: channels of each level that both necks have.
        teacher: the same of the teacher.

    Raises:
        UsageError: naming the field that does not fit.
    """
    name = str(config.get("distill_loss"))
    loss = Component(file, name, config.get(name))
    sides: tuple[tuple[str, Sequence[int]], ...] = (("student_channels", student), ("teacher_channels", teacher))
    if config.get("slim_method") == "CWD" and list(student) == list(teacher):
        # equal numbers, whatever they are, say no more than that nothing has to be aligned
        sides = () if loss.take("student_channels", 0) == loss.take("teacher_channels", 0) else sides
    for field, channels in sides:
        value = loss.take(field, channels[0])
        if value not in (channels[0], list(channels), list(reversed(channels))):
            raise UsageError(f"{file}: {name}.{field} is {value}, and that neck has {_channels(channels)} channels.")
    levels = config.get("distill_loss_name")
    if levels is None:
        return
    matches = [_LEVEL.match(str(level)) for level in levels] if isinstance(levels, list) else [None]
    numbers = sorted(int(match.group(1)) if match else -1 for match in matches)
    if numbers != list(range(len(student))):
        raise UsageError(
            f"{file}: distill_loss_name is {levels}; Temper distils on every level that both necks have, which are "
            f"neck_f_0 to neck_f_{len(student) - 1}."
        )


def _channels(channels: Sequence[int]) -> str:
    return str(channels[0]) if len(set(channels)) == 1 else ", ".join(map(str, channels))


def _mgd(loss: Component) -> Values:
    alpha, ratio = loss.number("alpha_mgd", 0.00002), loss.number("lambda_mgd", 0.65)
    loss.ignore(("student_channels", "teacher_channels", "name", "distill_loss_name"))
    loss.finish()
    return {"mgd": {"alpha": alpha, "mask_ratio": ratio, "alpha_form": "sum"}}


def _fgd(loss: Component) -> Values:
    loss.expect("normalize", False, False)
    loss.expect("loss_weight", 1.0, 1.0)
    weights = (("foreground", "alpha", 1e-3), ("background", "beta", 5e-4), ("attention", "gamma", 1e-3))
    section = {
        ours: loss.number(f"{theirs}_fgd", usual) for ours, theirs, usual in (*weights, ("relation", "lambda", 5e-6))
    }
    section["temperature"] = loss.number("temp", 0.5)
    loss.ignore(("student_channels", "teacher_channels", "name", "distill_loss_name"))
    loss.finish()
    return {"mgd": None, "fgd": {**section, "form": "sum"}}


def _cwd(loss: Component) -> Values:
    loss.expect("normalize", False, False)
    weight, temperature = loss.given("weight", 1.0), loss.given("tau", 1.0)
    if temperature <= 0:
        raise UsageError(f"{loss.file}: {loss.path}.tau is {temperature:g}, and should be above 0.")
    loss.ignore(("student_channels", "teacher_channels", "name", "distill_loss_name"))
    loss.finish()
    # Temper's alpha stands before the paper's T^2, which PaddleDetection leaves out
    return {"mgd": None, "cwd": {"alpha": weight / temperature**2, "temperature": temperature, "form": "raw"}}


#: The methods of distillation that are translated, under PaddleDetection's names.
_METHODS: dict[str, Callable[[Component], Values]] = {"MGD": _mgd, "FGD": _fgd, "CWD": _cwd}
