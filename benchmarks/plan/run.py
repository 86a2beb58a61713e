"""A plan from its recipe: what is known of devices, held against what the line asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ... import __version__
from ...bundle.loader import Bundle, open_bundle
from ...core.errors import UsageError
from ...detection.figure_names import USEFUL_AP
from ..estimate.row import ESTIMATES_NAME, read_estimates
from ..machine import now
from ..measurement import MEASUREMENTS_NAME, Measurements, read_rows
from .capability import (
    Capability,
    Place,
    doubt_of_place,
    estimated_capabilities,
    has_single_stream,
    measured_capabilities,
    without_the_measured,
)
from .demand import Demand, plan_demand
from .hardware import Hardware
from .measured import measured_folders
from .prices import Prices, read_prices
from .ranking import PlanRow, rank
from .recipe import PlanRecipe
from .remedies import with_remedy
from .supply import Terms, devices_at, supply
from .units import parse_share

#: That can be estimated of any bundle.
PRECISIONS = ("int8", "fp16", "fp32")
#: Of the line's speed: where the what-if plot begins and ends, and its points.
_WHAT_IF = (0.1, 2.0, 96)


@dataclass(frozen=True)
class WhatIf:
    """How many devices one capability needs at other speeds.

    Attributes:
        capability: of the best row of its device.
        speeds_m_s: ascending.
        devices: at each speed; None where it cannot be done.
    """

    capability: Capability
    speeds_m_s: tuple[float, ...]
    devices: tuple[int | None, ...]


@dataclass(frozen=True)
class Plan:
    """All of a plan.

    Attributes:
        made_at: moment, UTC.
        temper: version that made it.
        recipe: what was asked.
        bundle_name: by its manifest.
        manifest_sha256: of the bundle.
        demands: the line's load, one for each input size that a graph has.
        terms: what else was asked.
        currency: of the prices.
        rows: as of :func:`~.ranking.rank`.
        what_if: one for each device.
        warnings: what has to be said of the measurements.
    """

    made_at: str
    temper: str
    recipe: PlanRecipe
    bundle_name: str
    manifest_sha256: str
    demands: tuple[Demand, ...]
    terms: Terms
    currency: str
    rows: tuple[PlanRow, ...]
    what_if: tuple[WhatIf, ...]
    warnings: tuple[str, ...] = ()

    @property
    def ranked(self) -> list[PlanRow]:
        """What carries the line, the best first."""
        return [row for row in self.rows if row.rank is not None]

    @property
    def rejected(self) -> list[PlanRow]:
        """What does not, with the reason."""
        return [row for row in self.rows if row.rank is None]


def make_plan(recipe: PlanRecipe, public_key: Path | None = None) -> Plan:
    """Make a plan.

    Args:
        recipe: what is asked, and what it rests on.
        public_key: only a bundle signed with a key of this file is planned with; None takes any.

    Raises:
        UsageError: if there is nothing to plan with, a measurement or an estimate is of another bundle, a device is not
            known, or the line's figures are impossible.
        TemperError: if the bundle or a file cannot be read.
        MissingDependencyError: if pint or SimPy is not installed.
    """
    with open_bundle(Path(recipe.bundle), public_key) as bundle:
        hardware = Hardware(None if recipe.devices is None else Path(recipe.devices))
        warnings: list[str] = []
        capabilities = _capabilities(recipe, bundle, hardware, warnings)
        points = [one.ap for one in capabilities if one.ap is not None]
        if points and max(points) < USEFUL_AP:
            warnings.append(
                f"{bundle.manifest.name} detects next to nothing: its best graph reaches {max(points):.1f} mAP. A plan "
                "for it says what its speed needs, and nothing about finding defects."
            )
        geometry = recipe.geometry(1 if bundle.manifest.input.channels == "grey" else 3)
        name, sha256 = bundle.manifest.name, bundle.manifest_sha256
    demands = {tile: plan_demand(geometry, recipe.due, tile) for tile in dict.fromkeys(c.tile for c in capabilities)}
    prices = Prices()
    if recipe.prices is not None:
        known = {*hardware.devices, *(one.place.device for one in capabilities)}
        prices = read_prices(Path(recipe.prices), known)
        warnings += prices.unused
        if prices.by_device and not prices.currency:
            warnings.append(f"{recipe.prices} names no currency for its prices; add a line such as 'currency: EUR'.")
        capabilities = prices.with_watts(capabilities)
    terms = Terms(
        margin=parse_share(recipe.margin),
        queue=recipe.queue,
        ports=recipe.ports,
        max_power_w=recipe.max_power_w,
        prices=prices.by_device,
    )
    supplies = [with_remedy(supply(one, demands[one.tile], terms), terms) for one in capabilities]
    rows = rank(supplies, terms, recipe.seed)
    return Plan(
        made_at=now(),
        temper=__version__,
        recipe=recipe,
        bundle_name=name,
        manifest_sha256=sha256,
        demands=tuple(demands.values()),
        terms=terms,
        currency=prices.currency,
        rows=tuple(rows),
        what_if=_what_if(rows, terms),
        warnings=tuple(warnings),
    )


def _capabilities(recipe: PlanRecipe, bundle: Bundle, hardware: Hardware, warnings: list[str]) -> list[Capability]:
    """Everything that is known of devices, in the order in which it was named; adds to the warnings."""
    for name in recipe.precision:
        # a device may be estimated in a precision that the bundle has no graph of yet
        if name not in PRECISIONS or not (recipe.estimate or recipe.estimated):
            bundle.variant(name)
    found: list[Capability] = []
    own: list[tuple[Place, Measurements]] = []
    folders = measured_folders(recipe.measured)
    for one in folders:
        folder = one.path
        place = hardware.place(one.device) if one.device else None
        if place is not None and one.named_twice:
            place = replace(place, where=one.name)
        measurements = read_rows(folder / MEASUREMENTS_NAME)
        # by itself it is refused
        if len(folders) > 1 and not has_single_stream(measurements):
            warnings.append(f"{folder} has no single stream, from which plans are made, and is left out.")
            continue
        if place is not None and (doubt := doubt_of_place(measurements, place)):
            warnings.append(f"{folder}: {doubt}")
        own += [] if place is None else [(place, measurements)]
        warnings += [f"{folder}: {warning}" for warning in measurements.benchmark.warnings]
        found += measured_capabilities(measurements, place, bundle, folder, one.name, one.host)
    for file in dict.fromkeys(recipe.estimated):
        path = _estimates_file(file)
        found += estimated_capabilities(read_estimates(path), bundle, str(path), recipe.tail, recipe.host_ms)
    if recipe.estimate:
        precisions = [name if name in PRECISIONS else bundle.variant(name).precision for name in recipe.precision]
        rows = hardware.estimate(recipe.estimate, bundle, precisions, recipe.batch, own)
        found += estimated_capabilities(rows, bundle, "estimated now", recipe.tail, recipe.host_ms)
    if not found:
        raise UsageError(
            "There is nothing to plan with: give --measured DIR of a 'temper bench run --out DIR', --estimate DEVICE, "
            "or --estimated FILE of 'temper estimate --out'."
        )
    found = without_the_measured(found)
    chosen = [one for one in found if not recipe.precision or {one.variant, one.precision} & set(recipe.precision)]
    if not chosen:
        there = ", ".join(dict.fromkeys(one.variant for one in found))
        raise UsageError(
            f"Nothing was measured or estimated of --precision {', '.join(recipe.precision)}; there is {there}."
        )
    return chosen


def _estimates_file(text: str) -> Path:
    """The file itself, or the one in the folder that ``temper estimate --out`` was given."""
    path = Path(text)
    return path / ESTIMATES_NAME if path.is_dir() else path


def _what_if(rows: Sequence[PlanRow], terms: Terms) -> tuple[WhatIf, ...]:
    """One for the best row of every device."""
    chosen: dict[tuple[str, str, str], PlanRow] = {}
    for row in rows:
        one = row.supply.capability
        if one.not_usable is None:
            chosen.setdefault((one.place.label, one.place.power_mode, one.kind), row)
    low, high, points = _WHAT_IF
    found = []
    for row in chosen.values():
        planned = row.supply
        speed = planned.demand.geometry.speed_m_s
        speeds = tuple(speed * (low + (high - low) * place / (points - 1)) for place in range(points))
        counts = tuple(devices_at(planned.capability, planned.demand, terms, one) for one in speeds)
        found.append(WhatIf(planned.capability, speeds, counts))
    return tuple(found)
