# A room is a folder of src/ with a layer. Its library is made of the .cc files in the folder itself; *_test.cc beside
# them are its unit tests. A room that uses one of a higher layer, or a stranger of its own layer, stops the configuration.

add_library(accelmon_flags INTERFACE)
target_compile_features(accelmon_flags INTERFACE cxx_std_20)
target_compile_options(accelmon_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align -Wimplicit-fallthrough
  -Wno-missing-field-initializers  # a designated initializer means the defaults for the rest
  -fno-strict-aliasing -fstack-protector-strong)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 warns of overlaps in std::string that cannot be (its bug 105329).
  target_compile_options(accelmon_flags INTERFACE -Wno-restrict)
endif()
if(ACCELMON_WERROR)
  target_compile_options(accelmon_flags INTERFACE -Werror)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  # Sections that nothing calls are dropped at link time: the program stays small in memory.
  target_compile_options(accelmon_flags INTERFACE -ffunction-sections -fdata-sections)
  target_compile_definitions(accelmon_flags INTERFACE _FORTIFY_SOURCE=2)
else()
  target_compile_definitions(accelmon_flags INTERFACE _GLIBCXX_ASSERTIONS)
endif()
if(ACCELMON_SANITIZE)
  # The thread sanitizer's runtime lies in a program of its own: what is preloaded into any program goes without.
  set(sanitize -fsanitize=${ACCELMON_SANITIZE})
  if(ACCELMON_SANITIZE MATCHES "thread")
    set(sanitize $<$<NOT:$<BOOL:$<TARGET_PROPERTY:ACCELMON_PRELOADED>>>:${sanitize}>)
  endif()
  target_compile_options(accelmon_flags INTERFACE ${sanitize} -fno-omit-frame-pointer)
  target_link_options(accelmon_flags INTERFACE ${sanitize})
  if(ACCELMON_SANITIZE MATCHES "undefined")
    target_compile_options(accelmon_flags INTERFACE -fno-sanitize-recover=undefined)
  endif()
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # The vendors' functions are called by declarations of our own: an enum there may be an unsigned here.
    target_compile_options(accelmon_flags INTERFACE -fno-sanitize=function)
    if(ACCELMON_SANITIZE MATCHES "address")
      # As a library of its own, as GCC's is: the simulated kernel is preloaded into programs that have none.
      execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libclang_rt.asan-x86_64.so
                      OUTPUT_VARIABLE asan_runtime OUTPUT_STRIP_TRAILING_WHITESPACE)
      get_filename_component(asan_folder ${asan_runtime} DIRECTORY)
      target_link_options(accelmon_flags INTERFACE -shared-libasan -Wl,-rpath,${asan_folder})
    endif()
  endif()
endif()
if(ACCELMON_FUZZ)
  target_compile_options(accelmon_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# A third of the time of GNU's linker, and it can be told which functions to lay side by side.
find_program(LLD ld.lld)
if(LLD)
  target_link_options(accelmon_flags INTERFACE -fuse-ld=lld)
endif()

function(accelmon_link_options target)
  target_link_options(${target} PRIVATE -Wl,--gc-sections -Wl,--as-needed -Wl,-z,relro -Wl,-z,now)
  if(ACCELMON_STATIC_RUNTIME)
    target_link_options(${target} PRIVATE -static-libstdc++ -static-libgcc)
  endif()
endfunction()

# accelmon_room(FOLDER LAYER [USES room...] [LIBS library...])
function(accelmon_room folder layer)
  cmake_parse_arguments(ARG "" "" "USES;LIBS" ${ARGN})
  string(REPLACE "/" "_" name ${folder})
  set(target accelmon_${name})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${folder}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")

  if(sources)
    add_library(${target} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${target} ${scope} ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
  target_link_libraries(${target} ${scope} accelmon_flags Threads::Threads ${CMAKE_DL_LIBS} ${ARG_LIBS})
  set_property(GLOBAL PROPERTY accelmon_layer_${name} ${layer})

  foreach(other IN LISTS ARG_USES)
    string(REPLACE "/" "_" other_name ${other})
    get_property(other_layer GLOBAL PROPERTY accelmon_layer_${other_name})
    if(other_layer STREQUAL "")
      message(FATAL_ERROR "room ${folder} uses ${other}, which is not declared before it")
    endif()
    # The one room that a room of the same layer may use is the folder it lies in (collectors/nvml uses collectors).
    string(FIND "${folder}/" "${other}/" inside)
    if(NOT other_layer LESS layer AND NOT inside EQUAL 0)
      message(FATAL_ERROR "room ${folder} (layer ${layer}) must not use ${other} (layer ${other_layer})")
    endif()
    target_link_libraries(${target} ${scope} accelmon_${other_name})
  endforeach()

  if(ACCELMON_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE ${target} GTest::gtest GTest::gtest_main GTest::gmock ZLIB::ZLIB)
    target_compile_definitions(${name}_test PRIVATE
      ACCELMON_SOURCE_DIR="${CMAKE_SOURCE_DIR}" ACCELMON_BUILD_DIR="${CMAKE_BINARY_DIR}")
    if(TARGET rapidcheck)  # property tests stand in #ifdef ACCELMON_HAVE_RAPIDCHECK
      target_link_libraries(${name}_test PRIVATE rapidcheck)
      target_compile_definitions(${name}_test PRIVATE ACCELMON_HAVE_RAPIDCHECK)
    endif()
    gtest_discover_tests(${name}_test DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 120)
  endif()
endfunction()
