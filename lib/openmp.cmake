# jem_openmp: how the library is compiled and linked for OpenMP.
#
# oneDNN brings GCC's runtime, libgomp, and two OpenMP runtimes in one process hang or crash. So with
# oneDNN libjem takes libgomp too, whatever the compiler is. GCC always does. Clang's own runtime is
# libomp; for libgomp it generates no parallel regions, these then run on the calling thread.

if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(JEM_OPENMP_RUNTIME libgomp)
elseif(NOT JEM_OPENMP STREQUAL "AUTO")
    set(JEM_OPENMP_RUNTIME ${JEM_OPENMP})
elseif(JEM_HAVE_ONEDNN)
    set(JEM_OPENMP_RUNTIME libgomp)
else()
    find_package(OpenMP QUIET COMPONENTS C)
    set(JEM_OPENMP_RUNTIME libgomp)
    if(OpenMP_C_FOUND)
        set(JEM_OPENMP_RUNTIME libomp)
    endif()
endif()

if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND JEM_OPENMP STREQUAL "libomp")
    message(FATAL_ERROR "JEM_OPENMP=libomp needs clang: GCC compiles for libgomp.")
endif()
if(JEM_HAVE_ONEDNN AND JEM_OPENMP_RUNTIME STREQUAL "libomp")
    message(FATAL_ERROR "JEM_OPENMP=libomp does not go with oneDNN, which brings libgomp: two OpenMP "
                        "runtimes in one process hang or crash. Take JEM_OPENMP=libgomp or "
                        "JEM_WITH_ONEDNN=OFF.")
endif()

add_library(jem_openmp INTERFACE)
if(JEM_OPENMP_RUNTIME STREQUAL "libgomp" AND NOT CMAKE_C_COMPILER_ID STREQUAL "GNU")
    include(CheckCSourceCompiles)
    set(CMAKE_REQUIRED_FLAGS -fopenmp=libgomp)
    check_c_source_compiles("#include <omp.h>
int main(void) { return omp_get_max_threads() < 1; }" JEM_LIBGOMP_LINKS)
    unset(CMAKE_REQUIRED_FLAGS)
    jem_require(JEM_LIBGOMP_LINKS "libgomp with an omp.h for this compiler" libomp-dev)
    target_compile_options(jem_openmp INTERFACE -fopenmp-simd)
    target_link_libraries(jem_openmp INTERFACE gomp)
else()
    find_package(OpenMP QUIET COMPONENTS C)
    jem_require(OpenMP_C_FOUND OpenMP libomp-dev)
    target_link_libraries(jem_openmp INTERFACE OpenMP::OpenMP_C)
endif()
string(REGEX REPLACE "^lib" "-l" JEM_OPENMP_LINK "${JEM_OPENMP_RUNTIME}")
