# accelmon_judge_protos(TARGET FOLDER): Google's protobuf library reading FOLDER/*.proto, for tests and benchmarks. What
# protoc generates is nobody's code: it is compiled without our warnings and included as a system header.
find_package(Protobuf REQUIRED)

function(accelmon_judge_protos target folder)
  file(GLOB protos CONFIGURE_DEPENDS ${folder}/*.proto)
  set(generated ${CMAKE_BINARY_DIR}/generated/judge)
  set(sources)
  foreach(proto IN LISTS protos)
    get_filename_component(name ${proto} NAME_WE)
    add_custom_command(
      OUTPUT ${generated}/judge/${name}.pb.cc ${generated}/judge/${name}.pb.h
      COMMAND ${CMAKE_COMMAND} -E make_directory ${generated}/judge
      COMMAND protobuf::protoc --proto_path=${folder} --cpp_out=${generated}/judge ${name}.proto
      DEPENDS ${proto})
    list(APPEND sources ${generated}/judge/${name}.pb.cc)
  endforeach()
  add_custom_target(${target}_sources DEPENDS ${sources})
  add_library(${target} STATIC ${sources})
  target_compile_options(${target} PRIVATE -w)
  target_include_directories(${target} SYSTEM INTERFACE ${generated})
  target_include_directories(${target} PRIVATE ${generated}/judge)
  target_link_libraries(${target} PUBLIC protobuf::libprotobuf)
endfunction()
