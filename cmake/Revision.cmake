# Run at every build: writes the header only when the commit changed, so that nothing else is rebuilt.
# cmake -DSOURCE=dir -DOUT=file -P Revision.cmake
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12
                OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(revision "")  # a release tarball: the version says enough
endif()
set(text "#pragma once\n#define ACCELMON_REVISION \"${revision}\"\n")
if(EXISTS ${OUT})
  file(READ ${OUT} before)
endif()
if(NOT "${before}" STREQUAL "${text}")
  file(WRITE ${OUT} "${text}")
endif()
