// Samples that are run together, and all memory that they need: from the second run on, nothing is allocated but what
// ONNX Runtime itself allocates.
#ifndef MTL_EDGE_BATCH_HPP
#define MTL_EDGE_BATCH_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "answers.hpp"
#include "result.hpp"
#include "session.hpp"

namespace mtl_edge {

/// An output of the network: `(samples, width)`, or `(samples, width, height, columns)` where it is dense.
struct Output {
  const char* name;
  std::size_t width;
  bool dense;
};

/// An input of texts, that of a graph which looks categories up by itself; no columns where it has none.
struct Texts {
  const char* name;
  std::size_t columns;
};

namespace detail {

/// A shape as people write it; a negative size is one of the caller's choice.
template <class Shape>
std::string shown(const Shape& shape) {
  std::string text;
  for (const std::int64_t size : shape) text += (text.empty() ? "" : ", ") + (size < 0 ? "any" : std::to_string(size));
  return "(" + text + ")";
}

/// The number of values; 0 if that is more than memory could hold.
template <class Shape>
std::size_t count(const Shape& shape) noexcept {
  std::size_t values = 1;
  for (const std::int64_t size : shape) {
    if (size < 1 || values > (PTRDIFF_MAX >> 4) / static_cast<std::size_t>(size)) return 0;
    values *= static_cast<std::size_t>(size);
  }
  return values;
}

/// The runtime's name of a type of C++.
template <class Value>
constexpr ONNXTensorElementDataType element() noexcept {
  if constexpr (std::is_same_v<Value, float>) return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  if constexpr (std::is_same_v<Value, double>) return ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE;
  if constexpr (std::is_same_v<Value, std::int8_t>) return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
  if constexpr (std::is_same_v<Value, std::int16_t>) return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16;
  if constexpr (std::is_same_v<Value, std::int32_t>) return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
  if constexpr (std::is_same_v<Value, std::int64_t>) return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
  if constexpr (std::is_same_v<Value, std::uint8_t>) return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
  if constexpr (std::is_same_v<Value, std::uint16_t>) return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16;
  if constexpr (std::is_same_v<Value, std::uint32_t>) return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32;
  if constexpr (std::is_same_v<Value, std::uint64_t>) return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64;
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
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
template <class Spec>
class Batch {
 public:
  using Raw = typename Spec::Raw;
  using Value = typename Spec::Value;
  using Answers = typename Spec::Answers;
  using Shape = std::array<std::int64_t, Spec::kShape.size()>;
  static constexpr std::size_t kOutputs = Spec::kOutputs.size();

  /// Use Model::batch.
  static Result<Batch> make(std::shared_ptr<const detail::Session> session, const Shape& shape);

  /// Raw samples, one after the other -> answers, one for each. They stay as they are until the next run.
  Result<View<Answers>> run(View<Raw> raw) {
    static_assert(Spec::kTexts.columns == 0, "the graph reads texts beside numbers: run rows");
    if (auto done = prepare(raw); !done) return done.error();
    if (auto done = infer(); !done) return done.error();
    return decode();
  }

  /// Rows of a table, or texts, as many as the batch has samples -> answers, one for each.
  template <class S = Spec>
  Result<View<Answers>> run(View<typename S::Sample> samples) {
    if (samples.size() != size()) return wrong_count("samples", size(), samples.size());
    const std::size_t width = raw_.size() / size();
    for (std::size_t i = 0; i < size(); ++i)
      if (auto done = S::encode(samples[i], i, raw_.data() + i * width); !done) return done.error();
    if (auto done = prepare(raw_); !done) return done.error();
    if constexpr (S::kTexts.columns > 0)
      for (std::size_t i = 0; i < size(); ++i)
        if (auto done = write_texts(S::texts(samples[i]), i * S::kTexts.columns); !done) return done.error();
    if (auto done = infer(); !done) return done.error();
    return decode();
  }

  // What `run` does, step by step.

  /// Raw samples -> the network's input.
  Result<void> prepare(View<Raw> raw) {
    if (raw.size() != input_.size()) return wrong_count("values", input_.size(), raw.size());
    Spec::preprocess(raw.data(), input_.data(), shape_);
    return {};
  }

  /// Categories -> the graph's input of texts, row after row; an empty one is missing. Until then all of them are.
  Result<void> prepare_texts(View<std::string_view> texts) {
    if (texts.size() == this->texts()) return write_texts(texts, 0);
    return Error{std::string("input '") + Spec::kTexts.name + "'",
                 "must hold " + std::to_string(this->texts()) + " texts", std::to_string(texts.size())};
  }

  /// The network's input -> its outputs.
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

  /// How many texts the graph reads beside numbers.
  std::size_t texts() const noexcept { return size() * Spec::kTexts.columns; }

  /// The shape of the input, of texts where there are no numbers.
  const Shape& shape() const noexcept { return shape_; }

  /// The network's input, to read or to write into.
  std::vector<Value>& input() noexcept { return input_; }

  /// The name of an output, which is that of its task.
  static constexpr const char* output_name(std::size_t at) noexcept { return Spec::kOutputs[at].name; }

  /// An output as the last run has left it.
  const detail::Tensor& output(std::size_t at) const noexcept { return outputs_[at]; }

 private:
  Batch(std::shared_ptr<const detail::Session> session, const Shape& shape)
      : session_(std::move(session)),
        shape_(shape),
        raw_(Spec::kEncodes && kNumbers ? detail::count(shape) : 0),
        input_(kNumbers ? detail::count(shape) : 0),
        answers_(static_cast<std::size_t>(shape[0])) {}

  static constexpr std::size_t kInputs = Spec::kNumbers + (Spec::kTexts.columns > 0);
  static constexpr bool kNumbers = Spec::kNumbers;

  /// Texts at so many places and the next ones; the runtime owns them.
  Result<void> write_texts(View<std::string_view> texts, std::size_t first) {
    const OrtApi& api = session_->api();
    OrtValue* const value = values_[kInputs - 1].get();
    for (const std::string_view text : texts) {
      char* buffer = nullptr;
      OrtStatus* const status = api.GetResizedStringTensorElementBuffer(value, first++, text.size(), &buffer);
      if (status != nullptr) return detail::checked(api, status, session_->place, "the input must hold texts");
      if (!text.empty()) std::memcpy(buffer, text.data(), text.size());
    }
    return {};
  }

  Error wrong_count(const char* what, std::size_t wanted, std::size_t found) const {
    return {std::string("input '") + Spec::kInput + "'",
            "must hold " + std::to_string(wanted) + " " + what + ", which " + detail::shown(shape_) + " has",
            std::to_string(found)};
  }

  std::shared_ptr<const detail::Session> session_;
  Shape shape_;
  std::vector<Raw> raw_;
  std::vector<Value> input_;
  std::vector<Answers> answers_;
  std::vector<detail::Handle<OrtValue>> values_;  // the inputs, then the outputs
  std::array<detail::Tensor, kOutputs> outputs_;
};

template <class Spec>
Result<Batch<Spec>> Batch<Spec>::make(std::shared_ptr<const detail::Session> session, const Shape& shape) {
  bool fits = detail::count(shape) > 0;
  for (std::size_t axis = 0; axis < shape.size(); ++axis)
    fits = fits && (Spec::kShape[axis] < 0 || Spec::kShape[axis] == shape[axis]);
  if (!fits)
    return Error{std::string("input '") + Spec::kInput + "'", "the shape must be " + detail::shown(Spec::kShape),
                 detail::shown(shape)};
  Batch batch(std::move(session), shape);
  const detail::Session& loaded = *batch.session_;
  const OrtApi& api = loaded.api();
  const auto keep = [&](OrtStatus* status, OrtValue* value) {
    batch.values_.emplace_back(value, api.ReleaseValue);
    return detail::checked(api, status, loaded.place, "the input must be a tensor");
  };
  OrtValue* value = nullptr;
  if constexpr (kNumbers) {
    OrtStatus* const status = api.CreateTensorWithDataAsOrtValue(
        loaded.memory.get(), batch.input_.data(), batch.input_.size() * sizeof(Value), shape.data(), shape.size(),
        detail::element<Value>(), &value);
    if (auto done = keep(status, value); !done) return done.error();
  }
  if constexpr (Spec::kTexts.columns > 0) {
    const std::array<std::int64_t, 2> texts{shape[0], static_cast<std::int64_t>(Spec::kTexts.columns)};
    OrtAllocator* allocator = nullptr;  // the runtime's own, which nobody releases
    OrtStatus* status = api.GetAllocatorWithDefaultOptions(&allocator);
    value = nullptr;
    if (status == nullptr)
      status = api.CreateTensorAsOrtValue(allocator, texts.data(), texts.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
                                          &value);
    if (auto done = keep(status, value); !done) return done.error();
  }
  for (std::size_t at = 0; at < kOutputs; ++at) batch.values_.emplace_back(nullptr, api.ReleaseValue);
  return batch;
}

template <class Spec>
Result<void> Batch<Spec>::infer() {
  std::array<const char*, kOutputs> names;
  std::array<OrtValue*, kOutputs> values;
  for (std::size_t at = 0; at < kOutputs; ++at) {
    names[at] = Spec::kOutputs[at].name;
    values[at] = values_[kInputs + at].get();
  }
  // The first run lets the runtime allocate the outputs, later ones write where it did.
  const OrtApi& api = session_->api();
  std::array<const char*, kInputs> input_names{Spec::kInput};
  std::array<const OrtValue*, kInputs> inputs;
  if constexpr (Spec::kTexts.columns > 0) input_names[kInputs - 1] = Spec::kTexts.name;
  for (std::size_t at = 0; at < kInputs; ++at) inputs[at] = values_[at].get();
  OrtStatus* const status = api.Run(session_->session.get(), nullptr, input_names.data(), inputs.data(), kInputs,
                                    names.data(), kOutputs, values.data());
  for (std::size_t at = 0; at < kOutputs; ++at)
    if (!values_[kInputs + at]) values_[kInputs + at].reset(values[at]);
  if (status != nullptr) return detail::checked(api, status, session_->place, "ONNX Runtime must be able to run it");
  for (std::size_t at = 0; at < kOutputs && outputs_[at].data == nullptr; ++at) {
    auto tensor = detail::tensor_of(*session_, values_[kInputs + at].get(), Spec::kOutputs[at], shape_[0]);
    if (!tensor) return tensor.error();
    outputs_[at] = *std::move(tensor);
  }
  return {};
}

}  // namespace mtl_edge

#endif  // MTL_EDGE_BATCH_HPP
