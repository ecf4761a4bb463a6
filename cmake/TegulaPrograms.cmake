# The programs. Each is a thin main over libtegula; one whose sources are not there is left out.
function(tegula_program name)
  cmake_parse_arguments(PARSE_ARGV 1 program "" "" "SOURCES;PRIVATE")
  if(NOT program_SOURCES OR NOT TARGET tegula)
    return()
  endif()
  add_executable(${name} ${program_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE tegula tegula_options fmt::fmt CLI11::CLI11 nlohmann_json::nlohmann_json
                                        ${program_PRIVATE} ${CMAKE_DL_LIBS})
  add_dependencies(${name} tegula_kernels)
  # Beside libtegula in the build tree as after installation, wherever that is moved to.
  file(RELATIVE_PATH to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(${name} PROPERTIES INSTALL_RPATH "$ORIGIN/${to_lib}")
  set_property(GLOBAL APPEND PROPERTY TEGULA_PROGRAMS ${name})
endfunction()

file(GLOB scheduler_main CONFIGURE_DEPENDS scheduler/main.cc)
file(GLOB worker_main CONFIGURE_DEPENDS worker/main.cc)
file(GLOB_RECURSE bench_sources CONFIGURE_DEPENDS bench/*.cc)
set(eval_sources ${bench_sources})
list(FILTER bench_sources EXCLUDE REGEX "/bench/(eval|kernels)/")
list(FILTER eval_sources INCLUDE REGEX "/bench/eval/")

tegula_program(tegula-scheduler SOURCES ${scheduler_main})
tegula_program(tegula-worker SOURCES ${worker_main})
tegula_program(tegula-bench SOURCES ${bench_sources})
tegula_program(tegula-eval SOURCES ${eval_sources})
