# A Level Zero driver of our own, which the real loader (libze_loader.so.1) loads with ZE_ENABLE_ALT_DRIVERS. Written with
# the headers of Debian's libze-dev: the collector has declarations of its own, so that a mistake in one is not in both.

find_path(LEVEL_ZERO_INCLUDE level_zero/zes_ddi.h)
if(LEVEL_ZERO_INCLUDE)
  # The second is for tests of several drivers: the loader tells drivers apart by their files.
  foreach(number 0 1)
    set(target accelmon_ze_simulator)
    set(name accelmon_ze)
    if(number EQUAL 1)
      set(target accelmon_ze_second_simulator)
      set(name accelmon_ze_second)
    endif()
    set(folder ${CMAKE_CURRENT_SOURCE_DIR}/level_zero)
    add_library(${target} SHARED ${folder}/driver.cc ${folder}/tables.cc ${folder}/api_device.cc ${folder}/api_load.cc
                                 ${folder}/api_power.cc ${folder}/api_health.cc)
    target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} SYSTEM ${LEVEL_ZERO_INCLUDE})
    target_compile_definitions(${target} PRIVATE ACCELMON_ZE_DRIVER=${number})
    target_link_libraries(${target} PRIVATE accelmon_simulator_model Threads::Threads)
    accelmon_link_options(${target})
    target_link_options(${target} PRIVATE -Wl,--exclude-libs,ALL $<$<CONFIG:Release>:-s>)
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-Os>)
    set_target_properties(${target} PROPERTIES
      OUTPUT_NAME ${name}
      CXX_VISIBILITY_PRESET hidden
      VISIBILITY_INLINES_HIDDEN ON
      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/accelmon/simulator)
    add_dependencies(${target} accelmon_scenarios)
  endforeach()
  # A loader with zesInit, which Debian's has not: for tests.
  add_library(accelmon_ze_loader_standin SHARED ${CMAKE_CURRENT_SOURCE_DIR}/level_zero/loader_standin.cc)
  target_include_directories(accelmon_ze_loader_standin SYSTEM PRIVATE ${LEVEL_ZERO_INCLUDE})
  target_link_libraries(accelmon_ze_loader_standin PRIVATE accelmon_flags ${CMAKE_DL_LIBS})
  set_target_properties(accelmon_ze_loader_standin PROPERTIES
    OUTPUT_NAME accelmon_ze_loader
    CXX_VISIBILITY_PRESET hidden
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/accelmon/simulator)
  if(TARGET collectors_level_zero_test)
    add_dependencies(collectors_level_zero_test
      accelmon_ze_simulator accelmon_ze_second_simulator accelmon_ze_loader_standin)
    target_include_directories(collectors_level_zero_test SYSTEM PRIVATE ${LEVEL_ZERO_INCLUDE})
    target_compile_definitions(collectors_level_zero_test PRIVATE ACCELMON_HAVE_LEVEL_ZERO)
  endif()
  install(TARGETS accelmon_ze_simulator LIBRARY DESTINATION lib/accelmon/simulator)
else()
  message(STATUS "No Level Zero headers (libze-dev): Intel GPUs are simulated without Level Zero")
endif()
