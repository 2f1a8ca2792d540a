// The measuring processes of mtl_edge_bench.
#ifndef MTL_EDGE_BENCH_MEASURE_HPP
#define MTL_EDGE_BENCH_MEASURE_HPP

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "../kit.hpp"

namespace bench {

using mtl_edge::Error;
using mtl_edge::Result;

struct Settings {
  std::string model = "model.onnx";
  std::vector<int> threads{1, 2};
  std::size_t batch = 1;
  int rounds = 10;
  double seconds = 0.2;
  int cold_starts = 5;
  std::string json;
};

constexpr std::size_t kRoundRuns = 5;
constexpr int kWarmRuns = 10;

struct Turn {
  std::vector<double> samples_ms;
  double warm_up_runs;
  double resident_bytes;
};

struct Latency {
  int threads;
  std::vector<Turn> turns;
};

struct ColdStart {
  double import_ms, load_ms, first_run_ms, runtime_rss_bytes, peak_rss_bytes;
};

using Clock = std::chrono::steady_clock;

inline double since(Clock::time_point started) {
  return std::chrono::duration<double, std::milli>(Clock::now() - started).count();
}

/// A line of /proc/self/status in bytes; 0 on systems without it.
inline double status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(key + ":", 0) == 0) return 1024 * std::strtod(line.c_str() + key.size() + 1, nullptr);
  return 0;
}

/// Do something in a child, so that its memory is its own and a crash is no end of everything; gives its numbers.
template <class Work>
Result<std::vector<double>> in_child(Work work) {
  int ends[2];
  if (pipe(ends) != 0) return Error{"pipe", "must open", "none"};
  std::fflush(stdout);
  const pid_t child = fork();
  if (child < 0) return Error{"fork", "must give a process", "none"};
  if (child == 0) {
    close(ends[0]);
    const Result<std::vector<double>> done = work();
    std::FILE* const out = fdopen(ends[1], "w");
    if (done)
      std::fwrite(done->data(), sizeof(double), done->size(), out);
    else
      std::fputs(done.error().message().c_str(), out);
    std::fflush(out);
    _exit(done ? 0 : 1);  // no destructors: the parent's are its own affair
  }
  close(ends[1]);
  std::string found;
  std::FILE* const in = fdopen(ends[0], "r");
  for (int byte = std::fgetc(in); byte != EOF; byte = std::fgetc(in)) found += static_cast<char>(byte);
  std::fclose(in);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0)
    return Error{"mtl_edge_bench", "a measuring process failed", found.empty() ? "status " + std::to_string(status) : found};
  std::vector<double> numbers(found.size() / sizeof(double));
  std::memcpy(numbers.data(), found.data(), numbers.size() * sizeof(double));
  return numbers;
}

/// Calls `f(input, shape)` for each thing that the model reads, with the shape of so many samples.
template <class... In, std::size_t... kAt, class F>
void for_each_shape(const std::tuple<In...>&, std::index_sequence<kAt...>, std::size_t samples, F f) {
  const auto& golden = kit::Spec::kGoldens[0];
  (f(In(), mtl_edge::detail::shape_of<In>(golden.inputs[kAt], static_cast<std::int64_t>(samples))), ...);
}

/// Calls `f(values)` for each input of a batch.
template <std::size_t... kAt, class F>
void for_each_input(kit::Batch& batch, std::index_sequence<kAt...>, F f) {
  (f(batch.input<kAt>()), ...);
}

/// Memory for so many samples; sizes that the model leaves open are those of its golden vectors.
inline Result<kit::Batch> batch_of(const kit::Model& model, std::size_t samples) {
  return model.batch(kit::Spec::kGoldens[0], samples);
}

inline Result<kit::Model> load(const Settings& settings, int threads) {
  mtl_edge::Options options;
  options.threads = threads;
  return kit::Model::load(settings.model, options);
}

/// Inputs that are always the same: normal numbers, or integers of 0 and 1.
inline Result<kit::Batch> ready(const kit::Model& model, const Settings& settings) {
  auto batch = batch_of(model, settings.batch);
  if (!batch) return batch.error();
  std::mt19937 generator;
  std::normal_distribution<> normal;
  for_each_input(*batch, kit::Batch::Places(), [&](auto& values) {
    for (auto& value : values) {
      using Value = std::decay_t<decltype(value)>;
      if constexpr (std::is_floating_point_v<Value>)
        value = static_cast<Value>(normal(generator));
      else
        value = static_cast<Value>(generator() & 1u);
    }
  });
  return batch;
}

inline Result<std::vector<double>> cold_start(const Settings& settings) {
  auto started = Clock::now();
  const auto runtime = mtl_edge::Runtime::load();
  if (!runtime) return runtime.error();
  const double import_ms = since(started), runtime_rss = status_bytes("VmHWM");
  started = Clock::now();
  const auto model = load(settings, 1);
  if (!model) return model.error();
  const double load_ms = since(started);
  auto batch = ready(*model, settings);
  if (!batch) return batch.error();
  started = Clock::now();
  if (auto done = batch->infer(); !done) return done.error();
  const double first_run_ms = since(started);
  for (int run = 0; run < kWarmRuns; ++run)
    if (auto done = batch->infer(); !done) return done.error();
  return std::vector<double>{import_ms, load_ms, first_run_ms, runtime_rss, status_bytes("VmHWM")};
}

/// Latencies of one run after the other, for at least so many seconds and runs.
inline Result<std::vector<double>> sample(kit::Batch& batch, double seconds, std::size_t least) {
  std::vector<double> samples_ms;
  const auto begun = Clock::now();
  do {
    const auto started = Clock::now();
    if (auto done = batch.infer(); !done) return done.error();
    samples_ms.push_back(since(started));
  } while (since(begun) < 1e3 * seconds || samples_ms.size() < least);
  return samples_ms;
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// Run until it becomes no faster: a twentieth of the time has a median that is less than 2 % below that of the one before.
inline Result<double> warm_up(kit::Batch& batch, double seconds) {
  double runs = 0, before = 0;
  for (int part = 0; part < 20; ++part) {
    const auto samples = sample(batch, seconds / 20, 1);
    if (!samples) return samples.error();
    runs += static_cast<double>(samples->size());
    const double now = median(*samples);
    if (part > 0 && now >= 0.98 * before) break;
    before = now;
  }
  return runs;
}

/// All turns with one number of threads: of each the runs to warm up, resident bytes, the number of samples, samples.
inline Result<std::vector<double>> turns(const Settings& settings, int threads) {
  const auto model = load(settings, threads);
  if (!model) return model.error();
  auto batch = ready(*model, settings);
  if (!batch) return batch.error();
  std::vector<double> numbers;
  for (int round = 0; round < settings.rounds; ++round) {
    const auto warm = warm_up(*batch, settings.seconds);
    if (!warm) return warm.error();
    const auto samples = sample(*batch, settings.seconds, kRoundRuns);
    if (!samples) return samples.error();
    numbers.insert(numbers.end(), {*warm, status_bytes("VmRSS"), static_cast<double>(samples->size())});
    numbers.insert(numbers.end(), samples->begin(), samples->end());
  }
  return numbers;
}

}  // namespace bench

#endif  // MTL_EDGE_BENCH_MEASURE_HPP
