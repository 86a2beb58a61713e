#!/bin/sh
# Prints the path of a Python that can carry Temper's environment: CPython 3.10 to 3.12 with venv and ensurepip.
# Looks at $PYTHON alone if it is set, else at every python3, python3.12, 3.11 and 3.10 on the PATH (a version manager's
# shim that does not run, or a Debian Python without its venv package, is passed over).
set -u

probe='
import sys
if sys.implementation.name != "cpython" or not (3, 10) <= sys.version_info[:2] <= (3, 12):
    sys.exit("is Python %d.%d" % sys.version_info[:2])
try:
    import ensurepip, ssl, venv
except ImportError as error:
    sys.exit("lacks the module " + str(error.name))
print(getattr(sys, "_base_executable", None) or sys.executable)
'
fits="Temper's training needs CPython 3.10, 3.11 or 3.12"

unset PYTHONHOME PYTHONPATH
if [ -n "${PYTHON:-}" ]; then
    if answer=$("$PYTHON" -c "$probe" 2>&1); then
        printf '%s\n' "$answer"
        exit 0
    fi
    echo "$fits, and PYTHON=$PYTHON does not fit: $(printf '%s\n' "$answer" | tail -n 1)" >&2
    exit 1
fi

passed_over=
for name in python3 python3.12 python3.11 python3.10 python; do
    IFS=:
    for folder in $PATH; do
        unset IFS
        candidate=${folder:-.}/$name
        [ -f "$candidate" ] && [ -x "$candidate" ] || continue
        if answer=$("$candidate" -c "$probe" 2>&1); then
            printf '%s\n' "$answer"
            exit 0
        fi
        case $answer in
            *"lacks the module"*) passed_over="$passed_over; $candidate $answer" ;;
        esac
    done
    unset IFS
done
echo "$fits, and none of them is on the PATH$passed_over: install one (on Debian and Ubuntu: apt install python3 python3-venv)" \
    "or name one with 'make PYTHON=/path/to/python3.12'." >&2
exit 1
