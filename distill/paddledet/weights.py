"""Where a configuration's ``pretrain_weights`` lie, and what pixels they expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.errors import UsageError
from ..recipe_detectors import PixelScale
from .yaml_file import Values

#: PaddleDetection's own short form for its server.
_SHORT, _SERVER = "ppdet://", "https://paddledet.bj.bcebos.com/"
_IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def pretrained_weights(path: Path, config: Values) -> str | None:
    """The recipe's ``weights``: an https address, a file, or None.

    A file is looked for from the folder the command is given in, as PaddleDetection does, and then beside ``path``.
    """
    value = config.get("pretrain_weights")
    if value in (None, "", "None"):
        return None
    if not isinstance(value, str):
        raise UsageError(f"{path}: pretrain_weights is {value!r}, and should be a file or an address.")
    if value.startswith(_SHORT):
        return _SERVER + value.removeprefix(_SHORT)
    if value.startswith("http://"):
        return "https://" + value.removeprefix("http://")
    if "://" in value:
        return value
    name = value if value.endswith((".pdparams", ".safetensors")) else f"{value}.pdparams"
    file = Path(name).expanduser()
    beside = path.parent / file
    return str(beside if not file.exists() and beside.exists() else file)


def pixel_scale(file: str, config: Values) -> PixelScale | None:
    """How the training reader normalises pictures, None if it does not say.

    Raises:
        UsageError: if it does so in a way that Temper does not have.
    """
    for name, fields in transforms_of(config, "TrainReader"):
        if name == "NormalizeImage":
            mean, std = fields.get("mean", _IMAGENET[0]), fields.get("std", _IMAGENET[1])
            scaled = fields.get("is_scale", True) is True
            if scaled and (fields.get("norm_type") == "none" or (mean, std) == ([0.0] * 3, [1.0] * 3)):
                return "unit"
            if scaled and (mean, std) == _IMAGENET:
                return "imagenet"
            raise UsageError(
                f"{file}: TrainReader.NormalizeImage has mean {mean} and std {std}{'' if scaled else ' of bytes'}; "
                "Temper has ImageNet's, or a division by 255 alone."
            )
    return None


def transforms_of(config: Values, reader: str) -> list[tuple[str, Values]]:
    """Name and fields of every transform of a reader, in order."""
    section = config.get(reader)
    found: list[tuple[str, Values]] = []
    for kind in ("sample_transforms", "batch_transforms"):
        listed: Any = section.get(kind) if isinstance(section, dict) else None
        for entry in listed if isinstance(listed, list) else []:
            if isinstance(entry, dict) and len(entry) == 1:
                name, fields = next(iter(entry.items()))
                found.append((str(name), fields if isinstance(fields, dict) else {}))
            elif isinstance(entry, dict) and "name" in entry:
                found.append((str(entry["name"]), entry))
    return found
