"""Are the detections of two benchmarks the same? Two devices, the same bundles, the same pictures.

    python scripts/same_detections.py REFERENCE OTHER

Both are folders that ``temper bench run --out`` made. Each graph's detections are paired, and held to the tolerances
that ``temper bundle check`` holds a runtime to (``deploy/compare.py``). Exit code 1 if a graph's differ by more.
"""

from __future__ import annotations

import sys
from pathlib import Path

from temper.benchmarks.accuracy import load_detections
from temper.benchmarks.candidate import REFERENCE
from temper.benchmarks.measurement import MEASUREMENTS_NAME, Measurements, read_rows
from temper.core.errors import TemperError, UsageError
from temper.deploy.compare import MATCH, TOLERANCES
from temper.detection.agreement import Agreement, MatchRule


def compare(reference: Path, other: Path) -> bool:
    """Print a line for each graph; gives whether all agree.

    Raises:
        TemperError: if the folders hold no benchmarks, or not of the same bundles and pictures.
    """
    ours, theirs = (read_rows(folder / MEASUREMENTS_NAME) for folder in (reference, other))
    _require_same(ours, theirs)
    found = {row.subject: row for row in theirs.accuracy}
    good = True
    print(f"reference: {_machine(ours)}")
    print(f"other:     {_machine(theirs)}")
    for row in ours.accuracy:
        if row.subject.variant == REFERENCE:
            continue
        manifest = next(e.manifest for e in ours.benchmark.bundles if e.manifest.name == row.subject.model)
        rule = MatchRule(manifest.score_floor, manifest.max_detections, MATCH)
        here = load_detections(reference / row.detections)
        there = load_detections(other / found[row.subject].detections)
        agreement = Agreement()
        for name, detections in here.items():
            agreement.add_picture(detections, there[name], rule)
        variant = next(one for one in manifest.variants if one.name == row.subject.variant)
        tolerance = TOLERANCES[variant.precision]
        aps = row.figures.ap, found[row.subject].figures.ap
        apart = abs(aps[0] - aps[1]) if aps[0] is not None and aps[1] is not None else 0.0
        same = agreement.matched_share >= tolerance.matched_share and apart <= tolerance.map_points
        good &= same
        scores, boxes = agreement.matched_scores.to_dict()["largest"], agreement.boxes_px.to_dict()["largest"]
        print(
            f"{row.subject.model} {row.subject.variant}: {'the same' if same else 'NOT THE SAME'}: "
            f"{agreement.matched_share:.2%} of {2 * agreement.matched + agreement.unmatched} detections matched "
            f"(at least {tolerance.matched_share:.0%}), scores at most {scores or 0:.1e} and edges {boxes or 0:.1e} px "
            f"apart, mAP {_points(aps[0])} and {_points(aps[1])} (at most {tolerance.map_points:g} apart), "
            f"{agreement.pictures} pictures"
        )
    return good


def _require_same(ours: Measurements, theirs: Measurements) -> None:
    if ours.benchmark.data_sha256 != theirs.benchmark.data_sha256:
        raise UsageError("The two benchmarks rest on different pictures; run both with the same --data and --limit.")
    manifests = [
        {entry.manifest.name: entry.manifest_sha256 for entry in one.benchmark.bundles} for one in (ours, theirs)
    ]
    if manifests[0] != manifests[1]:
        raise UsageError("The two benchmarks are of different bundles; run both with the same ones.")
    if not ours.accuracy or {row.subject for row in ours.accuracy} != {row.subject for row in theirs.accuracy}:
        raise UsageError("The two benchmarks judged different graphs; give both one --precision and --runtime.")


def _machine(measured: Measurements) -> str:
    state = measured.benchmark.machine_before
    told = " (emulated)" if state.emulated else ""
    names = ("numpy", "opencv-python-headless", "onnxruntime")
    packages = ", ".join(f"{name} {state.packages.get(name, 'not there')}" for name in names)
    return f"{state.architecture}{told}, Python {state.python}, {packages}"


def _points(ap: float | None) -> str:
    return "–" if ap is None else f"{ap:.2f}"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        sys.exit(0 if compare(Path(sys.argv[1]), Path(sys.argv[2])) else 1)
    except TemperError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
