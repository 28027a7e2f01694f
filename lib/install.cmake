# What is installed, and how others find it. Paths are relative to the prefix, and the installed tree
# can then be moved, unless the user has named absolute ones.

include(CMakePackageConfigHelpers)

set(JEM_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/jem)
set(JEM_PKGCONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# As part of another project its documentation folder is not ours.
set(JEM_DOC_DIR ${CMAKE_INSTALL_DATAROOTDIR}/doc/jem)
if(JEM_TOP_LEVEL)
    set(JEM_DOC_DIR ${CMAKE_INSTALL_DOCDIR})
endif()

target_include_directories(jem INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
install(TARGETS jem EXPORT jem-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS jem_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/jem DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/lib/THIRD-PARTY.txt
        DESTINATION ${JEM_DOC_DIR})

# ---- CMake -------------------------------------------------------------------------------------

install(EXPORT jem-targets NAMESPACE jem:: FILE jem-config.cmake DESTINATION ${JEM_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/jem-config-version.cmake
                                 VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/jem-config-version.cmake DESTINATION ${JEM_CMAKE_DIR})

# ---- pkg-config --------------------------------------------------------------------------------

# jem.pc finds its prefix from where it lies.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
    set(JEM_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
else()
    file(RELATIVE_PATH JEM_PC_PREFIX /${JEM_PKGCONFIG_DIR} /)
    string(REGEX REPLACE "/$" "" JEM_PC_PREFIX "\${pcfiledir}/${JEM_PC_PREFIX}")
endif()
foreach(kind LIB INCLUDE)
    set(JEM_PC_${kind}DIR ${CMAKE_INSTALL_${kind}DIR})
    if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_${kind}DIR}")
        string(PREPEND JEM_PC_${kind}DIR "\${prefix}/")
    endif()
endforeach()

# What the archive needs beside itself.
set(JEM_PC_ARCHIVE_LIBS "${JEM_OPENMP_LINK} -lpthread -lm")
if(JEM_HAVE_ONEDNN)
    get_filename_component(JEM_DNNL_DIR ${JEM_DNNL_LIBRARY} DIRECTORY)
    string(PREPEND JEM_PC_ARCHIVE_LIBS "-ldnnl ")
    if(NOT JEM_DNNL_DIR IN_LIST CMAKE_C_IMPLICIT_LINK_DIRECTORIES)
        string(PREPEND JEM_PC_ARCHIVE_LIBS "-L${JEM_DNNL_DIR} ")
    endif()
endif()

# "-ljem" takes the shared library wherever both lie, also under "pkg-config --static". So the archive
# has a module of its own.
function(jem_install_pc name libs libs_private)
    set(JEM_PC_NAME ${name})
    set(JEM_PC_LIBS ${libs})
    set(JEM_PC_LIBS_PRIVATE ${libs_private})
    configure_file(${PROJECT_SOURCE_DIR}/jem.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${JEM_PKGCONFIG_DIR})
endfunction()
jem_install_pc(jem "-L\${libdir} -ljem" "${JEM_PC_ARCHIVE_LIBS}")
jem_install_pc(jem-static "\${libdir}/libjem.a ${JEM_PC_ARCHIVE_LIBS}" "")
