#!/bin/sh
# Installs the test dependencies, builds, and runs every test:
#
#     sh tests/run.sh              all rows below
#     sh tests/run.sh --quick      the release row only
#     sh tests/run.sh --backend    of that row the tests that may depend on oneDNN
#     sh tests/run.sh --long       all rows, then every fuzzer for a minute under sanitizers
#     sh tests/run.sh --coverage   a build that counts lines and branches: figures per room of lib/
#
#     release     as it is installed, with oneDNN
#     native      without oneDNN, less the tests that do not ask for the backend
#     sanitizers  address and undefined behaviour
#     threads     ThreadSanitizer over the tests in which threads meet, with a planted race as control;
#                 by clang, whose OpenMP runtime tells the sanitizer what it orders
#     aarch64     NEON: a cross compiler's build, emulated; what it computes must have the bits that
#                 tests/bits has of every processor
#
# tests/mutants/run.py plants faults one by one and says which of them the tests see.
#
# Builds go to build-test/<row>. The last lines say of each row what it ran, or why it did not.
set -eu
cd "$(dirname "$0")/.."

mode=${1-}
case $mode in
'' | --quick | --backend | --long | --coverage) ;;
*)
    echo "usage: sh tests/run.sh [--quick | --backend | --long | --coverage]" >&2
    exit 2
    ;;
esac

sh .ci/require build-essential g++ clang cmake ninja-build pkg-config git \
    libdnnl-dev libjansson-dev librandom123-dev libpng-dev zlib1g-dev check \
    binutils locales python3 python3-numpy python3-pytest python3-sklearn python3-matplotlib \
    dataset-fashion-mnist libomp-dev
[ "$mode" != --coverage ] || sh .ci/require gcovr

mkdir -p build-test
summary=build-test/summary
: >"$summary"

# note ROW TEXT: a line of the summary.
note() {
    printf '%-11s %s\n' "$1" "$2" >>"$summary"
}

# build ROW CMAKE-OPTION...: warnings are errors here.
source=.
build() {
    row=$1
    shift
    echo "== $row"
    cmake -S "$source" -B "build-test/$row" -G Ninja -DJEM_BUILD_TESTS=ON "$@" \
        >"build-test/$row.configure.log" 2>&1 || { cat "build-test/$row.configure.log"; return 1; }
    cmake --build "build-test/$row" >"build-test/$row.build.log" 2>&1 ||
        { cat "build-test/$row.build.log"; return 1; }
    ! grep -n 'warning:' "build-test/$row.build.log" || { echo "warnings are errors here"; return 1; }
}

# run ROW WHAT CMAKE-OPTION...: a row that fails does not keep the others from running. `leave_out` says
# which label the tests have that are left out; tests/CMakeLists.txt has the list.
leave_out=none
run() {
    row=$1 what=$2 start=$(date +%s)
    shift 2
    if ! build "$row" "$@"; then
        note "$row" "FAILED to build ($what)"
    elif ctest --test-dir "build-test/$row" -j 2 --output-on-failure -LE "$leave_out"; then
        tests=$(ctest --test-dir "build-test/$row" -N -LE "$leave_out" | sed -n 's/^Total Tests: *//p')
        note "$row" "all $tests tests passed in $(($(date +%s) - start)) s ($what)"
    else
        log=build-test/$row/Testing/Temporary/LastTestsFailed.log
        failed=$([ ! -f "$log" ] || sed 's/.*://' "$log" | tr '\n' ' ')
        note "$row" "FAILED: $failed($what)"
    fi
}

# Without packages of that processor, so that nothing foreign is installed: Random123 is headers, and
# the directory that they lie in has this machine's too.
aarch64() {
    if [ "$(uname -m)" = aarch64 ]; then
        note aarch64 "skipped, as this machine is one: the rows above ran on it"
    elif ! sh .ci/require gcc-aarch64-linux-gnu qemu-user; then
        note aarch64 "skipped, as its cross compiler and emulator could not be installed"
    else
        mkdir -p build-test/aarch64-headers
        ln -sfn /usr/include/Random123 build-test/aarch64-headers/Random123
        source=tests/bits
        run aarch64 "gcc, emulated, without oneDNN; bits alone" -DJEM_BUILD_TESTS=OFF \
            -DCMAKE_TOOLCHAIN_FILE="$PWD/tests/bits/aarch64.cmake" \
            -DJEM_RANDOM123_INCLUDE_DIR="$PWD/build-test/aarch64-headers"
        source=.
    fi
}

# In the build of the sanitizers row.
fuzz() {
    echo "== fuzzing"
    failed=
    for fuzzer in build-test/sanitizers/tests/fuzz_*; do
        "$fuzzer" 60 || failed="$failed$(basename "$fuzzer") "
    done
    note fuzzing "${failed:+FAILED: }${failed:-all passed }(a minute each, address and undefined)"
}

if [ "$mode" = --coverage ]; then
    run coverage "gcc -O1 --coverage" -DCMAKE_C_COMPILER=gcc -DJEM_WITH_ONEDNN=ON -DJEM_COVERAGE=ON
    python3 tests/coverage.py "$PWD" "$PWD/build-test/coverage"
else
    [ "$mode" != --backend ] || leave_out=any-backend
    run release "gcc, oneDNN" -DCMAKE_C_COMPILER=gcc -DJEM_WITH_ONEDNN=ON -DJEM_BUILD_EXAMPLES=ON
fi
if [ -z "$mode" ] || [ "$mode" = --long ]; then
    leave_out=any-backend
    run native "gcc, without oneDNN" -DCMAKE_C_COMPILER=gcc -DJEM_WITH_ONEDNN=OFF \
        -DJEM_BUILD_EXAMPLES=ON
    leave_out=none
    run sanitizers "gcc, oneDNN, address and undefined" -DCMAKE_C_COMPILER=gcc \
        -DJEM_WITH_ONEDNN=ON -DJEM_SANITIZE=address -DCMAKE_BUILD_TYPE=RelWithDebInfo
    run threads "clang, without oneDNN" -DCMAKE_C_COMPILER=clang -DJEM_WITH_ONEDNN=OFF \
        -DJEM_SANITIZE=thread -DJEM_BUILD_CLI=OFF -DCMAKE_BUILD_TYPE=RelWithDebInfo
    aarch64
fi

[ "$mode" != --long ] || fuzz

echo "== summary"
cat "$summary"
! grep -q FAILED "$summary"
