// Samples that are run together, and all memory that they need: from the second run on, nothing is allocated but what
// ONNX Runtime itself allocates.
#ifndef MTL_EDGE_BATCH_HPP
#define MTL_EDGE_BATCH_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "answers.hpp"
#include "input.hpp"
#include "result.hpp"
#include "session.hpp"

namespace mtl_edge {

/// An output of the network: `(samples, width)`, or `(samples, width, height, columns)` where it is dense.
struct Output {
  const char* name;
  std::size_t width;
  bool dense;
};

namespace detail {

/// What is said where inputs are not given as many samples as one another.
template <class Sizes>
Error unequal(const Sizes& sizes) {
  std::string found;
  for (const std::size_t size : sizes) found += (found.empty() ? "" : ", ") + std::to_string(size);
  return {"samples", "each input must have as many as the others", found};
}

/// An output's values and shape, where the runtime has written them.
struct Tensor {
  const float* data = nullptr;
  std::vector<std::int64_t> shape;
};

/// What the runtime's value holds, or why it is not `(samples, width, …)` of float.
inline Result<Tensor> tensor_of(const Session& session, OrtValue* value, const Output& output, std::int64_t samples) {
  const OrtApi& api = session.api();
  const std::string place = session.place + ": output '" + output.name + "'";
  const auto check = [&](OrtStatus* status) { return checked(api, status, place, "must be a tensor"); };
  OrtTensorTypeAndShapeInfo* info = nullptr;
  if (auto done = check(api.GetTensorTypeAndShape(value, &info)); !done) return done.error();
  const Handle<OrtTensorTypeAndShapeInfo> released(info, api.ReleaseTensorTypeAndShapeInfo);
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::size_t rank = 0;
  if (auto done = check(api.GetTensorElementType(info, &type)); !done) return done.error();
  if (auto done = check(api.GetDimensionsCount(info, &rank)); !done) return done.error();
  Tensor tensor;
  tensor.shape.resize(rank);
  if (auto done = check(api.GetDimensions(info, tensor.shape.data(), rank)); !done) return done.error();
  const auto width = static_cast<std::int64_t>(output.width);
  if (type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || rank != (output.dense ? 4u : 2u) || tensor.shape[0] != samples ||
      tensor.shape[1] != width) {
    return Error{place, "must be float (" + std::to_string(samples) + ", " + std::to_string(width) + ", ...)",
                 "type " + std::to_string(type) + " " + shown(tensor.shape)};
  }
  void* data = nullptr;
  if (auto done = check(api.GetTensorMutableData(value, &data)); !done) return done.error();
  tensor.data = static_cast<const float*>(data);
  return tensor;
}

}  // namespace detail

/// Some samples that are run together, again and again. Each thread needs a batch of its own.
///
/// What concerns one of several inputs says which: `batch.input<1>()`; without a number it is the first one.
template <class Spec, class Inputs = typename Spec::Inputs>
class Batch;

template <class Spec, class... In>
class Batch<Spec, std::tuple<In...>> {
 public:
  using Answers = typename Spec::Answers;
  using Places = std::index_sequence_for<In...>;
  template <std::size_t kAt>
  using Raw = typename std::tuple_element_t<kAt, std::tuple<In...>>::Raw;
  static constexpr std::size_t kOutputs = Spec::kOutputs.size();

  /// Use Model::batch.
  static Result<Batch> make(std::shared_ptr<const detail::Session> session,
                            const typename detail::Input<In>::Shape&... shapes) {
    std::tuple<Result<detail::Input<In>>...> made{detail::Input<In>::make(*session, shapes)...};
    return std::apply([&](auto&... inputs) { return joined(std::move(session), inputs...); }, made);
  }

  /// Samples of each input: raw values one after the other; or rows, or texts, as many as the batch has samples.
  /// Gives answers, one for each; they stay as they are until the next run.
  Result<View<Answers>> run(const Samples<In>&... given) {
    Result<void> done = read(Places(), given...);
    if (!done) return done.error();
    if (done = infer(); !done) return done.error();
    return decode();
  }

  // What `run` does, step by step.

  /// Raw samples -> an input of the network.
  template <std::size_t kAt = 0>
  Result<void> prepare(View<Raw<kAt>> raw) {
    return std::get<kAt>(inputs_).prepare(raw);
  }

  /// Categories -> the graph's input of texts, row after row; an empty one is missing. Until then all of them are.
  template <std::size_t kAt = 0>
  Result<void> prepare_texts(View<std::string_view> texts) {
    return std::get<kAt>(inputs_).prepare_texts(*session_, texts);
  }

  /// The network's inputs -> its outputs.
  Result<void> infer();

  /// The network's outputs -> answers.
  View<Answers> decode() {
    std::array<Logits, kOutputs> logits;
    for (std::size_t sample = 0; sample < size(); ++sample) {
      for (std::size_t at = 0; at < kOutputs; ++at) {
        const auto& [data, shape] = outputs_[at];
        const bool dense = Spec::kOutputs[at].dense;
        const auto height = static_cast<std::size_t>(dense ? shape[2] : 1);
        const auto columns = static_cast<std::size_t>(dense ? shape[3] : 1);
        const std::size_t width = Spec::kOutputs[at].width;
        logits[at] = {data + sample * width * height * columns, width, height, columns};
      }
      Spec::read(logits, answers_[sample]);
    }
    return answers_;
  }

  /// How many samples there are.
  std::size_t size() const noexcept { return answers_.size(); }

  /// How many texts the graph reads.
  template <std::size_t kAt = 0>
  std::size_t texts() const noexcept {
    return std::get<kAt>(inputs_).texts();
  }

  /// The shape of an input, of texts where there are no numbers.
  template <std::size_t kAt = 0>
  const auto& shape() const noexcept {
    return std::get<kAt>(inputs_).shape();
  }

  /// An input of the network, to read or to write into.
  template <std::size_t kAt = 0>
  auto& input() noexcept {
    return std::get<kAt>(inputs_).values();
  }

  /// The graph's name of an input.
  template <std::size_t kAt = 0>
  static constexpr const char* input_name() noexcept {
    return std::tuple_element_t<kAt, std::tuple<In...>>::kInput;
  }

  /// The name of an output, which is that of its task.
  static constexpr const char* output_name(std::size_t at) noexcept { return Spec::kOutputs[at].name; }

  /// An output as the last run has left it.
  const detail::Tensor& output(std::size_t at) const noexcept { return outputs_[at]; }

 private:
  Batch(std::shared_ptr<const detail::Session> session, detail::Input<In>&&... inputs)
      : session_(std::move(session)), inputs_(std::move(inputs)...), answers_(std::get<0>(inputs_).size()) {
    for (std::size_t at = 0; at < kOutputs; ++at) values_.emplace_back(nullptr, session_->api().ReleaseValue);
  }

  static Result<Batch> joined(std::shared_ptr<const detail::Session> session, Result<detail::Input<In>>&... inputs) {
    const Error* error = nullptr;
    ((error = error == nullptr && !inputs ? &inputs.error() : error), ...);
    if (error != nullptr) return *error;
    const std::array<std::size_t, sizeof...(In)> sizes{inputs->size()...};
    for (const std::size_t size : sizes)
      if (size != sizes[0]) return detail::unequal(sizes);
    return Batch(std::move(session), *std::move(inputs)...);
  }

  template <std::size_t... kAt>
  Result<void> read(std::index_sequence<kAt...>, const Samples<In>&... given) {
    Result<void> done;
    static_cast<void>((static_cast<bool>(done = std::get<kAt>(inputs_).read(*session_, given)) && ...));
    return done;
  }

  std::shared_ptr<const detail::Session> session_;
  std::tuple<detail::Input<In>...> inputs_;
  std::vector<Answers> answers_;
  std::vector<detail::Handle<OrtValue>> values_;  // the outputs
  std::array<detail::Tensor, kOutputs> outputs_;
};

template <class Spec, class... In>
Result<void> Batch<Spec, std::tuple<In...>>::infer() {
  std::array<const char*, kOutputs> names;
  std::array<OrtValue*, kOutputs> values;
  for (std::size_t at = 0; at < kOutputs; ++at) {
    names[at] = Spec::kOutputs[at].name;
    values[at] = values_[at].get();
  }
  constexpr std::size_t kInputs = (detail::Input<In>::kTensors + ...);
  std::array<const char*, kInputs> input_names;
  std::array<const OrtValue*, kInputs> tensors;
  std::size_t listed = 0;
  std::apply([&](const auto&... inputs) { (inputs.list(input_names, tensors, listed), ...); }, inputs_);
  // The first run lets the runtime allocate the outputs, later ones write where it did.
  const OrtApi& api = session_->api();
  OrtStatus* const status = api.Run(session_->session.get(), nullptr, input_names.data(), tensors.data(), kInputs,
                                    names.data(), kOutputs, values.data());
  for (std::size_t at = 0; at < kOutputs; ++at)
    if (!values_[at]) values_[at].reset(values[at]);
  if (status != nullptr) return detail::checked(api, status, session_->place, "ONNX Runtime must be able to run it");
  for (std::size_t at = 0; at < kOutputs && outputs_[at].data == nullptr; ++at) {
    const auto samples = static_cast<std::int64_t>(size());
    auto tensor = detail::tensor_of(*session_, values_[at].get(), Spec::kOutputs[at], samples);
    if (!tensor) return tensor.error();
    outputs_[at] = *std::move(tensor);
  }
  return {};
}

}  // namespace mtl_edge

#endif  // MTL_EDGE_BATCH_HPP
