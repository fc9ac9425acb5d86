#!/usr/bin/env bash
# The whole main job on a machine with an NVIDIA GPU, root and no network, out of the torch that is
# installed there.
#
#   tests/gpu/acceptance.sh --pack [PYTHON_VERSION]   where there is a network: fills tests/gpu/wheels
#   tests/gpu/acceptance.sh [--cpu] [--json FILE]     on the machine, with this checkout and those wheels
#
# PYTHON names the interpreter that has torch, python3 by default; WORK a directory with 20 GB free.
# Prints a line with its seconds for each step, then PASS or what failed. What pyinfra says goes to standard error.
set -euo pipefail
cd "$(dirname "$0")/../.."
wheels=tests/gpu/wheels
most_mib=64 # what may be carried: this checkout and the wheels

pack() {
    local version=${1:-3.12} platforms=() minor tag
    minor=$(cut -d. -f1,2 <<<"$version")
    for tag in manylinux_2_28 manylinux_2_17 manylinux2014 manylinux_2_12 manylinux2010 \
        manylinux_2_5 manylinux1; do
        platforms+=(--platform "${tag}_x86_64")
    done
    rm -rf "$wheels"
    mkdir "$wheels"
    echo '*' >"$wheels/.gitignore"
    python3 -m pip download --quiet --requirement requirements.txt --only-binary :all: \
        --implementation cp --python-version "$version" --abi "cp${minor/./}" --abi abi3 \
        --abi none "${platforms[@]}" --dest "$wheels"
    local mib
    mib=$({ git ls-files -z --cached --others --exclude-standard; printf '%s\0' "$wheels"; } |
        { du --files0-from=- --total --block-size=1M --apparent-size 2>/dev/null || true; } |
        awk 'END { print $1 }') # a file that was removed but is not committed is no failure
    echo "$mib MiB to carry, $most_mib at most"
    [ "$mib" -le "$most_mib" ]
}

if [ "${1:-}" = --pack ]; then
    pack "${2:-}"
    exit
fi

python=$(command -v "${PYTHON:-python3}")
work=${WORK:-/tmp}
tools=$(mktemp -d "$work/tools-XXXXXX")
trap 'rm -rf "$tools"' EXIT
if ! "$python" -m venv "$tools" >/dev/null 2>&1; then
    "$python" -m venv --clear --without-pip "$tools"
fi
"$python" -m pip --python "$tools/bin/python" install --quiet --no-index --find-links "$wheels" \
    --disable-pip-version-check --requirement requirements.txt
PYTHONPATH=. PYTHONDONTWRITEBYTECODE=1 "$tools/bin/python" -m tests.gpu.acceptance \
    --python "$python" --work "$work" "$@"
