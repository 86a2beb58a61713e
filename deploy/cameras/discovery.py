"""Which cameras this machine can reach, whatever they are reached through."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import MissingDependencyError, TemperError
from .introspection import aravis

#: GenICam's variable with the folders of the installed producers.
PRODUCERS_VARIABLE = "GENICAM_GENTL64_PATH"
_VIDEO_DEVICES = Path("/sys/class/video4linux")
# GigE Vision's control protocol: its port, a command that asks for one register, the register that says who has control
_CONTROL_PORT, _READ_REGISTER, _CONTROL_PRIVILEGE = 3956, 0x0080, 0x0A00
_ACCESS_DENIED = 0x8006
_EXCLUSIVE_OR_CONTROL = 0b11


@dataclass(frozen=True)
class FoundCamera:
    """A camera that answered a search.

    Attributes:
        id: by which it can be opened.
        vendor: its maker; empty where it does not say.
        model: its model.
        serial: its serial number; empty where it does not say.
        address: IP address, place on the USB bus, device file or producer.
        protocol: ``GigEVision``, ``USB3Vision``, ``GenTL`` or ``Video4Linux``.
        in_use: whether a program has it open; None where only opening it would tell.
    """

    id: str
    vendor: str
    model: str
    serial: str
    address: str
    protocol: str
    in_use: bool | None


@dataclass(frozen=True)
class Discovery:
    """What a search found.

    Attributes:
        cameras: in the order of their protocols.
        remarks: one sentence for each way of searching that could not be gone: a library that is not installed.
    """

    cameras: tuple[FoundCamera, ...]
    remarks: tuple[str, ...]


def find_cameras(producers: Sequence[Path] | None = None) -> Discovery:
    """Ask networks, buses, GenTL producers and the kernel for cameras; takes about a second.

    Args:
        producers: .cti files; None takes those in the folders that ``GENICAM_GENTL64_PATH`` names.
    """
    found: list[FoundCamera] = []
    remarks: list[str] = []
    try:
        found += find_aravis()
    except MissingDependencyError as error:
        remarks.append(str(error))
    for producer in installed_producers() if producers is None else producers:
        try:
            found += find_gentl(producer)
        except TemperError as error:
            remarks.append(str(error))
    return Discovery((*found, *find_video4linux()), tuple(remarks))


def find_aravis() -> list[FoundCamera]:
    """GigE Vision and USB3 Vision cameras.

    Raises:
        MissingDependencyError: if Aravis is not installed.
    """
    Aravis, _ = aravis()
    Aravis.update_device_list()
    found = []
    for index in range(Aravis.get_n_devices()):
        address, protocol = str(Aravis.get_device_address(index) or ""), str(Aravis.get_device_protocol(index) or "")
        found.append(
            FoundCamera(
                str(Aravis.get_device_id(index) or ""),
                str(Aravis.get_device_vendor(index) or ""),
                str(Aravis.get_device_model(index) or ""),
                str(Aravis.get_device_serial_nbr(index) or ""),
                address,
                protocol,
                gige_in_use(address) if protocol == "GigEVision" else None,
            )
        )
    return found


def gige_in_use(address: str, timeout: float = 0.5) -> bool | None:
    """Whether a program has control over a GigE Vision camera; asking disturbs neither.

    Args:
        address: its IPv4 address.
        timeout: seconds that its answer may take.

    Returns:
        None if it does not answer.
    """
    request = struct.pack(">BBHHHI", 0x42, 0x01, _READ_REGISTER, 4, 1, _CONTROL_PRIVILEGE)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            channel.settimeout(timeout)
            channel.sendto(request, (address, _CONTROL_PORT))
            answer = channel.recv(64)
    except OSError:
        return None
    if len(answer) < 8:
        return None
    status = int.from_bytes(answer[:2], "big")
    if status == _ACCESS_DENIED:  # held exclusively: not even this may be read
        return True
    if status or len(answer) < 12:
        return None
    return bool(int.from_bytes(answer[8:12], "big") & _EXCLUSIVE_OR_CONTROL)


def installed_producers() -> list[Path]:
    """The GenTL producers in the folders that ``GENICAM_GENTL64_PATH`` names."""
    folders = [Path(folder) for folder in os.environ.get(PRODUCERS_VARIABLE, "").split(os.pathsep) if folder]
    return [producer for folder in folders for producer in sorted(folder.glob("*.cti"))]


def find_gentl(producer: Path) -> list[FoundCamera]:
    """The cameras of a GenTL producer.

    Raises:
        CameraMisconfigured: if the producer cannot be loaded.
        MissingDependencyError: if harvesters is not installed.
    """
    from .gentl import devices_of

    return [
        FoundCamera(device.id, device.vendor, device.model, device.serial, str(producer), "GenTL", device.in_use)
        for device in devices_of(producer)
    ]


def find_video4linux() -> list[FoundCamera]:
    """The kernel's video devices, as their drivers name them."""
    found = []
    for device in sorted(_VIDEO_DEVICES.glob("video*")):
        try:
            model = (device / "name").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            model = ""
        path = f"/dev/{device.name}"
        found.append(FoundCamera(path, "", model, "", path, "Video4Linux", None))
    return found
