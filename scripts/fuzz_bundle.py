"""Mutated bundles by the thousand: each has to end in a sentence or a detection, never in a crash or a hang.

    .venv/bin/python scripts/fuzz_bundle.py BUNDLE [--cases 100000] [--seed 0] [--seconds 10] [--max-minutes M]
        [--runtime openvino] [--kind graph-rehashed] [--variant NAME]

BUNDLE is a small, signed bundle with golden pictures. A graph that is damaged is the first one, or one of those that
--variant names, and runs on --runtime. Every case is made from (seed, number) alone, so that a finding
can be had again with --only NUMBER. Cases run in a child process: one that dies, or gives no answer within --seconds,
is a finding, and the child is started anew. The last line is the record; the exit status is 1 if there was a finding.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import random
import select
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Kinds of case and how often each comes in 100.
KINDS = {"manifest": 40, "zip": 30, "graph": 8, "graph-rehashed": 12, "answers": 5, "signature": 5}
INTERESTING = (0, -1, 1, 2**31, 2**63, 2**64, 10**400, 1e308, -0.0, 0.5, True, None, "", "..", "a" * 5000, [], {})
TEXTS = (
    "../x",
    "/etc/passwd",
    "graphs/fp32.onnx",
    "manifest.json",
    "\x00",
    "\x1b[2J",
    "\ud800",
    "é" * 90,
    "[red]",
    "|",
)


class Mutator:
    """The mutations of one case, all drawn from one seed."""

    def __init__(self, seed: int, number: int) -> None:
        self.random = random.Random(f"{seed}/{number}")

    def kind(self, among: Sequence[str]) -> str:
        kinds = among or list(KINDS)
        return self.random.choices(kinds, [KINDS[kind] for kind in kinds])[0]

    def damage(self, content: bytes, most: int = 8) -> bytes:
        """Bytes set, taken out, put in, doubled or cut off."""
        changed = bytearray(content)
        for _ in range(self.random.randint(1, most)):
            at = self.random.randrange(len(changed) + 1)
            what = self.random.randrange(6)
            if what <= 1 and at < len(changed):
                changed[at] ^= 1 << self.random.randrange(8)
            elif what == 2 and at < len(changed):
                changed[at] = self.random.choice((0, 1, 0x7F, 0x80, 0xFF))
            elif what == 3:
                del changed[at : at + self.random.randint(1, 16)]
            elif what == 4:
                changed[at:at] = self.random.randbytes(self.random.randint(1, 16))
            elif self.random.random() < 0.2:
                del changed[at:]
        return bytes(changed)

    def value(self, old: Any) -> Any:
        """A value in the place of another."""
        what = self.random.randrange(5)
        if what == 0:
            return self.random.choice(TEXTS)
        if what == 1 and isinstance(old, int | float) and not isinstance(old, bool) and abs(old) < 1e300:
            return self.random.choice((old + 1, -old, old * 1e6, old / 3))
        if what == 2:
            nested: Any = old
            for _ in range(self.random.choice((1, 10, 40, 400))):
                nested = [nested] if self.random.random() < 0.5 else {"a": nested}
            return nested
        return self.random.choice(INTERESTING)

    def change_json(self, value: Any) -> Any:
        """Some values of a JSON document set, taken out or added."""
        for _ in range(self.random.choice((1, 1, 3))):
            place = value
            while True:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                if not keys:
                    break
                key = self.random.choice(keys)
                if isinstance(place[key], dict | list) and place[key] and self.random.random() < 0.8:
                    place = place[key]
                    continue
                what = self.random.randrange(6)
                if what == 0:
                    del place[key]
                elif what == 1 and isinstance(place, dict):
                    place[self.random.choice(TEXTS)] = place[key]
                elif what == 1:
                    place.append(place[key])
                else:
                    place[key] = self.value(place[key])
                break
        return value


class Target:
    """A bundle in a scratch folder, brought back to what it was before every case."""

    def __init__(self, bundle: Path, scratch: Path) -> None:
        self.folder, self.file = scratch / "case.temper", scratch / "case.zip"
        self.content = {
            str(path.relative_to(bundle)): path.read_bytes() for path in sorted(bundle.rglob("*")) if path.is_file()
        }
        self.dirty: set[str] = set(self.content)

    def restore(self) -> None:
        self.file.unlink(missing_ok=True)
        for name in self.dirty:
            path = self.folder / name
            if name in self.content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.content[name])
        self.dirty = set()
        if not (self.folder / "signature.json").exists():
            self.put("signature.json", self.content["signature.json"])

    def put(self, name: str, content: bytes) -> None:
        self.dirty.add(name)
        (self.folder / name).write_bytes(content)

    def unsign(self) -> None:
        self.dirty.add("signature.json")
        (self.folder / "signature.json").unlink()

    def manifest(self) -> Any:
        return json.loads(self.content["manifest.json"])

    def rehash(self, name: str, content: bytes) -> None:
        """Put a file in, and what the manifest says of it: what a forger does who has no key."""
        import hashlib

        manifest = self.manifest()
        golden = manifest["golden"]
        for one in (*manifest["variants"], golden["answers"], *golden["images"]):
            if one["file"] == name:
                one["sha256"], one["bytes"] = hashlib.sha256(content).hexdigest(), len(content)
        self.put(name, content)
        self.put("manifest.json", sealed(manifest))
        self.unsign()

    def zip(self, mutator: Mutator) -> None:
        """A zip of the bundle with an entry or a byte that should not be."""
        chance = mutator.random
        with zipfile.ZipFile(self.file, "w", chance.choice((0, 0, zipfile.ZIP_DEFLATED))) as archive:
            for name, content in self.content.items():
                if chance.random() < 0.01:
                    continue
                info = zipfile.ZipInfo(name)
                info.compress_type = archive.compression
                odd = chance.random() < 0.02
                info.external_attr = (chance.choice((0o120777, 0o060600)) if odd else 0o100644) << 16
                archive.writestr(info, content)
            if chance.random() < 0.3:
                name = (
                    chance.choice((*TEXTS, *self.content, "a/../../b", "graphs/", "c:x"))
                    .replace("\ud800", "x")
                    .replace("\x00", "x")
                )
                archive.writestr(name or "x", chance.randbytes(chance.randint(0, 99)))
        content = self.file.read_bytes()
        if chance.random() < 0.6:
            # half of it in the directory at the end, where the lengths and places are
            half = len(content) - 1500 if chance.random() < 0.5 else 0
            content = content[:half] + mutator.damage(content[half:], 3)
        self.file.write_bytes(content)


def sealed(manifest: Any) -> bytes:
    """A manifest with a checksum that fits, as a forger would write it, so that what comes after it is reached."""
    from temper.bundle.manifest import with_checksum

    try:
        return json.dumps(with_checksum(manifest)).encode()
    except (AttributeError, TypeError, ValueError):
        return json.dumps(manifest).encode()


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What cases there are: their kinds, the variants whose graphs are damaged, and the runtime; empty is as ever."""

    seed: int
    kinds: Sequence[str] = ()
    variants: Sequence[str] = ()
    runtime: str = "onnxruntime"

    @property
    def words(self) -> list[str]:
        """The options that say so."""
        named = [("--kind", kind) for kind in self.kinds] + [("--variant", variant) for variant in self.variants]
        return ["--seed", str(self.seed), "--runtime", self.runtime, *(word for pair in named for word in pair)]


def make_case(target: Target, wanted: Wanted, number: int) -> tuple[str, str]:
    """Change the bundle for a case; gives its kind and the variant that is damaged or used."""
    mutator = Mutator(wanted.seed, number)
    kind = mutator.kind(wanted.kinds)
    variants = {one["name"]: one["file"] for one in target.manifest()["variants"]}
    variant = mutator.random.choice(list(wanted.variants)) if wanted.variants else next(iter(variants))
    if kind == "manifest":
        target.unsign()
        if mutator.random.random() < 0.3:
            target.put("manifest.json", mutator.damage(target.content["manifest.json"]))
        else:
            target.put("manifest.json", sealed(mutator.change_json(target.manifest())))
    elif kind == "zip":
        target.zip(mutator)
    elif kind == "signature":
        target.put("signature.json", mutator.damage(target.content["signature.json"], 2))
    elif kind == "answers":
        name = "golden/answers.json"
        value = mutator.change_json(json.loads(target.content[name]))
        target.rehash(name, json.dumps(value).encode())
    else:
        name = variants[variant]
        damaged = mutator.damage(target.content[name], mutator.random.choice((1, 2, 8)))
        if kind == "graph":
            target.put(name, damaged)
        else:
            target.rehash(name, damaged)
    return kind, variant


def use(path: Path, kind: str, variant: str, runtime: str) -> str:
    """Do with a bundle what users do; gives how it ended."""
    import numpy as np
    from temper.bundle.card import render_card
    from temper.bundle.golden import read_golden_answers
    from temper.bundle.loader import open_bundle
    from temper.core.errors import TemperError
    from temper.deploy.check import check_pictures
    from temper.deploy.detector import open_detector
    from temper.deploy.golden import replay_golden

    try:
        with open_bundle(path) as bundle:
            if kind in ("graph", "signature"):
                return "as it was"  # see `run_case`
            json.dumps(bundle.manifest.model_dump(mode="json"), ensure_ascii=False).encode()
            render_card(bundle.manifest).encode()
            if bundle.manifest.golden is not None:
                read_golden_answers(bundle)
            rule = bundle.manifest.input
            if kind == "graph-rehashed" or (kind == "answers" and rule.width * rule.height < 1 << 20):
                detector = open_detector(bundle, variant, runtime, threads=1)
                own = bundle.manifest.at_size_of(detector.variant)
                detector.detect_batch([np.asarray(picture) for picture in check_pictures(own)])
                replay_golden(bundle, detector.variant, detector.runtime)
                detector.runtime.close()
            return "detection"
    except TemperError as error:
        sentence = str(error)
        sentence.encode()
        return "sentence" if "\n" not in sentence else f"several lines: {sentence[:200]!r}"


def run_case(target: Target, wanted: Wanted, number: int) -> tuple[str, str]:
    """Make and use one case."""
    target.restore()
    kind, variant = make_case(target, wanted, number)
    outcome = use(target.file if kind == "zip" else target.folder, kind, variant, wanted.runtime)
    unchanged = all(
        (target.folder / name).exists() and (target.folder / name).read_bytes() == target.content[name]
        for name in target.dirty
    )
    if outcome == "as it was" and not unchanged:
        outcome = "a change that was not found"
    return kind, outcome


def serve(bundle: Path, wanted: Wanted) -> None:
    """The child: a number a line in, kind and outcome out."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory(prefix="fuzz-bundle-") as scratch:
        tempfile.tempdir = scratch
        target = Target(bundle, Path(scratch))
        for line in sys.stdin:
            try:
                kind, outcome = run_case(target, wanted, int(line))
            except Exception:
                kind, outcome = Mutator(wanted.seed, int(line)).kind(wanted.kinds), "crash: " + traceback.format_exc()
            channel.write(json.dumps([kind, outcome]) + "\n")
            channel.flush()


class Child:
    """The process that cases run in."""

    def __init__(self, bundle: Path, wanted: Wanted) -> None:
        command = [sys.executable, __file__, str(bundle), *wanted.words, "--serve"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, number: int, seconds: float) -> tuple[str, str] | str:
        """Kind and outcome of a case; a word if there is none."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{number}\n")
            self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            return f"hang: no answer in {seconds:g} s"
        line = self.process.stdout.readline()
        if not line:
            return f"died: exit status {self.process.wait()}"
        kind, outcome = json.loads(line)
        return kind, outcome

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--max-minutes", type=float, default=1e9)
    parser.add_argument("--only", type=int)
    parser.add_argument("--kind", action="append", choices=list(KINDS), default=[])
    parser.add_argument("--variant", action="append", default=[])
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--serve", action="store_true")
    chosen = parser.parse_args()
    wanted = Wanted(chosen.seed, chosen.kind, chosen.variant, chosen.runtime)
    if chosen.serve:
        serve(chosen.bundle, wanted)
        return
    numbers = range(chosen.first, chosen.first + chosen.cases) if chosen.only is None else [chosen.only]
    deadline = time.monotonic() + 60 * chosen.max_minutes
    counts: collections.Counter[str] = collections.Counter()
    findings, done = 0, 0
    child, fresh = Child(chosen.bundle, wanted), True
    for number in numbers:
        # a child that has just started still has its libraries to load
        answer = child.ask(number, chosen.seconds + (60 if fresh else 0))
        fresh = False
        done += 1
        if isinstance(answer, str):
            child.end()
            child, fresh = Child(chosen.bundle, wanted), True
            answer = (Mutator(chosen.seed, number).kind(chosen.kind), answer)
        kind, outcome = answer
        good = outcome in ("sentence", "detection", "as it was")
        counts[f"{kind}: {outcome if good else 'FINDING'}"] += 1
        if not good:
            findings += 1
            print(f"case {number} ({kind}): {outcome}", flush=True)
        if time.monotonic() > deadline:
            break
    child.end()
    print(
        json.dumps({"seed": chosen.seed, "cases": done, "findings": findings, "outcomes": dict(sorted(counts.items()))})
    )
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
