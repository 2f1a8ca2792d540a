// ONNX Runtime, loaded when the program runs: one binary works with every version from 1.17 on, and says what is wrong
// where there is none. Only the header of its C interface is needed to build, of any version from 1.17 on.
#ifndef MTL_EDGE_RUNTIME_HPP
#define MTL_EDGE_RUNTIME_HPP

#include <onnxruntime_c_api.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "result.hpp"

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace mtl_edge {

/// How a model is run.
struct Options {
  /// Threads of one run; 0 takes one per core.
  int threads = 1;

  /// Whether threads wait for work by turning a loop: faster on a box that does nothing else, slower on a busy one.
  bool spin = true;

  /// Whether the runtime keeps memory for the next run.
  bool arena = true;

  /// The runtime's library, such as `/opt/app/libonnxruntime.so.1.32.0`; empty: that which the environment variable
  /// MTL_EDGE_ONNXRUNTIME names, or else the system's.
  std::string runtime;

  /// Further settings of a session, by the names in onnxruntime_session_options_config_keys.h.
  std::vector<std::pair<std::string, std::string>> config;
};

/// The loaded library. It stays loaded until the program ends.
struct Runtime {
  const OrtApi* api;
  std::string version;

  static Result<Runtime> load(std::string file = {});
};

namespace detail {

/// The functions of this version are in every later one; a library that lacks them is too old.
constexpr std::uint32_t kApi = 17;
static_assert(ORT_API_VERSION >= kApi, "onnxruntime_c_api.h must be of ONNX Runtime 1.17 or later");

/// Something of the runtime's that is released with its owner.
template <class T>
using Handle = std::unique_ptr<T, void(ORT_API_CALL*)(T*)>;

/// What a call of the runtime gave; the error is where it was made, and in the runtime's own words.
inline Result<void> checked(const OrtApi& api, OrtStatus* status, const std::string& place, const char* rule) {
  if (status == nullptr) return {};
  Error error{place, rule, api.GetErrorMessage(status)};
  api.ReleaseStatus(status);
  return error;
}

#ifdef _WIN32
constexpr const char* kLibrary = "onnxruntime.dll";
#elif defined(__APPLE__)
constexpr const char* kLibrary = "libonnxruntime.dylib";
#else
constexpr const char* kLibrary = "libonnxruntime.so.1";
#endif

using GetApiBase = const OrtApiBase*(ORT_API_CALL*)();

/// The library's entry, or null and why.
inline GetApiBase entry_of(const std::string& file, std::string& reason) {
#ifdef _WIN32
  const HMODULE library = LoadLibraryA(file.c_str());
  if (library == nullptr) reason = "error " + std::to_string(GetLastError());
  return library ? reinterpret_cast<GetApiBase>(reinterpret_cast<void*>(GetProcAddress(library, "OrtGetApiBase")))
                 : nullptr;
#else
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* const entry = library ? dlsym(library, "OrtGetApiBase") : nullptr;
  if (entry == nullptr) reason = dlerror();
  return reinterpret_cast<GetApiBase>(entry);
#endif
}

/// A session's settings.
inline Result<void> configure(const OrtApi& api, const Options& options, const std::string& place,
                              OrtSessionOptions* session) {
  const auto check = [&](OrtStatus* status) { return checked(api, status, place, "the options must be valid"); };
  if (auto done = check(api.SetIntraOpNumThreads(session, options.threads)); !done) return done;
  if (auto done = check(api.SetInterOpNumThreads(session, 1)); !done) return done;
  if (auto done = check(api.SetSessionLogSeverityLevel(session, ORT_LOGGING_LEVEL_FATAL)); !done) return done;
  if (!options.arena)
    if (auto done = check(api.DisableCpuMemArena(session)); !done) return done;
  auto config = options.config;
  config.emplace_back("session.intra_op.allow_spinning", options.spin ? "1" : "0");
  for (const auto& [name, value] : config)
    if (auto done = check(api.AddSessionConfigEntry(session, name.c_str(), value.c_str())); !done) return done;
  return {};
}

}  // namespace detail

inline Result<Runtime> Runtime::load(std::string file) {
  const char* const named = std::getenv("MTL_EDGE_ONNXRUNTIME");
  if (file.empty()) file = named && *named ? named : detail::kLibrary;
  std::string reason;
  const auto entry = detail::entry_of(file, reason);
  if (entry == nullptr)
    return Error{file, "must be ONNX Runtime; install it, or name it by MTL_EDGE_ONNXRUNTIME", reason};
  const OrtApiBase* const base = entry();
  const OrtApi* const api = base->GetApi(detail::kApi);
  if (api == nullptr) return Error{file, "ONNX Runtime must be 1.17 or later", base->GetVersionString()};
  return Runtime{api, base->GetVersionString()};
}

}  // namespace mtl_edge

#endif  // MTL_EDGE_RUNTIME_HPP
