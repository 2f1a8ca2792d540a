// Measures the kit's model on this box, and writes what `mtl-edge bench --json` writes, for its reports to read.
//
//   mtl_edge_bench [--model FILE] [--threads N,N] [--batch N] [--rounds N] [--seconds S] [--cold-starts N] [--json FILE]
//
// Cold starts, and each number of threads, have a fresh process. A turn follows a warm-up that ends when runs become no
// faster, and has a least time and a least number of runs. What is timed is a run of the network, as in `mtl-edge bench`;
// here it is called from C++. Linux and other POSIX systems.
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "kit.hpp"

namespace {

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

// --- in a process of its own ----------------------------------------------------------------------------------------

using Clock = std::chrono::steady_clock;

double since(Clock::time_point started) {
  return std::chrono::duration<double, std::milli>(Clock::now() - started).count();
}

/// A line of /proc/self/status in bytes; 0 on systems without it.
double status_bytes(const std::string& key) {
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
  std::cout.flush();
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

kit::Batch::Shape shape_of(std::size_t samples) {
  auto shape = kit::Spec::kShape;
  for (auto& size : shape) size = size < 0 ? 1 : size;
  if (kit::Spec::kShape[0] < 0) shape[0] = static_cast<std::int64_t>(samples);
  return shape;
}

Result<kit::Model> load(const Settings& settings, int threads) {
  mtl_edge::Options options;
  options.threads = threads;
  return kit::Model::load(settings.model, options);
}

/// Inputs that are always the same: normal numbers, or integers of 0 and 1.
Result<kit::Batch> ready(const kit::Model& model, const Settings& settings) {
  auto batch = model.batch(shape_of(settings.batch));
  if (!batch) return batch.error();
  std::mt19937 generator;
  std::normal_distribution<float> normal;
  for (auto& value : batch->input()) {
    if constexpr (std::is_floating_point_v<kit::Spec::Value>)
      value = normal(generator);
    else
      value = static_cast<kit::Spec::Value>(generator() & 1u);
  }
  return batch;
}

Result<std::vector<double>> cold_start(const Settings& settings) {
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
Result<std::vector<double>> sample(kit::Batch& batch, double seconds, std::size_t least) {
  std::vector<double> samples_ms;
  const auto begun = Clock::now();
  do {
    const auto started = Clock::now();
    if (auto done = batch.infer(); !done) return done.error();
    samples_ms.push_back(since(started));
  } while (since(begun) < 1e3 * seconds || samples_ms.size() < least);
  return samples_ms;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// Run until it becomes no faster: a twentieth of the time has a median that is less than 2 % below that of the one before.
Result<double> warm_up(kit::Batch& batch, double seconds) {
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
Result<std::vector<double>> turns(const Settings& settings, int threads) {
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

// --- what is written ------------------------------------------------------------------------------------------------

std::string quoted(const std::string& text) {
  std::string json = "\"";
  for (const char letter : text) {
    const auto code = static_cast<unsigned char>(letter);
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(code));
    json += code < 0x20 || letter == '"' || letter == '\\' ? std::string(escape) : std::string(1, letter);
  }
  return json + "\"";
}

template <class Items, class Show>
std::string listed(const Items& items, Show show) {
  std::string json = "[";
  for (const auto& item : items) json += (json.size() > 1 ? "," : "") + show(item);
  return json + "]";
}

std::string number(double value) {
  std::ostringstream text;
  text.precision(5);
  text << std::fixed << value;
  return text.str();
}

std::string whole(double value) { return std::to_string(static_cast<long long>(value)); }

/// The manifest's JSON, which is the last thing in a model's file, behind its key and its length.
std::string manifest(const std::string& model) {
  std::ifstream stream(model, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(stream), {}};
  const std::string key = "mtl_edge.manifest\x12";
  std::size_t at = content.rfind(key) + key.size();
  while (static_cast<unsigned char>(content[at]) > 0x7F) ++at;
  return content.substr(at + 1);
}

/// A field of /proc/cpuinfo's first processor; empty elsewhere.
std::string cpu_field(const std::string& key) {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line) && !line.empty();)
    if (line.rfind(key, 0) == 0 && line.find(": ") != std::string::npos) return line.substr(line.find(": ") + 2);
  return "";
}

std::string machine(const std::string& runtime_version) {
  utsname system{};
  uname(&system);
  const std::string flags = " " + cpu_field("flags") + cpu_field("Features") + " ";
  std::vector<std::string> isa;
  for (const char* flag : {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm"})
    if (flags.find(" " + std::string(flag) + " ") != std::string::npos) isa.emplace_back(flag);
  const std::string cpu = cpu_field("model name");
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  return "{\"cpu\":" + quoted(cpu.empty() ? system.machine : cpu) +
         ",\"cores\":" + std::to_string(sysconf(_SC_NPROCESSORS_ONLN)) + ",\"isa\":" + listed(isa, quoted) +
         ",\"memory_bytes\":" + whole(memory) +
         ",\"system\":" + quoted(std::string(system.sysname) + " " + system.machine) +
         ",\"versions\":{\"mtl-edge\":" + quoted(kit::Spec::kWrittenBy) +
         ",\"onnxruntime\":" + quoted(runtime_version) + ",\"c++\":" + quoted(__VERSION__) + "}}";
}

std::string cold_start_json(const ColdStart& start) {
  return "{\"load_ms\":" + number(start.load_ms) + ",\"first_run_ms\":" + number(start.first_run_ms) +
         ",\"runtime_rss_bytes\":" + whole(start.runtime_rss_bytes) +
         ",\"peak_rss_bytes\":" + whole(start.peak_rss_bytes) + ",\"import_ms\":" + number(start.import_ms) + "}";
}

std::string latency_json(const Latency& latency, const Settings& settings) {
  const auto each = [&latency](auto show) { return listed(latency.turns, show); };
  return "{\"threads\":" + std::to_string(latency.threads) + ",\"rounds_ms\":" +
         each([](const Turn& turn) { return listed(turn.samples_ms, number); }) +
         ",\"base_ms\":" + each([](const Turn& turn) { return number(median(turn.samples_ms)); }) +
         ",\"batch\":" + std::to_string(shape_of(settings.batch)[0]) +
         ",\"runs\":" + each([](const Turn& turn) { return std::to_string(turn.samples_ms.size()); }) +
         ",\"warm_up_runs\":" + each([](const Turn& turn) { return whole(turn.warm_up_runs); }) +
         ",\"resident_bytes\":" + each([](const Turn& turn) { return whole(turn.resident_bytes); }) + "}";
}

std::string benchmark_json(const Settings& settings, const std::string& runtime_version,
                           const std::vector<ColdStart>& cold_starts, const std::vector<Latency>& latencies) {
  const std::string type = std::is_floating_point_v<kit::Spec::Value> ? " float32" : " int64";
  const auto shape = shape_of(settings.batch);
  const std::string sizes = listed(shape, [](std::int64_t size) { return std::to_string(size); });
  std::error_code ignored;
  const auto bytes = static_cast<double>(std::filesystem::file_size(settings.model, ignored));
  return "{\"machine\":" + machine(runtime_version) + ",\"base\":" + quoted(kit::Spec::kVariant) +
         ",\"batch\":" + std::to_string(shape[0]) + ",\"results\":[{\"name\":" + quoted(kit::Spec::kVariant) + ",\"paths\":[" + quoted(settings.model) +
         "],\"file_bytes\":" + whole(bytes) + ",\"manifests\":[" + manifest(settings.model) +
         "],\"inputs\":" + quoted(kit::Spec::kInput + type + sizes) +
         ",\"cold_starts\":" + listed(cold_starts, cold_start_json) + ",\"latencies\":" +
         listed(latencies, [&settings](const Latency& latency) { return latency_json(latency, settings); }) + "}]}\n";
}

// --- the command ----------------------------------------------------------------------------------------------------

Result<Settings> settings_of(int count, char** arguments) {
  Settings settings;
  for (int at = 1; at < count; at += 2) {
    const std::string option = arguments[at], value = at + 1 < count ? arguments[at + 1] : "";
    const double given = std::strtod(value.c_str(), nullptr);
    const Error wrong{option, "must have a value above zero", value};
    if (option == "--model" || option == "--json") {
      (option == "--json" ? settings.json : settings.model) = value;
    } else if (option == "--threads") {
      settings.threads.clear();
      std::istringstream numbers(value);
      for (std::string part; std::getline(numbers, part, ',');) settings.threads.push_back(std::atoi(part.c_str()));
      if (settings.threads.empty() || *std::min_element(settings.threads.begin(), settings.threads.end()) < 1) return wrong;
    } else if (!(given > 0)) {
      return wrong;
    } else if (option == "--batch") {
      settings.batch = static_cast<std::size_t>(given);
    } else if (option == "--rounds") {
      settings.rounds = std::max(1, static_cast<int>(given));
    } else if (option == "--seconds") {
      settings.seconds = given;
    } else if (option == "--cold-starts") {
      settings.cold_starts = std::max(1, static_cast<int>(given));
    } else {
      return Error{option, "must be --model, --threads, --batch, --rounds, --seconds, --cold-starts or --json", option};
    }
  }
  return settings;
}

Result<void> measure(const Settings& settings) {
  std::vector<ColdStart> cold_starts;
  for (int start = 0; start < settings.cold_starts; ++start) {
    const auto found = in_child([&settings] { return cold_start(settings); });
    if (!found) return found.error();
    cold_starts.push_back({(*found)[0], (*found)[1], (*found)[2], (*found)[3], (*found)[4]});
  }
  std::vector<Latency> latencies;
  for (const int threads : settings.threads) {
    const auto found = in_child([&settings, threads] { return turns(settings, threads); });
    if (!found) return found.error();
    Latency latency{threads, {}};
    std::vector<double> all;
    for (auto at = found->begin(); at != found->end();) {
      const auto first = at + 3, last = first + static_cast<std::ptrdiff_t>(at[2]);
      latency.turns.push_back({{first, last}, at[0], at[1]});
      all.insert(all.end(), first, last);
      at = last;
    }
    std::printf("%s: %d thread%s, batch %zu: p50 %.4f ms, %zu runs in %d rounds\n", kit::Spec::kVariant, threads,
                threads > 1 ? "s" : "", settings.batch, median(all), all.size(), settings.rounds);
    std::fflush(stdout);
    latencies.push_back(std::move(latency));
  }
  const auto runtime = mtl_edge::Runtime::load();
  if (!runtime) return runtime.error();
  if (!settings.json.empty()) {
    std::ofstream stream(settings.json, std::ios::binary);
    stream << benchmark_json(settings, runtime->version, cold_starts, latencies);
    if (!stream.flush()) return Error{settings.json, "must be a file that can be written", "none"};
    std::printf("samples  %s\n", settings.json.c_str());
  }
  return {};
}

}  // namespace

int main(int count, char** arguments) {
  const auto settings = settings_of(count, arguments);
  const auto done = settings ? measure(*settings) : Result<void>(settings.error());
  if (done) return 0;
  std::cerr << "error: " << done.error().message() << "\n";
  return settings ? 1 : 2;
}
