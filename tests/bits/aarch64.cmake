# Debian's cross compiler, and the emulation of one process.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
find_program(JEM_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
mark_as_advanced(JEM_QEMU)
set(CMAKE_CROSSCOMPILING_EMULATOR ${JEM_QEMU} -L /usr/aarch64-linux-gnu)
