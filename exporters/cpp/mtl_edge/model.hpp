// A model that is verified and loaded. `Spec` is what the kit's model.hpp says of it.
#ifndef MTL_EDGE_MODEL_HPP
#define MTL_EDGE_MODEL_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "batch.hpp"
#include "goldens.hpp"
#include "result.hpp"
#include "runtime.hpp"
#include "session.hpp"

namespace mtl_edge {

/// A model, ready to run. Copies share it, and several threads may use it at the same time.
template <class Spec, class Inputs = typename Spec::Inputs>
class Model;

template <class Spec, class... In>
class Model<Spec, std::tuple<In...>> {
 public:
  using Answers = typename Spec::Answers;

  /// Verify a file's SHA-256 and load it. Follow it by `self_check`: kernels do not answer alike on all processors.
  static Result<Model> load(const std::filesystem::path& file, const Options& options = {}) {
    auto session = detail::open_session(file, Spec::kSha256, options);
    if (!session) return session.error();
    return Model(*std::move(session));
  }

  /// Compare what the model answers here with what it answered where it was exported; gives the number of cases.
  ///
  /// `goldens` is the kit's folder of that name. `share` multiplies the recorded tolerances: 0 wants the same bits.
  Result<std::size_t> self_check(const std::filesystem::path& goldens, double share = 1) const {
    for (std::size_t number = 0; number < Spec::kGoldens.size(); ++number) {
      const auto& golden = Spec::kGoldens[number];
      auto made = batch(golden);
      if (!made) return made.error();
      const std::string place = goldens.string() + ": case " + std::to_string(number) + ": ";
      if (auto done = detail::check(*made, golden, goldens, place, share); !done) return done.error();
    }
    return Spec::kGoldens.size();
  }

  /// Answers for samples of each input: raw values that lie one after the other; or rows of a table, or texts. `batch` is
  /// faster where you ask again and again.
  Result<std::vector<Answers>> predict(const Samples<In>&... given) const {
    const std::array<Result<std::size_t>, sizeof...(In)> counts{count_of<In>(given)...};
    std::array<std::size_t, sizeof...(In)> sizes{};
    for (std::size_t at = 0; at < sizes.size(); ++at) {
      if (!counts[at]) return counts[at].error();
      sizes[at] = *counts[at];
    }
    for (const std::size_t size : sizes)
      if (size != sizes[0]) return detail::unequal(sizes);
    if (sizes[0] == 0) return std::vector<Answers>();
    auto made = batch(sizes[0]);
    if (!made) return made.error();
    const auto answers = made->run(given...);
    if (!answers) return answers.error();
    return std::vector<Answers>((*answers).begin(), (*answers).end());
  }

  /// Memory for so many samples at a time.
  Result<Batch<Spec>> batch(std::size_t samples) const {
    return batch(shape_of<In>(static_cast<std::int64_t>(samples))...);
  }

  /// Memory for samples of this shape, the number of samples first, where the model leaves several sizes open; of several
  /// inputs, the shape of each.
  Result<Batch<Spec>> batch(const typename detail::Input<In>::Shape&... shapes) const {
    return Batch<Spec>::make(session_, shapes...);
  }

  /// Memory for samples of the shape of a golden vector's; for as many of them as it has, or another number.
  template <std::size_t kRank, std::size_t kReads, std::size_t kOutputs>
  Result<Batch<Spec>> batch(const Golden<kRank, kReads, kOutputs>& golden, std::size_t samples = 0) const {
    return like(golden, static_cast<std::int64_t>(samples), std::index_sequence_for<In...>());
  }

  /// Which version of ONNX Runtime runs it.
  const std::string& runtime_version() const noexcept { return session_->runtime.version; }

 private:
  explicit Model(std::shared_ptr<const detail::Session> session) : session_(std::move(session)) {}

  template <class I>
  static auto shape_of(std::int64_t samples) noexcept {
    typename detail::Input<I>::Shape shape = I::kShape;
    shape[0] = samples;
    return shape;
  }

  template <class Golden, std::size_t... kAt>
  Result<Batch<Spec>> like(const Golden& golden, std::int64_t samples, std::index_sequence<kAt...>) const {
    return batch(detail::shape_of<In>(golden.inputs[kAt], samples)...);
  }

  /// How many samples these are.
  template <class I>
  static Result<std::size_t> count_of(const Samples<I>& given) {
    if (given.encodes()) return given.samples().size();
    const auto one = shape_of<I>(1);
    const std::size_t values = detail::count(one), found = given.raw().size();
    if (found == 0 || values == 0) return std::size_t{found > 0};
    if (found % values == 0) return found / values;
    return Error{std::string("input '") + I::kInput + "'",
                 "must hold a multiple of " + std::to_string(values) + " values, of samples " + detail::shown(one),
                 std::to_string(found)};
  }

  std::shared_ptr<const detail::Session> session_;
};

}  // namespace mtl_edge

#endif  // MTL_EDGE_MODEL_HPP
