# Compiler launcher, warnings and sanitizers. Everything our own targets need is on tegula_options.

find_program(TEGULA_CCACHE ccache)
mark_as_advanced(TEGULA_CCACHE)
if(TEGULA_CCACHE AND PROJECT_IS_TOP_LEVEL AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths are cached relative to the source tree, so that build directories and checkouts share results.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      ${TEGULA_CCACHE})
endif()

add_library(tegula_options INTERFACE)
target_compile_features(tegula_options INTERFACE cxx_std_20)
target_compile_options(tegula_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
                                                -Wimplicit-fallthrough $<$<BOOL:${TEGULA_WERROR}>:-Werror>)
# No contraction into fused multiply-adds: the same bits from every compiler, for every instruction set.
target_compile_options(tegula_options INTERFACE -ffp-contract=off)
# g++ 12 sees uninitialised members in every std::variant that is moved while optimizing; clang and the sanitizers check.
target_compile_options(tegula_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  # Nor do the ranges overlap that it sees in std::string's own code (GCC bug 105329).
  target_compile_options(tegula_options INTERFACE -Wno-restrict)
endif()
target_link_options(tegula_options INTERFACE -Wl,--as-needed)

if(TEGULA_SANITIZE)
  # g++ 12 takes instrumented code for overflows and overlaps: there its warnings are only that.
  target_compile_options(tegula_options INTERFACE -Wno-error)
  add_compile_options(-fsanitize=${TEGULA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TEGULA_SANITIZE})
endif()
if(TEGULA_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "TEGULA_FUZZ needs clang (-DCMAKE_CXX_COMPILER=clang++-16), not ${CMAKE_CXX_COMPILER}")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
