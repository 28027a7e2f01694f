#!/bin/sh
# From a clone to a trained JEM in three minutes:
#
#     sh examples/quickstart.sh [OUTPUT-FOLDER]
#
# Installs what is missing (as root or through sudo; otherwise prints the one line to run), builds, trains
# a joint energy model on Fashion-MNIST for 90 seconds, evaluates it on the 10,000 test images, and writes
# model.safetensors and samples.png to the folder (default: the current one).
set -eu
out=$(mkdir -p "${1-.}" && cd "${1-.}" && pwd)
cd "$(dirname "$0")/.."

sh .ci/require build-essential cmake ninja-build pkg-config libdnnl-dev libjansson-dev \
    librandom123-dev libpng-dev zlib1g-dev dataset-fashion-mnist

echo "Building (build/) ..."
{
    cmake -S . -B build -G Ninja -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Release &&
        cmake --build build
} >"$out/build.log" 2>&1 || { cat "$out/build.log" >&2; exit 1; }
rm -f "$out/build.log"
jem=build/bindings/cli/jem

echo "Training for ${JEM_QUICKSTART_SECONDS:-90} seconds on 60,000 images ..."
"$jem" train --data fashion-mnist --out "$out/model.safetensors" \
    --seconds "${JEM_QUICKSTART_SECONDS:-90}"

echo "Evaluating on 10,000 test images ..."
"$jem" eval --model "$out/model.safetensors" --data fashion-mnist

echo "Sampling 10 images of each class ..."
"$jem" sample --model "$out/model.safetensors" --data fashion-mnist --grid --n 100 \
    --png "$out/samples.png"
echo "Wrote $out/model.safetensors and $out/samples.png"
