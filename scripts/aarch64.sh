#!/usr/bin/env bash
# Does the base package work on aarch64? Tried in a Debian for arm64 under QEMU, and its detections held against this machine's.
#
#   scripts/aarch64.sh                       with a tiny bundle and pictures made on the spot
#   scripts/aarch64.sh BUNDLE DATA [SPLIT]   with yours (SPLIT: val)
#
# Wants root, debootstrap, qemu-user-static and Linux 6.7, on x86_64: QEMU is registered in a namespace of its own, so that nothing
# of the machine changes. An emulated processor is right and slow: accuracy is measured here, latency never.
#
#   TEMPER_AARCH64_ROOT    where the root file system lies; it is kept, and used again  (~/.cache/temper/aarch64)
#   TEMPER_AARCH64_MIRROR  a Debian mirror                                             (that of /etc/apt)
#   TEMPER_AARCH64_SUITE   of Debian                                                   (this machine's, or bookworm)
#   TEMPER_AARCH64_LIMIT   pictures to measure on, evenly spread over the split         (16)
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD
export LC_ALL=C.UTF-8
unset PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_HASHES PIP_NO_DEPS PIP_REQUIREMENT PIP_CONSTRAINT PYTHONPATH PYTHONHOME

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

root=${TEMPER_AARCH64_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/temper/aarch64}
limit=${TEMPER_AARCH64_LIMIT:-16}
packages=python3
patience=3600 # seconds that one command may take
python=$here/.venv/bin/python

require_means() {
    [[ $(uname -s)-$(uname -m) == Linux-x86_64 ]] ||
        fail "This emulates aarch64 on Linux on x86_64, and this is $(uname -s) on $(uname -m); on an aarch64 machine 'pip install .' is all."
    [[ $EUID -eq 0 ]] || fail "A root file system is made by root only: run 'sudo $0'."
    local program missing=()
    for program in debootstrap qemu-aarch64-static; do
        command -v "$program" >/dev/null || missing+=("${program/qemu-aarch64-static/qemu-user-static}")
    done
    ((${#missing[@]} == 0)) || fail "Missing here: ${missing[*]}; install with 'apt-get install ${missing[*]}'."
    [[ -x $python ]] || fail "There is no .venv to compare with: run 'make install' first."
}

# the codename of this machine's Debian; another system's packages are not what debootstrap is asked for
debian_suite() { (. /etc/os-release && [[ ${ID:-} == debian ]] && echo "${VERSION_CODENAME:-}") || true; }

# the first mirror that apt takes a suite's packages from, of both forms that its lists have
apt_mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -nE "s/^deb +(\[[^]]*\] +)?(https?:[^ ]+) +$1 .*/\2/p"
    local file
    for file in /etc/apt/sources.list.d/*.sources; do
        [[ -e $file ]] || continue
        awk -v suite="$1" -v RS= '{
            uri = ""; found = 0
            n = split($0, lines, "\n")
            for (i = 1; i <= n; i++) {
                if (lines[i] ~ /^URIs:/) { split(lines[i], words, " "); uri = words[2] }
                if (lines[i] ~ /^Suites:/) { m = split(lines[i], words, " "); for (j = 2; j <= m; j++) found += words[j] == suite }
            }
            if (found && uri ~ /^https?:/) print uri
        }' "$file"
    done
}

# packages are unpacked, not configured: nothing foreign runs before it is asked to, and it takes a tenth of the time
make_root() {
    local suite=${TEMPER_AARCH64_SUITE:-$(debian_suite)} mirror package
    suite=${suite:-bookworm}
    key="$suite $packages"
    [[ $(cat "$root/.made" 2>/dev/null) != "$key" ]] || return 0
    mirror=${TEMPER_AARCH64_MIRROR:-$(apt_mirror "$suite" | head -n 1)}
    [[ -n $mirror ]] || fail "/etc/apt names no mirror of Debian $suite: set TEMPER_AARCH64_MIRROR to one that has arm64."
    [[ ! -e $root || -z $(ls -A "$root") || -e $root/.begun || -e $root/.made ]] ||
        fail "$root is there and was not made by this script: set TEMPER_AARCH64_ROOT to another folder."
    say "Making a Debian $suite for arm64 in $root"
    rm -rf "$root"
    mkdir -p "$root"
    touch "$root/.begun"
    debootstrap --arch=arm64 --foreign --variant=minbase --include="$packages" "$suite" "$root" "$mirror" >"$root/debootstrap.log" ||
        fail "debootstrap failed, as told above and in $root/debootstrap.log: is $mirror a Debian mirror with arm64?"
    for package in "$root"/var/cache/apt/archives/*.deb; do
        dpkg-deb --extract "$package" "$root"
    done
    rm -f "$root"/var/cache/apt/archives/*.deb
    echo "$key" >"$root/.made"
}

# as pip names it: the first two numbers of the root's Python
root_python() { basename "$(compgen -G "$root/usr/bin/python3.[0-9]*" | grep -E '/python3\.[0-9]+$' | head -n 1)" | sed s/python//; }

pip_for_root() {
    local target=$1 minor platforms=(--platform manylinux2014_aarch64)
    shift
    rm -rf "$target"
    # a wheel names the C library it needs, and runs with every later one; this is what Debian 12 has at least
    for minor in {17..36}; do platforms+=(--platform "manylinux_2_${minor}_aarch64"); done
    # its log is shown where it fails only: pip holds these packages against those of .venv, with which they have nothing to do
    "$python" -m pip --disable-pip-version-check --quiet install --target "$target" --only-binary :all: --implementation cp \
        --python-version "$(root_python)" "${platforms[@]}" "$@" 2>"$root/pip.log" || { cat "$root/pip.log" >&2; return 1; }
}

install_package() {
    local version pins wheels=$root/opt/temper/wheels
    version=$(root_python)
    pins=requirements/py${version/./}.txt
    [[ -e $pins ]] || pins=requirements/py${version/./}-base.txt
    [[ -e $pins ]] || fail "Temper takes no Python $version, which this Debian has: set TEMPER_AARCH64_SUITE to bookworm or trixie."
    rm -rf "$wheels" "$root/opt/temper/source"
    mkdir -p "$wheels" "$root/opt/temper/source"
    # as in scripts/install.sh: from a copy, so that no build folder is left in the tree
    cp -R pyproject.toml README.md LICENSE ./*.py py.typed recipes \
        $(sed -n 's/^ *"temper\.\([a-z_]*\)",$/\1/p' pyproject.toml) "$root/opt/temper/source"
    "$python" -m pip --disable-pip-version-check --quiet wheel --no-deps --no-build-isolation --wheel-dir "$wheels" "$root/opt/temper/source"
    sed -nE 's/^([A-Za-z0-9_.-]+==[^ ;]+).*/\1/p' "$pins" >"$root/opt/temper/pins"
    local key
    key=$(cat "$root/opt/temper/pins" pyproject.toml | sha256sum)
    if [[ $(cat "$root/opt/temper/installed" 2>/dev/null) != "$key" ]]; then
        say "Fetching its dependencies as wheels for aarch64 and Python $version"
        rm -f "$root/opt/temper/installed"
        pip_for_root "$root/opt/temper/dependencies" --constraint "$root/opt/temper/pins" "$wheels"/*.whl ||
            fail "A dependency has no wheel for aarch64, or no package index is within reach: see pip's message above."
        rm -rf "$root"/opt/temper/dependencies/temper*
        echo "$key" >"$root/opt/temper/installed"
    fi
    pip_for_root "$root/opt/temper/package" --no-deps "$wheels"/*.whl
}

# Linux runs a foreign program by the QEMU that is registered for its format. The registration is the namespace's own, and ends with it.
# $1: path of QEMU, $2: the root, and then the command.
enter='
magic="\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
mask="\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
if mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc 2>/dev/null; then
    printf %s ":temper-aarch64:M::$magic:$mask:$1:F" >/proc/sys/fs/binfmt_misc/register
elif ! grep -qs "^flags:.*F" /proc/sys/fs/binfmt_misc/qemu-aarch64; then
    echo "This Linux keeps no register of foreign programs for a namespace (6.7 and newer do): install the package binfmt-support." >&2
    exit 1
fi
root=$2
shift 2
mkdir -p "$root/proc" "$root/dev" "$root/tmp"
mount -t proc proc "$root/proc"
# not /sys: it describes the processor of the host, and ONNX Runtime crashes over it on aarch64
mount --rbind /dev "$root/dev"
chroot "$root" "$@"
'
inside() {
    # an emulated program that crashes may leave a thread that waits forever
    timeout --kill-after 5 "$patience" unshare --user --map-root-user --mount --pid --fork --kill-child -- \
        bash -c "set -eu; $enter" enter "$(command -v qemu-aarch64-static)" "$root" \
        /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root LC_ALL=C.UTF-8 PYTHONPATH=/opt/temper/package:/opt/temper/dependencies "$@" </dev/null
}
there() { say "aarch64\$ temper $*"; inside /usr/bin/python3 -m temper "$@"; }

make_inputs() {
    local bundle=${1:-} data=${2:-}
    rm -rf "$root/work"
    mkdir -p "$root/work"
    if [[ -z $bundle ]]; then
        PYTHONPATH=tests "$python" - "$root/work" <<'PYTHON'
import sys
from dataclasses import replace
from pathlib import Path

from temper.detection.dataset import save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data

work = Path(sys.argv[1])
make_tiny_bundle(work, golden=True)
save_split(replace(toy_data(work / "data" / "images", 16), labels=LABELS), work / "data", "val")
PYTHON
        bundle_name=tiny.temper
        return
    fi
    bundle_name=$(basename "$bundle")
    cp -RL "$bundle" "$root/work/$bundle_name"
    cp -RL "$data" "$root/work/data"
}

(($# == 0)) || [[ -e $1 && -d ${2:-} ]] || fail "Give a bundle and the folder of a data set: $0 BUNDLE DATA [SPLIT]."
require_means
mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock --nonblock 9 || fail "Another of this script is at work in $root: wait for it, or set TEMPER_AARCH64_ROOT to another folder."
make_root
install_package
split=${3:-val}
make_inputs "${1:-}" "${2:-}"
pictures=$(cd "$root/work" && "$python" -c 'import sys; from pathlib import Path; from temper.detection.dataset import load_split
print(load_split(Path("data"), sys.argv[1]).image_folder.resolve().relative_to(Path.cwd().resolve()))' "$split")

there --version
there doctor
there bundle check "/work/$bundle_name"
there deploy run "/work/$bundle_name" --source "/work/$pictures" --out /work/results --limit "$limit"
there bench run "/work/$bundle_name" --data /work/data --split "$split" --limit "$limit" --out /work/bench --history none
say "x86_64\$ temper bench run $bundle_name"
"$here/.venv/bin/temper" bench run "$root/work/$bundle_name" --data "$root/work/data" --split "$split" --limit "$limit" \
    --seconds 0.1 --samples 11 --out "$root/work/bench-x86_64" --history none >/dev/null
if grep -q '"row": "latency"' "$root/work/bench/measurements.jsonl"; then
    fail "The emulated benchmark has rows of latency, which it must not."
fi
"$python" scripts/same_detections.py "$root/work/bench-x86_64" "$root/work/bench"
