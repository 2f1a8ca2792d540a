// A model's file, verified and loaded; what is shared by all batches that are run with it.
#ifndef MTL_EDGE_SESSION_HPP
#define MTL_EDGE_SESSION_HPP

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "file.hpp"
#include "result.hpp"
#include "runtime.hpp"

namespace mtl_edge::detail {

struct Session {
  std::string place;
  Runtime runtime;
  Handle<OrtEnv> environment;
  Handle<OrtSession> session;
  Handle<OrtMemoryInfo> memory;

  const OrtApi& api() const noexcept { return *runtime.api; }
};

/// Load a model's file once it has the SHA-256. Several threads may run the session at the same time.
inline Result<std::shared_ptr<const Session>> open_session(const std::filesystem::path& path, std::string_view sha256,
                                                           const Options& options) {
  const std::string place = path.string();
  const auto content = read_file(path);
  if (!content) return content.error();
  if (auto verified = verify(path, *content, sha256); !verified) return verified.error();
  auto runtime = Runtime::load(options.runtime);
  if (!runtime) return runtime.error();
  const OrtApi& api = *runtime->api;

  OrtEnv* env = nullptr;
  auto made = checked(api, api.CreateEnv(ORT_LOGGING_LEVEL_FATAL, "mtl-edge", &env), place, "ONNX Runtime must start");
  Handle<OrtEnv> environment(env, api.ReleaseEnv);
  if (!made) return made.error();

  OrtSessionOptions* settings = nullptr;
  made = checked(api, api.CreateSessionOptions(&settings), place, "ONNX Runtime must start");
  const Handle<OrtSessionOptions> released(settings, api.ReleaseSessionOptions);
  if (!made) return made.error();
  if (made = configure(api, options, place, settings); !made) return made.error();

  OrtSession* loaded = nullptr;
  made = checked(api, api.CreateSessionFromArray(env, content->data(), content->size(), settings, &loaded), place,
                 ("ONNX Runtime " + runtime->version + " must be able to load it").c_str());
  Handle<OrtSession> session(loaded, api.ReleaseSession);
  if (!made) return made.error();

  OrtMemoryInfo* info = nullptr;
  made = checked(api, api.CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &info), place,
                 "ONNX Runtime must start");
  Handle<OrtMemoryInfo> memory(info, api.ReleaseMemoryInfo);
  if (!made) return made.error();

  return std::shared_ptr<const Session>(new Session{place, *std::move(runtime), std::move(environment),
                                                    std::move(session), std::move(memory)});
}

}  // namespace mtl_edge::detail

#endif  // MTL_EDGE_SESSION_HPP
