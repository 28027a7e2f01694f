# What libjem needs of the machine and of other packages. Everything is looked for first, so that a
# user who lacks several packages is told once.

# ---- the target machine ------------------------------------------------------------------------

include(TestBigEndian)
test_big_endian(JEM_TARGET_IS_BIG_ENDIAN)
if(NOT CMAKE_SIZEOF_VOID_P EQUAL 8 OR JEM_TARGET_IS_BIG_ENDIAN)
    math(EXPR JEM_POINTER_BITS "8 * ${CMAKE_SIZEOF_VOID_P}")
    set(JEM_BYTE_ORDER little)
    if(JEM_TARGET_IS_BIG_ENDIAN)
        set(JEM_BYTE_ORDER big)
    endif()
    message(FATAL_ERROR "libjem runs on 64-bit little-endian processors only; this build is for "
                        "${JEM_POINTER_BITS} bits, ${JEM_BYTE_ORDER}-endian.")
endif()

# ---- a list of what was not found --------------------------------------------------------------

set(JEM_MISSING_NAMES "")
set(JEM_MISSING_PACKAGES "")

# jem_require(VARIABLE NAME PACKAGE): where the variable is false, notes the name and the Debian
# package of what is missing.
macro(jem_require variable name package)
    if(NOT ${variable})
        list(APPEND JEM_MISSING_NAMES "${name}")
        list(APPEND JEM_MISSING_PACKAGES ${package})
    endif()
endmacro()

# jem_require_module(PREFIX MODULE PACKAGE): a library that is found by pkg-config.
macro(jem_require_module prefix module package)
    if(PKG_CONFIG_FOUND)
        pkg_check_modules(${prefix} QUIET IMPORTED_TARGET ${module})
    endif()
    jem_require(${prefix}_FOUND ${module} ${package})
endmacro()

# ---- the library's own -------------------------------------------------------------------------

find_package(Threads REQUIRED)
find_path(JEM_RANDOM123_INCLUDE_DIR Random123/philox.h)
mark_as_advanced(JEM_RANDOM123_INCLUDE_DIR)
jem_require(JEM_RANDOM123_INCLUDE_DIR Random123 librandom123-dev)

# Debian ships no dnnl.pc, and oneDNN's CMake package looks for OpenCL.
set(JEM_HAVE_ONEDNN 0)
if(JEM_WITH_ONEDNN STREQUAL "AUTO" OR JEM_WITH_ONEDNN)
    find_path(JEM_DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.h)
    find_library(JEM_DNNL_LIBRARY dnnl)
    mark_as_advanced(JEM_DNNL_INCLUDE_DIR JEM_DNNL_LIBRARY)
    if(JEM_DNNL_INCLUDE_DIR AND JEM_DNNL_LIBRARY)
        set(JEM_HAVE_ONEDNN 1)
    elseif(NOT JEM_WITH_ONEDNN STREQUAL "AUTO")
        jem_require(FALSE oneDNN libdnnl-dev)
    endif()
endif()

include(${CMAKE_CURRENT_LIST_DIR}/openmp.cmake)

# ---- the command's and the tests' --------------------------------------------------------------

if(JEM_BUILD_CLI OR JEM_BUILD_TESTS)
    find_package(PkgConfig QUIET)
    jem_require(PKG_CONFIG_FOUND pkg-config pkg-config)
    jem_require_module(JANSSON jansson libjansson-dev)
endif()
if(JEM_BUILD_CLI)
    jem_require_module(PNG libpng libpng-dev)
    find_package(ZLIB QUIET)
    jem_require(ZLIB_FOUND zlib zlib1g-dev)
endif()
if(JEM_BUILD_TESTS)
    jem_require_module(CHECK check check)
endif()

# ---- the verdict -------------------------------------------------------------------------------

if(JEM_MISSING_NAMES)
    if(NOT JEM_HAVE_ONEDNN AND JEM_WITH_ONEDNN STREQUAL "AUTO")
        list(APPEND JEM_MISSING_NAMES "oneDNN (for speed only)")
        list(APPEND JEM_MISSING_PACKAGES libdnnl-dev)
    endif()
    string(REPLACE ";" ", " JEM_MISSING_NAMES "${JEM_MISSING_NAMES}")
    string(REPLACE ";" " " JEM_MISSING_PACKAGES "${JEM_MISSING_PACKAGES}")
    message(FATAL_ERROR "libjem did not find: ${JEM_MISSING_NAMES}. Debian and Ubuntu have them:\n"
                        "  sudo apt-get install ${JEM_MISSING_PACKAGES}\n"
                        "-DJEM_BUILD_CLI=OFF builds the library without the command, which needs "
                        "Random123 only.")
endif()
message(STATUS "libjem: oneDNN ${JEM_HAVE_ONEDNN}, OpenMP runtime ${JEM_OPENMP_RUNTIME}")
