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
list(FILTER bench_sources EXCLUDE REGEX "/bench/(chaos|eval|kernels|sim)/")
list(FILTER eval_sources INCLUDE REGEX "/bench/eval/")

# The simulator, as objects: tegula-bench links it to libtegula, its tests to the rooms.
file(GLOB sim_sources CONFIGURE_DEPENDS bench/sim/*.cc)
if(sim_sources)
  add_library(tegula_sim OBJECT ${sim_sources})
  target_include_directories(tegula_sim PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(tegula_sim PUBLIC tegula_options fmt::fmt CLI11::CLI11 nlohmann_json::nlohmann_json)
endif()

# What faults are made with, as objects: for tegula-bench and for tests.
file(GLOB chaos_sources CONFIGURE_DEPENDS bench/chaos/*.cc)
if(chaos_sources)
  add_library(tegula_chaos OBJECT ${chaos_sources})
  target_include_directories(tegula_chaos PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(tegula_chaos PUBLIC tegula_options fmt::fmt CLI11::CLI11 nlohmann_json::nlohmann_json)
endif()

file(GLOB cli_sources CONFIGURE_DEPENDS cli/*.cc)
tegula_program(tegula-cli SOURCES ${cli_sources})
if(TARGET tegula-cli)
  set_target_properties(tegula-cli PROPERTIES OUTPUT_NAME tegula)  # `tegula` is the library's target
endif()

tegula_program(tegula-scheduler SOURCES ${scheduler_main})
tegula_program(tegula-worker SOURCES ${worker_main})
tegula_program(tegula-bench SOURCES ${bench_sources} PRIVATE tegula_sim tegula_chaos)
tegula_program(tegula-eval SOURCES ${eval_sources})
