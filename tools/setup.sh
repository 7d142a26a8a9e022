#!/bin/sh
# Finds a Python and hands over to tools/setup. Usage: tools/setup.sh run|check|test|lock [ARGUMENTS]
# PYTHON=/path/to/python takes that one; otherwise an environment that is there already is kept.
set -eu
cd "$(dirname "$0")/.."

supported() { # whether $1 is a Python for which the pinned packages have wheels
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

fail() {
    echo "set-up: $1" >&2
    exit 1
}

if [ -z "${PYTHON:-}" ] && [ -f .venv/.ready.json ] && .venv/bin/python -E -s -S -m tools.setup --only-look "$1" 2>/dev/null
then
    exit 0
fi

if [ -n "${PYTHON:-}" ]; then
    supported "$PYTHON" || fail "PYTHON=$PYTHON is not a Python from 3.11 to 3.14"
    exec "$PYTHON" -E -s -m tools.setup --with-this-python "$@"
fi

second=
for name in python3.13 python3.12 python3.11 python3.14 python3; do
    supported "$name" || continue
    if "$name" -c 'import ensurepip, venv' 2>/dev/null; then
        exec "$name" -E -s -m tools.setup "$@"
    fi
    second=${second:-$name}
done
[ -z "$second" ] || exec "$second" -E -s -m tools.setup "$@" # it will try to install the venv module
fail "Python 3.11 to 3.14 is needed, and $(python3 -V 2>/dev/null || echo no python3) is here; install one, or name it: make PYTHON=/path/to/python3.11"
