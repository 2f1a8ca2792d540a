// Golden vectors: inputs and what the model answered to them where it was exported.
#ifndef MTL_EDGE_GOLDENS_HPP
#define MTL_EDGE_GOLDENS_HPP

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "answers.hpp"
#include "batch.hpp"
#include "file.hpp"
#include "result.hpp"

namespace mtl_edge {

/// What the model answered; another answer may differ by `tolerance` at each place.
struct GoldenOutput {
  const char* file;
  double tolerance;
};

/// One run of the model: files of raw samples, of what preprocessing makes of them, of all outputs, and of texts. Where
/// a graph reads no numbers, or no texts, there is none.
template <std::size_t kRank, std::size_t kOutputs>
struct Golden {
  std::array<std::int64_t, kRank> shape;
  const char* raw;
  const char* input;
  std::array<GoldenOutput, kOutputs> outputs;
  const char* texts = nullptr;
};

namespace detail {

constexpr double kInputTolerance = 1e-5;

/// A file of little-endian values.
template <class Value>
Result<std::vector<Value>> read_values(const std::filesystem::path& path, std::size_t count) {
  const auto content = read_file(path);
  if (!content) return content.error();
  if (content->size() != count * sizeof(Value))
    return Error{path.string(), "must have " + std::to_string(count * sizeof(Value)) + " bytes",
                 std::to_string(content->size())};
  std::vector<Value> values(count);
  if (count > 0) std::memcpy(values.data(), content->data(), content->size());
  return values;
}

/// How far apart two values are; NaN is as far as can be from all but NaN.
inline double distance(double found, double expected) noexcept {
  if (std::isnan(found) || std::isnan(expected))
    return std::isnan(found) == std::isnan(expected) ? 0 : std::numeric_limits<double>::infinity();
  return found == expected ? 0 : std::abs(found - expected);
}

/// The values must be those of the file, but for a tolerance; the worst one is named.
template <class Value, class Shape>
Result<void> compare(const std::string& place, const Value* found, const Shape& shape,
                     const std::filesystem::path& file, double tolerance) {
  const std::size_t count = detail::count(shape);
  const auto expected = read_values<Value>(file, count);
  if (!expected) return expected.error();
  std::size_t worst = 0;
  double most = 0;
  for (std::size_t at = 0; at < count; ++at) {
    const double apart = distance(static_cast<double>(found[at]), static_cast<double>((*expected)[at]));
    if (apart > most) {
      most = apart;
      worst = at;
    }
  }
  if (most <= tolerance) return {};
  std::vector<std::int64_t> index(shape.size());
  std::size_t rest = worst;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    index[axis] = static_cast<std::int64_t>(rest % static_cast<std::size_t>(shape[axis]));
    rest /= static_cast<std::size_t>(shape[axis]);
  }
  return Error{place,
               "must be within " + printed("%g", tolerance) + " of " +
                   printed("%.9g", static_cast<double>((*expected)[worst])) + " at " + shown(index),
               printed("%.9g", static_cast<double>(found[worst]))};
}

/// A file of texts, a zero byte behind each.
template <class Batch>
Result<void> prepare_texts(Batch& batch, std::size_t count, const std::filesystem::path& path) {
  const auto content = read_file(path);
  if (!content) return content.error();
  std::vector<std::string_view> texts;
  std::string_view rest(content->data(), content->size());
  for (std::size_t end; (end = rest.find('\0')) != std::string_view::npos; rest.remove_prefix(end + 1))
    texts.push_back(rest.substr(0, end));
  if (texts.size() != count || !rest.empty())
    return Error{path.string(), "must have " + std::to_string(count) + " texts, a zero byte behind each",
                 std::to_string(texts.size())};
  return batch.prepare_texts(texts);
}

}  // namespace detail

/// The raw samples of a golden vector -> the network's input.
template <class Batch, class Golden>
Result<void> prepare(Batch& batch, const Golden& golden, const std::filesystem::path& folder) {
  if (golden.texts != nullptr)
    if (auto done = detail::prepare_texts(batch, batch.texts(), folder / golden.texts); !done) return done;
  if (golden.raw == nullptr) return {};
  const auto raw = detail::read_values<typename Batch::Raw>(folder / golden.raw, detail::count(golden.shape));
  if (!raw) return raw.error();
  return batch.prepare(View<typename Batch::Raw>(*raw));
}

namespace detail {

/// One golden vector; `share` multiplies its tolerances.
template <class Batch, class Golden>
Result<void> check(Batch& batch, const Golden& golden, const std::filesystem::path& folder, const std::string& place,
                   double share) {
  if (auto done = prepare(batch, golden, folder); !done) return done;
  if (golden.input != nullptr)
    if (auto done = compare(place + "input", batch.input().data(), golden.shape, folder / golden.input,
                            share * kInputTolerance);
        !done)
      return done;
  if (auto done = batch.infer(); !done) return done;
  for (std::size_t at = 0; at < golden.outputs.size(); ++at) {
    const auto& [file, tolerance] = golden.outputs[at];
    const auto& [data, shape] = batch.output(at);
    const std::string name = place + "output '" + batch.output_name(at) + "'";
    if (auto done = compare(name, data, shape, folder / file, share * tolerance); !done) return done;
  }
  return {};
}

}  // namespace detail
}  // namespace mtl_edge

#endif  // MTL_EDGE_GOLDENS_HPP
