# How the targets of this tree are compiled. Everything is a property of those targets: a parent
# project, and programs that link libjem, keep their own flags.

include(CheckCCompilerFlag)
include(CheckCSourceCompiles)

set(JEM_WARNINGS -Wall -Wextra -Wshadow -Wstrict-prototypes)

# ---- instruments: sanitizers, coverage ---------------------------------------------------------

set(JEM_INSTRUMENT_COMPILE "")
set(JEM_INSTRUMENT_LINK "")
if(JEM_SANITIZE STREQUAL "thread")
    set(JEM_INSTRUMENT_COMPILE -fsanitize=thread -fno-omit-frame-pointer)
    set(JEM_INSTRUMENT_LINK -fsanitize=thread)
elseif(JEM_SANITIZE)
    set(JEM_INSTRUMENT_COMPILE -fsanitize=address,undefined -fno-sanitize-recover=undefined
        -fno-omit-frame-pointer)
    set(JEM_INSTRUMENT_LINK -fsanitize=address,undefined)
endif()
if(JEM_COVERAGE)
    # Threads count the same lines: counters that are not atomic lose some, and gcov then derives
    # others that are negative.
    list(APPEND JEM_INSTRUMENT_COMPILE -O1 --coverage -fprofile-update=atomic)
    list(APPEND JEM_INSTRUMENT_LINK --coverage)
endif()

# ---- hardening ---------------------------------------------------------------------------------

# What guards every function's entry, and what guards arrays and copies. Hot loops do without the
# second: they trust their arguments, which the rooms above have checked.
set(JEM_HARDEN_BRANCHES "")
set(JEM_HARDEN_ARRAYS "")
set(JEM_HARDEN_LINK "")

macro(jem_harden_if_known list flag)
    string(MAKE_C_IDENTIFIER "JEM_HAS${flag}" JEM_HAS_FLAG)
    check_c_compiler_flag(${flag} ${JEM_HAS_FLAG})
    if(${JEM_HAS_FLAG})
        list(APPEND ${list} ${flag})
    endif()
endmacro()

if(JEM_HARDEN AND NOT JEM_INSTRUMENT_COMPILE)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
        jem_harden_if_known(JEM_HARDEN_BRANCHES -fcf-protection)
    elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
        jem_harden_if_known(JEM_HARDEN_BRANCHES -mbranch-protection=standard)
    endif()
    jem_harden_if_known(JEM_HARDEN_ARRAYS -fstack-protector-strong)
    jem_harden_if_known(JEM_HARDEN_ARRAYS -fstack-clash-protection)

    # Level 3 needs a compiler and a C library of 2022; those before would warn in every file.
    set(CMAKE_REQUIRED_FLAGS "-O2 -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3")
    check_c_source_compiles("#include <string.h>
int main(void) { return 0; }" JEM_HAS_FORTIFY_3)
    unset(CMAKE_REQUIRED_FLAGS)
    set(JEM_FORTIFY 2)
    if(JEM_HAS_FORTIFY_3)
        set(JEM_FORTIFY 3)
    endif()
    # The C library warns of it in builds that are not optimised.
    if(NOT CMAKE_C_FLAGS MATCHES "-O0")
        list(APPEND JEM_HARDEN_ARRAYS $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE>
             $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=${JEM_FORTIFY}>)
    endif()
    set(JEM_HARDEN_LINK LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack)
endif()

# ---- optimisation and assertions ---------------------------------------------------------------

# A parent project may have no build type. Its own code is then not optimised, which is its choice;
# libjem would be slower by orders of magnitude.
set(JEM_OPTIMIZE "")
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES AND NOT CMAKE_C_FLAGS MATCHES "-O")
    set(JEM_OPTIMIZE -O3)
endif()

# Release and RelWithDebInfo define NDEBUG. Tests are there to see assertions fail.
set(JEM_ASSERTIONS "")
if(JEM_BUILD_TESTS)
    set(JEM_ASSERTIONS -UNDEBUG)
endif()

# jem_set_flags(TARGET ...): the flags of a program or library of this tree.
function(jem_set_flags)
    foreach(target ${ARGN})
        target_compile_options(${target} PRIVATE ${JEM_WARNINGS} ${JEM_OPTIMIZE} ${JEM_ASSERTIONS}
                               ${JEM_HARDEN_BRANCHES} ${JEM_INSTRUMENT_COMPILE})
        target_link_options(${target} PUBLIC ${JEM_INSTRUMENT_LINK})
        get_target_property(type ${target} TYPE)
        if(type STREQUAL "SHARED_LIBRARY" OR type STREQUAL "EXECUTABLE")
            target_link_options(${target} PRIVATE ${JEM_HARDEN_LINK})
        endif()
        if(type STREQUAL "EXECUTABLE" AND JEM_HARDEN_LINK)
            target_link_options(${target} PRIVATE -pie) # compiled for it in any case
        endif()
    endforeach()
endfunction()

# jem_harden_arrays(FILE ...): for sources that meet files, options or other input from outside.
function(jem_harden_arrays)
    list(FILTER ARGN EXCLUDE REGEX "/lib/(kernels|backend)/")
    set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS ${JEM_HARDEN_ARRAYS})
endfunction()
