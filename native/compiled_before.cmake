# The module that was compiled before from these very files: another extra, or a change of Python, compiles nothing.
#
# pip makes a new environment for each build, and scikit-build-core then empties its build folder. What is kept here lies
# outside it, in build/compiled of the source tree. It counts only for the same files, options and compiler; where no
# compiler is found, for the same files and options.
set(kept ${CMAKE_CURRENT_SOURCE_DIR}/../build/compiled/${SKBUILD_SOABI})

file(GLOB_RECURSE sources RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} *.txt *.cmake *.h *.cpp)
list(FILTER sources EXCLUDE REGEX "^tests/")
list(SORT sources)
set(made_from "${CMAKE_BUILD_TYPE} ${KERNELS_SANITIZE} $ENV{CMAKE_ARGS} $ENV{CXXFLAGS} $ENV{LDFLAGS}\n")
foreach(source ${sources})
  file(SHA256 ${CMAKE_CURRENT_SOURCE_DIR}/${source} hash)
  string(APPEND made_from "${source} ${hash}\n")
endforeach()

separate_arguments(compilers NATIVE_COMMAND "$ENV{CXX}")
if(compilers)
  list(GET compilers 0 compilers)
else()
  set(compilers c++ g++ clang++ cl)
endif()
find_program(compiler NAMES ${compilers})
if(compiler)
  get_filename_component(compiled_by ${compiler} REALPATH)
  file(TIMESTAMP ${compiled_by} changed)
  string(APPEND compiled_by " ${changed} $ENV{CXX}")
endif()

set(COMPILED_BEFORE "")
if(EXISTS ${kept}/made_from AND EXISTS ${kept}/compiled_by)
  file(READ ${kept}/made_from kept_made_from)
  file(READ ${kept}/compiled_by kept_compiled_by)
  if(kept_made_from STREQUAL made_from AND (NOT compiler OR kept_compiled_by STREQUAL compiled_by))
    file(GLOB COMPILED_BEFORE ${kept}/qwen3_reranker_kernels.*)
    message(STATUS "Kernels compiled before: ${COMPILED_BEFORE}")
  endif()
endif()

# keep_compiled(TARGET): keeps the module for the next build. What it was made from is written last.
function(keep_compiled target)
  set(new ${CMAKE_CURRENT_BINARY_DIR}/kept)
  file(WRITE ${new}/made_from "${made_from}")
  file(WRITE ${new}/compiled_by "${compiled_by}")
  add_custom_command(TARGET ${target} POST_BUILD
    COMMAND ${CMAKE_COMMAND} -E remove_directory ${kept}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${kept}
    COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:${target}> ${new}/compiled_by ${kept}
    COMMAND ${CMAKE_COMMAND} -E copy ${new}/made_from ${kept})
endfunction()
