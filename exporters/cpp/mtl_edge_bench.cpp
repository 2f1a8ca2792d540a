// Measures the kit's model on this box, and writes what `mtl-edge bench --json` writes, for its reports to read.
//
//   mtl_edge_bench [--model FILE] [--threads N,N] [--batch N] [--rounds N] [--seconds S] [--cold-starts N] [--json FILE]
//
// Cold starts, and each number of threads, have a fresh process. A turn follows a warm-up that ends when runs become no
// faster, and has a least time and a least number of runs. What is timed is a run of the network, as in `mtl-edge bench`;
// here it is called from C++. Linux and other POSIX systems.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "bench/json.hpp"
#include "bench/measure.hpp"
#include "kit.hpp"

namespace {

using namespace bench;

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
