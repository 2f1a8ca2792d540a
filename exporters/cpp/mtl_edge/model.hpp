// A model that is verified and loaded. `Spec` is what the kit's model.hpp says of it.
#ifndef MTL_EDGE_MODEL_HPP
#define MTL_EDGE_MODEL_HPP

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "batch.hpp"
#include "goldens.hpp"
#include "result.hpp"
#include "runtime.hpp"
#include "session.hpp"

namespace mtl_edge {

/// A model, ready to run. Copies share it, and several threads may use it at the same time.
template <class Spec>
class Model {
 public:
  using Raw = typename Spec::Raw;
  using Answers = typename Spec::Answers;
  using Shape = typename Batch<Spec>::Shape;

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
      auto made = batch(golden.shape);
      if (!made) return made.error();
      const std::string place = goldens.string() + ": case " + std::to_string(number) + ": ";
      if (auto done = detail::check(*made, golden, goldens, place, share); !done) return done.error();
    }
    return Spec::kGoldens.size();
  }

  /// Answers for raw samples that lie one after the other. `batch` is faster where you ask again and again.
  Result<std::vector<Answers>> predict(View<Raw> raw) const {
    const Shape one = shape_of(1);
    const std::size_t values = detail::count(one);
    if (values > 0 && raw.size() % values != 0) {
      return Error{std::string("input '") + Spec::kInput + "'",
                   "must hold a multiple of " + std::to_string(values) + " values, of samples " + detail::shown(one),
                   std::to_string(raw.size())};
    }
    return answered(raw, values > 0 ? raw.size() / values : 1);
  }

  /// Answers for rows of a table, or for texts.
  template <class S = Spec>
  Result<std::vector<Answers>> predict(View<typename S::Sample> samples) const {
    return answered(samples, samples.size());
  }

  /// Memory for so many samples at a time.
  Result<Batch<Spec>> batch(std::size_t samples) const { return batch(shape_of(static_cast<std::int64_t>(samples))); }

  /// Memory for samples of this shape, the number of samples first, where the model leaves several sizes open.
  Result<Batch<Spec>> batch(const Shape& shape) const { return Batch<Spec>::make(session_, shape); }

  /// Which version of ONNX Runtime runs it.
  const std::string& runtime_version() const noexcept { return session_->runtime.version; }

 private:
  explicit Model(std::shared_ptr<const detail::Session> session) : session_(std::move(session)) {}

  static Shape shape_of(std::int64_t samples) noexcept {
    Shape shape = Spec::kShape;
    shape[0] = samples;
    return shape;
  }

  template <class Sample>
  Result<std::vector<Answers>> answered(View<Sample> samples, std::size_t count) const {
    if (samples.empty()) return std::vector<Answers>();
    auto made = batch(count);
    if (!made) return made.error();
    const auto answers = made->run(samples);
    if (!answers) return answers.error();
    return std::vector<Answers>((*answers).begin(), (*answers).end());
  }

  std::shared_ptr<const detail::Session> session_;
};

}  // namespace mtl_edge

#endif  // MTL_EDGE_MODEL_HPP
