"""TensorRT's enumerations, with the members that the version has, and the base that keeps objects to its names."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import NAMES

_VALUES = {
    "EXPLICIT_BATCH": 0,
    "STRONGLY_TYPED": 1,
    "INTERNAL_ERROR": 0,
    "ERROR": 1,
    "WARNING": 2,
    "INFO": 3,
    "VERBOSE": 4,
}


class Member:
    """One member of an enumeration; no number, but ``int()`` gives one."""

    def __init__(self, owner: str, name: str, value: int) -> None:
        self.owner, self.name, self.value = owner, name, value

    def __int__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"<{self.owner}.{self.name}>"


def members(owner: str) -> dict[str, Member]:
    """Those that the version has."""
    names = sorted(name.split(".")[1] for name in NAMES if name.startswith(f"{owner}."))
    capitals = [name for name in names if name.isupper()]
    return {name: Member(owner, name, _VALUES.get(name, number)) for number, name in enumerate(capitals)}


def enumeration(owner: str) -> type:
    """A class with these members."""
    return type(owner, (), members(owner))


class Strict:
    """An object that has what its class has in this version: nothing else can be asked of it, or set.

    Methods and attributes of another version are taken away where a class is made; what begins with ``standin`` is the
    stand-in's own.
    """

    def __init_subclass__(cls) -> None:
        owner = cls.__name__
        if Strict not in cls.__bases__:
            return  # derived by who uses TensorRT
        for name in [name for name in vars(cls) if not name.startswith(("_", "standin"))]:
            if f"{owner}.{name}" not in NAMES:
                delattr(cls, name)

    def __setattr__(self, name: str, value: Any) -> None:
        owner = next(one.__name__ for one in type(self).__mro__ if Strict in one.__bases__)
        if not name.startswith("standin") and type(self).__name__ == owner and f"{owner}.{name}" not in NAMES:
            raise AttributeError(f"'{owner}' object has no attribute '{name}'")
        object.__setattr__(self, name, value)


BuilderFlag = enumeration("BuilderFlag")
DataType = enumeration("DataType")
DeviceType = enumeration("DeviceType")
HardwareCompatibilityLevel = enumeration("HardwareCompatibilityLevel")
MemoryPoolType = enumeration("MemoryPoolType")
NetworkDefinitionCreationFlag = enumeration("NetworkDefinitionCreationFlag")
TensorIOMode = enumeration("TensorIOMode")


class ILogger(Strict):
    """To be derived from; its own start-up must be called."""

    def __init__(self) -> None:
        self.standin_ready = True

    def log(self, severity: Member, msg: str) -> None:
        raise NotImplementedError


for _name, _member in members("ILogger").items():
    setattr(ILogger, _name, _member)


class IProgressMonitor(Strict):
    """To be derived from; its own start-up must be called."""

    def __init__(self) -> None:
        self.standin_ready = True

    def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
        raise NotImplementedError

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise NotImplementedError

    def phase_finish(self, phase_name: str) -> None:
        raise NotImplementedError


def nptype(kind: Member) -> type:
    """NumPy's type."""
    types = {"UINT8": np.uint8, "FLOAT": np.float32, "INT32": np.int32, "INT64": np.int64, "HALF": np.float16}
    if kind.name not in types:
        raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
    return types[kind.name]
