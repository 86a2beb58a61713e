#!/bin/sh
# Makes .venv, or mends it, or does nothing (a fraction of a second) when it is as it should be.
#   .venv/.environment  what the third-party packages were installed from; written last, so an interrupted install shows
#   .venv/.package      the state of Temper's own files that is installed
# The environment holds exactly what requirements/pyXYZ.txt pins; every file is checked against its hash.
set -eu
cd "$(dirname "$0")/.."
root=$(pwd -P)
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV CONDA_PREFIX
# of a pip configured for other uses: these would lead the install out of .venv
unset PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_REQUIRE_HASHES PIP_NO_DEPS PIP_REQUIREMENT PIP_CONSTRAINT

say() { printf '%s\n' "$*" >&2; }

if command -v flock >/dev/null 2>&1; then
    # two makes at once: the second waits
    exec 9<scripts/install.sh
    flock 9
fi

digest() { sha256sum | cut -d ' ' -f 1; }
short_version() { "$1" -c 'import sys; print("%d%d" % sys.version_info[:2])' 2>/dev/null; }
requirements_of() { echo "requirements/py$1.txt"; }
environment_key() {
    echo "$root $(cat "$(requirements_of "$1")" requirements/uv.txt scripts/install.sh scripts/openmp.py | digest)"
}

uses_wanted_python() {
    [ -z "${PYTHON:-}" ] || [ "$(short_version "$PYTHON")" = "$1" ]
}

environment_stands() {
    [ -f .venv/.environment ] || return 1
    version=$(short_version .venv/bin/python) || return 1
    [ -f "$(requirements_of "$version")" ] && uses_wanted_python "$version" || return 1
    [ "$(cat .venv/.environment)" = "$(environment_key "$version")" ]
}

# uv does not read pip's settings: a mirror or a certificate that pip needs, uv needs too
follow_pip_settings() {
    if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
        index=${PIP_INDEX_URL:-$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}
        [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
    fi
    if [ -z "${SSL_CERT_FILE:-}" ]; then
        certificates=${PIP_CERT:-$(.venv/bin/python -m pip config get global.cert 2>/dev/null || true)}
        [ -z "$certificates" ] || export SSL_CERT_FILE="$certificates"
    fi
    export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}"
}

choose_cache() {
    [ -z "${UV_CACHE_DIR:-}" ] || return 0
    cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
    if [ -n "$cache" ] && mkdir -p "$cache/uv" 2>/dev/null && [ -w "$cache/uv" ]; then
        cache=$cache/uv
    else
        cache=$root/.venv/.cache
        mkdir -p "$cache"
    fi
    export UV_CACHE_DIR="$cache"
    # hard links do not cross file systems
    if [ "$(stat -c %d "$cache")" != "$(stat -c %d .venv)" ]; then
        export UV_LINK_MODE="${UV_LINK_MODE:-copy}"
    fi
}

make_environment() {
    if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
        say "The pinned environment is for Linux on x86_64, and this is $(uname -s) on $(uname -m);" \
            "the base package, which runs bundles, installs with 'pip install .'"
        exit 1
    fi
    python=$(scripts/find_python.sh)
    version=$(short_version "$python")
    say "Temper: making .venv with $python, then installing the pinned packages of $(requirements_of "$version")"
    rm -f .venv/.environment .venv/.package
    "$python" -m venv --clear .venv || {
        say "$python could not make .venv in $root: see its message above."
        exit 1
    }
    .venv/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps --only-binary :all: \
        --requirement requirements/uv.txt || {
        say "The installer uv could not be fetched: the first 'make' needs a package index within reach (see pip's message above)."
        exit 1
    }
    follow_pip_settings
    choose_cache
    .venv/bin/uv pip sync --python .venv/bin/python --require-hashes --no-build "$(requirements_of "$version")" || {
        say "The pinned packages could not be installed: see uv's message above, then run make again; what was fetched is kept."
        exit 1
    }
    .venv/bin/python scripts/openmp.py
    environment_key "$version" >.venv/.environment
}

# the top folders of the package, from the one list of packages there is
package_folders() { sed -n 's/^ *"temper\.\([a-z_]*\)",$/\1/p' pyproject.toml; }
package_key() {
    find pyproject.toml README.md LICENSE *.py py.typed recipes $(package_folders) \
        -type f ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | digest
}

install_package() {
    rm -f .venv/.package
    # built from a copy, so that no build folder is left in the tree or taken for a source
    rm -rf .venv/.source
    mkdir .venv/.source
    cp -R pyproject.toml README.md LICENSE *.py py.typed recipes $(package_folders) .venv/.source
    choose_cache
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --reinstall-package temper \
        --refresh-package temper .venv/.source || {
        say "Temper itself could not be installed into .venv: see uv's message above."
        exit 1
    }
    rm -rf .venv/.source
    printf '%s\n' "$1" >.venv/.package
}

environment_stands || make_environment
key=$(package_key)
if [ "$(cat .venv/.package 2>/dev/null)" != "$key" ]; then
    install_package "$key"
fi
