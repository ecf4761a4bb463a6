# libtegula: all rooms in one shared library. Third parties stay behind the version script; a consumer links Threads.

get_property(rooms GLOBAL PROPERTY TEGULA_ROOMS)
get_property(kernel_libraries GLOBAL PROPERTY TEGULA_KERNEL_LIBRARIES)

add_custom_target(tegula_kernels)
if(kernel_libraries)
  add_dependencies(tegula_kernels ${kernel_libraries})
endif()

if(rooms)
  # Every object of every room, used here or not: the public API is whatever the rooms define.
  set(objects)
  foreach(room IN LISTS rooms)
    list(APPEND objects $<TARGET_OBJECTS:${room}>)
  endforeach()
  set(export_script ${PROJECT_SOURCE_DIR}/cmake/libtegula.map)

  add_library(tegula SHARED ${objects})
  add_library(tegula::tegula ALIAS tegula)
  set_target_properties(tegula PROPERTIES
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
    LINKER_LANGUAGE CXX
    LINK_DEPENDS ${export_script})
  target_compile_features(tegula INTERFACE cxx_std_20)
  target_include_directories(tegula INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                              $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(tegula
    PUBLIC Threads::Threads
    PRIVATE $<BUILD_INTERFACE:tegula_options> fmt::fmt spdlog::spdlog yaml-cpp PkgConfig::xxhash PkgConfig::lz4 PkgConfig::hwloc
            PkgConfig::capnp OpenSSL::Crypto PkgConfig::cpp-httplib PkgConfig::prometheus ${CMAKE_DL_LIBS})
  target_link_options(tegula PRIVATE -Wl,--version-script=${export_script})
  if(NOT TEGULA_SANITIZE)
    target_link_options(tegula PRIVATE -Wl,--no-undefined)
  endif()
endif()
