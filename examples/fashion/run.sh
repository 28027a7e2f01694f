#!/bin/sh
# Fashion-MNIST from a clone to the report, twelve minutes on 2 cores:
#
#     sh examples/fashion/run.sh --out FOLDER [--seed N]
#
# Installs what is missing (as root or through sudo; otherwise prints the one line to run), builds,
# and hands its options to fashion.py, which says what they are (--help). Started again it goes on.
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)

sh "$source/.ci/require" build-essential cmake ninja-build pkg-config libdnnl-dev libjansson-dev \
    librandom123-dev libpng-dev zlib1g-dev dataset-fashion-mnist \
    python3 python3-numpy python3-scipy python3-sklearn python3-matplotlib python3-pil \
    fonts-dejavu-core

echo "Building (build/) ..."
mkdir -p "$source/build"
log=$source/build/fashion.log
{
    cmake -S "$source" -B "$source/build" -G Ninja -DCMAKE_C_COMPILER=gcc \
        -DCMAKE_BUILD_TYPE=Release && cmake --build "$source/build"
} >"$log" 2>&1 || { cat "$log" >&2; exit 1; }

exec /usr/bin/python3 "$source/examples/fashion/fashion.py" "$@"
