# Finds onnxruntime_c_api.h: in a release of ONNX Runtime that OnnxRuntimeHeaders_ROOT (or CMAKE_PREFIX_PATH) names, or
# in the system, as Debian's libonnxruntime-dev installs it. Defines OnnxRuntime::headers. The library itself is loaded
# when the program runs.
find_path(OnnxRuntimeHeaders_INCLUDE_DIR onnxruntime_c_api.h
          PATH_SUFFIXES include onnxruntime include/onnxruntime include/onnxruntime/core/session)
if(OnnxRuntimeHeaders_INCLUDE_DIR)
  file(STRINGS "${OnnxRuntimeHeaders_INCLUDE_DIR}/onnxruntime_c_api.h" _version REGEX "^#define ORT_API_VERSION [0-9]+")
  string(REGEX REPLACE "[^0-9]*([0-9]+).*" "1.\\1" OnnxRuntimeHeaders_VERSION "${_version}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OnnxRuntimeHeaders
  REQUIRED_VARS OnnxRuntimeHeaders_INCLUDE_DIR VERSION_VAR OnnxRuntimeHeaders_VERSION
  REASON_FAILURE_MESSAGE "install libonnxruntime-dev, or give -DOnnxRuntimeHeaders_ROOT=<a release of ONNX Runtime>")
mark_as_advanced(OnnxRuntimeHeaders_INCLUDE_DIR)

if(OnnxRuntimeHeaders_FOUND AND NOT TARGET OnnxRuntime::headers)
  add_library(OnnxRuntime::headers INTERFACE IMPORTED)
  set_target_properties(OnnxRuntime::headers PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${OnnxRuntimeHeaders_INCLUDE_DIR}")
endif()
