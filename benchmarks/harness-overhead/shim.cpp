// The model of a kit behind two C functions, so that Python's loop calls the very library that the C++ client calls.
#include <cstddef>
#include <optional>
#include <utility>

#include "bench/measure.hpp"

namespace {

std::optional<kit::Model> model;
std::optional<kit::Batch> batch;

}  // namespace

extern "C" int prepare(const char* file, std::size_t samples) {
  bench::Settings settings;
  settings.model = file;
  settings.batch = samples;
  auto loaded = bench::load(settings, 1);
  if (!loaded) return 1;
  model.emplace(*std::move(loaded));
  auto ready = bench::ready(*model, settings);
  if (!ready) return 1;
  batch.emplace(*std::move(ready));
  return 0;
}

extern "C" int infer() { return batch->infer() ? 0 : 1; }
