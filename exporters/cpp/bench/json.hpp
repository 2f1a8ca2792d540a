// What was measured, as the JSON that `mtl-edge bench --json` writes.
#ifndef MTL_EDGE_BENCH_JSON_HPP
#define MTL_EDGE_BENCH_JSON_HPP

#include <sys/utsname.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include "../kit.hpp"
#include "measure.hpp"

namespace bench {

inline std::string quoted(const std::string& text) {
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

inline std::string number(double value) {
  std::ostringstream text;
  text.precision(5);
  text << std::fixed << value;
  return text.str();
}

inline std::string whole(double value) { return std::to_string(static_cast<long long>(value)); }

/// The manifest's JSON, which is the last thing in a model's file, behind its key and its length.
inline std::string manifest(const std::string& model) {
  std::ifstream stream(model, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(stream), {}};
  const std::string key = "mtl_edge.manifest\x12";
  std::size_t at = content.rfind(key) + key.size();
  while (static_cast<unsigned char>(content[at]) > 0x7F) ++at;
  return content.substr(at + 1);
}

/// A field of /proc/cpuinfo's first processor; empty elsewhere.
inline std::string cpu_field(const std::string& key) {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line) && !line.empty();)
    if (line.rfind(key, 0) == 0 && line.find(": ") != std::string::npos) return line.substr(line.find(": ") + 2);
  return "";
}

inline std::string machine(const std::string& runtime_version) {
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

inline std::string cold_start_json(const ColdStart& start) {
  return "{\"load_ms\":" + number(start.load_ms) + ",\"first_run_ms\":" + number(start.first_run_ms) +
         ",\"runtime_rss_bytes\":" + whole(start.runtime_rss_bytes) +
         ",\"peak_rss_bytes\":" + whole(start.peak_rss_bytes) + ",\"import_ms\":" + number(start.import_ms) + "}";
}

inline std::string latency_json(const Latency& latency, const Settings& settings) {
  const auto each = [&latency](auto show) { return listed(latency.turns, show); };
  std::int64_t samples = 0;
  for_each_shape(kit::Spec::Inputs(), kit::Batch::Places(), settings.batch,
                 [&samples](auto, const auto& shape) { samples = shape[0]; });
  return "{\"threads\":" + std::to_string(latency.threads) + ",\"rounds_ms\":" +
         each([](const Turn& turn) { return listed(turn.samples_ms, number); }) +
         ",\"base_ms\":" + each([](const Turn& turn) { return number(median(turn.samples_ms)); }) +
         ",\"batch\":" + std::to_string(samples) +
         ",\"runs\":" + each([](const Turn& turn) { return std::to_string(turn.samples_ms.size()); }) +
         ",\"warm_up_runs\":" + each([](const Turn& turn) { return whole(turn.warm_up_runs); }) +
         ",\"resident_bytes\":" + each([](const Turn& turn) { return whole(turn.resident_bytes); }) + "}";
}

inline std::string benchmark_json(const Settings& settings, const std::string& runtime_version,
                           const std::vector<ColdStart>& cold_starts, const std::vector<Latency>& latencies) {
  std::string inputs;
  for_each_shape(kit::Spec::Inputs(), kit::Batch::Places(), settings.batch, [&inputs](auto input, const auto& shape) {
    inputs += (inputs.empty() ? "" : ", ") + std::string(input.kInput) + " " + input.kInputType +
              listed(shape, [](std::int64_t size) { return std::to_string(size); });
  });
  std::error_code ignored;
  const auto bytes = static_cast<double>(std::filesystem::file_size(settings.model, ignored));
  return "{\"machine\":" + machine(runtime_version) + ",\"base\":" + quoted(kit::Spec::kVariant) +
         ",\"results\":[{\"name\":" + quoted(kit::Spec::kVariant) + ",\"paths\":[" + quoted(settings.model) +
         "],\"file_bytes\":" + whole(bytes) + ",\"manifests\":[" + manifest(settings.model) +
         "],\"inputs\":" + bench::quoted(inputs) +
         ",\"cold_starts\":" + listed(cold_starts, cold_start_json) + ",\"latencies\":" +
         listed(latencies, [&settings](const Latency& latency) { return latency_json(latency, settings); }) + "}]}\n";
}

}  // namespace bench

#endif  // MTL_EDGE_BENCH_JSON_HPP
