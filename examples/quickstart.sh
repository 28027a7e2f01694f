#!/bin/sh
# From a clone to a trained JEM in three minutes:
#
#     sh examples/quickstart.sh [OUTPUT-FOLDER]
#
# Installs what is missing (as root or through sudo; otherwise prints the one line to run), builds, trains
# a joint energy model on Fashion-MNIST, evaluates it on the 10,000 test images, and writes
# model.safetensors and samples.png to the folder (default: the current one). Where there is such a
# file already, it stays, and the new ones are called model-2.safetensors and samples-2.png, and so on.
#
# JEM_QUICKSTART_SECONDS in the environment is how long it trains, 90 by default:
#
#     JEM_QUICKSTART_SECONDS=600 sh examples/quickstart.sh
set -eu
case ${1-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
seconds=${JEM_QUICKSTART_SECONDS:-90}
out=$(mkdir -p "${1-.}" && cd "${1-.}" && pwd)
cd "$(dirname "$0")/.."

end= number=1
while [ -e "$out/model$end.safetensors" ] || [ -e "$out/samples$end.png" ]; do
    number=$((number + 1)) end=-$number
done
model=$out/model$end.safetensors samples=$out/samples$end.png

sh .ci/require build-essential cmake ninja-build pkg-config libdnnl-dev libjansson-dev \
    librandom123-dev libpng-dev zlib1g-dev dataset-fashion-mnist

echo "Building (build/) ..."
log=$(mktemp)
{
    cmake -S . -B build -G Ninja -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Release &&
        cmake --build build
} >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
rm -f "$log"
jem=build/bindings/cli/jem

echo "Training for $seconds seconds (JEM_QUICKSTART_SECONDS) on 60,000 images ..."
"$jem" train --data fashion-mnist --out "$model" --seconds "$seconds"

echo "Evaluating on 10,000 test images ..."
"$jem" eval --model "$model" --data fashion-mnist

echo "Sampling 10 images of each class ..."
"$jem" sample --model "$model" --data fashion-mnist --grid --n 100 --png "$samples"
echo "Wrote $model and $samples"
