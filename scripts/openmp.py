"""Give .venv an OpenMP runtime where the system has none.

Paddle's libraries ask for `libgomp.so.1`, which slim systems lack. scikit-learn brings the same library under a name of
its own; a copy of it that carries the standard name again, loaded when this environment's Python starts, answers
Paddle. Where the system has the library, nothing is done.
"""

from __future__ import annotations

import ctypes
import sysconfig
from pathlib import Path

STANDARD_NAME = b"libgomp.so.1"


def main() -> None:
    try:
        ctypes.CDLL(STANDARD_NAME.decode())
        return
    except OSError:
        pass
    site_packages = Path(sysconfig.get_paths()["platlib"])
    found = sorted((site_packages / "scikit_learn.libs").glob("libgomp-*.so*"))
    if not found:
        raise SystemExit("This system has no libgomp.so.1, which Paddle needs; on Debian: apt install libgomp1")
    own_name = found[0].name.encode()
    library = found[0].read_bytes()
    # the name stands once, in the table of strings, and the shorter one fits into its place
    if library.count(own_name + b"\0") != 1:
        raise SystemExit(f"{found[0]} is not built as expected: install the system's libgomp1 instead.")
    target = site_packages / "temper_openmp" / STANDARD_NAME.decode()
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(library.replace(own_name + b"\0", STANDARD_NAME.ljust(len(own_name), b"\0") + b"\0"))
    ctypes.CDLL(str(target))
    start = f"import ctypes, sys, os; p = {str(target)!r}; os.path.exists(p) and ctypes.CDLL(p, ctypes.RTLD_GLOBAL)\n"
    (site_packages / "temper_openmp.pth").write_text(start, encoding="utf-8")


if __name__ == "__main__":
    main()
