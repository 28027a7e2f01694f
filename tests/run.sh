#!/bin/sh
# Installs the test dependencies, builds, and runs every test:
#
#     sh tests/run.sh            Release build, build without oneDNN, sanitizer build
#     sh tests/run.sh --quick    Release build only
#
# Builds go to build-test/<name>. The last lines of each run are the test runner's own.
set -eu
cd "$(dirname "$0")/.."

sh .ci/require build-essential g++ clang cmake ninja-build pkg-config git \
    libdnnl-dev libjansson-dev librandom123-dev libpng-dev zlib1g-dev check \
    binutils locales python3 python3-numpy python3-pytest python3-sklearn python3-matplotlib \
    dataset-fashion-mnist

run() {
    name=$1
    shift
    echo "== $name"
    cmake -S . -B "build-test/$name" -G Ninja -DCMAKE_C_COMPILER=gcc -DJEM_BUILD_TESTS=ON \
        -DJEM_BUILD_EXAMPLES=ON "$@" >"build-test/$name.configure.log" 2>&1 ||
        { cat "build-test/$name.configure.log"; return 1; }
    cmake --build "build-test/$name" >"build-test/$name.build.log" 2>&1 ||
        { cat "build-test/$name.build.log"; return 1; }
    ! grep -n 'warning:' "build-test/$name.build.log" || { echo "warnings are errors here"; return 1; }
    ctest --test-dir "build-test/$name" --output-on-failure
}

mkdir -p build-test
run release -DJEM_WITH_ONEDNN=ON
[ "${1-}" != --quick ] || exit 0
run without-onednn -DJEM_WITH_ONEDNN=OFF
run sanitize -DJEM_WITH_ONEDNN=ON -DJEM_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
