# Headers, libtegula with its find_package(tegula), programs, and the kernel libraries. Those are opened at run time
# and never linked, hence no part of the export set; libtegula finds them relative to itself.
include(CMakePackageConfigHelpers)

get_property(programs GLOBAL PROPERTY TEGULA_PROGRAMS)
get_property(kernel_libraries GLOBAL PROPERTY TEGULA_KERNEL_LIBRARIES)
set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tegula)

if(EXISTS ${PROJECT_SOURCE_DIR}/include/tegula)
  install(DIRECTORY include/tegula DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
endif()
if(programs)
  install(TARGETS ${programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(kernel_libraries)
  install(TARGETS ${kernel_libraries} LIBRARY DESTINATION ${TEGULA_KERNEL_INSTALL_DIR})
endif()
if(TARGET tegula)
  install(TARGETS tegula EXPORT tegula-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT tegula-targets NAMESPACE tegula:: DESTINATION ${config_dir})
  configure_package_config_file(cmake/tegula-config.cmake.in ${PROJECT_BINARY_DIR}/tegula-config.cmake
                                INSTALL_DESTINATION ${config_dir})
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/tegula-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/tegula-config.cmake ${PROJECT_BINARY_DIR}/tegula-config-version.cmake
          DESTINATION ${config_dir})
endif()
