// Golden vectors: inputs and what the model answered to them where it was exported.
#ifndef MTL_EDGE_GOLDENS_HPP
#define MTL_EDGE_GOLDENS_HPP

#include <algorithm>
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
#include <utility>
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

/// Files of what one input was given: of raw samples, of what preprocessing makes of them, and of texts. Where a graph
/// reads no numbers, or no texts, there is none. The shape has as many axes as that of any input; the last ones may be 0.
template <std::size_t kRank>
struct GoldenInput {
  std::array<std::int64_t, kRank> shape;
  const char* raw;
  const char* input;
  const char* texts = nullptr;
};

/// One run of the model.
template <std::size_t kRank, std::size_t kReads, std::size_t kOutputs>
struct Golden {
  std::array<GoldenInput<kRank>, kReads> inputs;
  std::array<GoldenOutput, kOutputs> outputs;
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

/// The shape of a golden vector's input; with another number of samples, where it is given and open.
template <class In, class Given>
typename Input<In>::Shape shape_of(const Given& golden, std::int64_t samples) noexcept {
  typename Input<In>::Shape shape{};
  std::copy_n(golden.shape.begin(), shape.size(), shape.begin());
  if (samples > 0 && In::kShape[0] < 0) shape[0] = samples;
  return shape;
}

/// A file of texts, a zero byte behind each.
template <std::size_t kAt, class Batch>
Result<void> prepare_texts(Batch& batch, const std::filesystem::path& path) {
  const auto content = read_file(path);
  if (!content) return content.error();
  std::vector<std::string_view> texts;
  std::string_view rest(content->data(), content->size());
  for (std::size_t end; (end = rest.find('\0')) != std::string_view::npos; rest.remove_prefix(end + 1))
    texts.push_back(rest.substr(0, end));
  const std::size_t count = batch.template texts<kAt>();
  if (texts.size() != count || !rest.empty())
    return Error{path.string(), "must have " + std::to_string(count) + " texts, a zero byte behind each",
                 std::to_string(texts.size())};
  return batch.template prepare_texts<kAt>(texts);
}

/// Raw samples of a golden vector's input.
template <std::size_t kAt, class Batch, class Given>
Result<void> prepare(Batch& batch, const Given& golden, const std::filesystem::path& folder) {
  if (golden.texts != nullptr)
    if (auto done = prepare_texts<kAt>(batch, folder / golden.texts); !done) return done;
  if (golden.raw == nullptr) return {};
  using Raw = typename Batch::template Raw<kAt>;
  const auto raw = read_values<Raw>(folder / golden.raw, count(batch.template shape<kAt>()));
  if (!raw) return raw.error();
  return batch.template prepare<kAt>(View<Raw>(*raw));
}

template <std::size_t kAt, class Batch, class Given>
Result<void> check_input(Batch& batch, const Given& golden, const std::filesystem::path& folder,
                         const std::string& place, double share) {
  if (golden.input == nullptr) return {};
  const std::string name = place + "input '" + Batch::template input_name<kAt>() + "'";
  return compare(name, batch.template input<kAt>().data(), batch.template shape<kAt>(), folder / golden.input,
                 share * kInputTolerance);
}

/// A step for each input, as long as nothing goes wrong.
template <class Step, std::size_t... kAt>
Result<void> for_each_input(std::index_sequence<kAt...>, Step step) {
  Result<void> done;
  static_cast<void>((static_cast<bool>(done = step(std::integral_constant<std::size_t, kAt>())) && ...));
  return done;
}

}  // namespace detail

/// The raw samples of a golden vector -> the network's inputs.
template <class Batch, class Golden>
Result<void> prepare(Batch& batch, const Golden& golden, const std::filesystem::path& folder) {
  return detail::for_each_input(typename Batch::Places(), [&](auto at) {
    return detail::prepare<at>(batch, golden.inputs[at], folder);
  });
}

namespace detail {

/// One golden vector; `share` multiplies its tolerances.
template <class Batch, class Golden>
Result<void> check(Batch& batch, const Golden& golden, const std::filesystem::path& folder, const std::string& place,
                   double share) {
  if (auto done = mtl_edge::prepare(batch, golden, folder); !done) return done;
  auto same = for_each_input(typename Batch::Places(), [&](auto at) {
    return check_input<at>(batch, golden.inputs[at], folder, place, share);
  });
  if (!same) return same;
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
