#!/bin/sh
# Pin what pyproject.toml asks for, by hash and for every system, without index addresses.
set -eu
cd "$(dirname "$0")/.."

pin() {
    output=$1
    shift
    .venv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-header --quiet --group build "$@" --output-file "$output"
}
pin requirements.txt
pin requirements-dev.txt --group dev
sed -n '/^uv==/,/[^\\]$/p' requirements.txt >fleetwheel/delivery/uv.txt # for the uv of other systems
