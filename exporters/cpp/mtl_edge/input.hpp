// An input of a batch: its samples on their way into the network. `In` is what the kit's model.hpp says of it.
#ifndef MTL_EDGE_INPUT_HPP
#define MTL_EDGE_INPUT_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "result.hpp"
#include "session.hpp"

namespace mtl_edge {

/// The graph's input of texts, where it looks categories up by itself; no columns where it does not.
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

/// A row or a text; none where the input reads raw values alone.
template <class In, bool kEncodes = In::kEncodes>
struct SampleOf {
  struct type {};
};
template <class In>
struct SampleOf<In, true> {
  using type = typename In::Sample;
};

}  // namespace detail

/// Samples for an input, in somebody else's memory: raw values one after the other; or rows, or texts, where it reads such.
template <class In>
class Samples {
 public:
  using Raw = typename In::Raw;
  using Sample = typename detail::SampleOf<In>::type;

  template <class Values, std::enable_if_t<std::is_convertible_v<const Values&, View<Raw>>, int> = 0>
  Samples(const Values& raw) : raw_(raw) {
    static_assert(In::kTexts.columns == 0, "the graph reads texts beside numbers: give rows");
  }
  template <class Values, std::enable_if_t<std::is_convertible_v<const Values&, View<Sample>>, int> = 0>
  Samples(const Values& samples) : samples_(samples), encodes_(true) {}

  bool encodes() const noexcept { return encodes_; }
  View<Raw> raw() const noexcept { return raw_; }
  View<Sample> samples() const noexcept { return samples_; }

 private:
  View<Raw> raw_;
  View<Sample> samples_;
  bool encodes_ = false;
};

namespace detail {

/// What one input of a batch needs: memory for its samples, and the runtime's tensors of them.
template <class In>
class Input {
 public:
  using Raw = typename In::Raw;
  using Value = typename In::Value;
  using Shape = std::array<std::int64_t, In::kShape.size()>;
  static constexpr bool kNumbers = In::kNumbers;
  static constexpr bool kTexts = In::kTexts.columns > 0;

  /// How many of the graph's inputs are made of it.
  static constexpr std::size_t kTensors = kNumbers + kTexts;

  static Result<Input> make(const Session& session, const Shape& shape) {
    bool fits = count(shape) > 0;
    for (std::size_t axis = 0; axis < shape.size(); ++axis)
      fits = fits && (In::kShape[axis] < 0 || In::kShape[axis] == shape[axis]);
    if (!fits) return Error{place(), "the shape must be " + shown(In::kShape), shown(shape)};
    Input made(session, shape);
    if (auto done = made.allocate(session); !done) return done.error();
    return made;
  }

  /// How many samples there are to be.
  std::size_t size() const noexcept { return static_cast<std::size_t>(shape_[0]); }
  std::size_t texts() const noexcept { return size() * In::kTexts.columns; }
  const Shape& shape() const noexcept { return shape_; }
  std::vector<Value>& values() noexcept { return values_; }

  Result<void> read(const Session& session, const Samples<In>& given) {
    if constexpr (In::kEncodes)
      if (given.encodes()) return encode(session, given.samples());
    return prepare(given.raw());
  }

  Result<void> prepare(View<Raw> raw) {
    if (raw.size() != values_.size()) return wrong_count("values", values_.size(), raw.size());
    In::preprocess(raw.data(), values_.data(), shape_);
    return {};
  }

  Result<void> prepare_texts(const Session& session, View<std::string_view> given) {
    if (given.size() == texts()) return write_texts(session, given, 0);
    return Error{std::string("input '") + In::kTexts.name + "'", "must hold " + std::to_string(texts()) + " texts",
                 std::to_string(given.size())};
  }

  /// The graph's names, and the runtime's tensors, from a place on.
  template <class Names, class Tensors>
  void list(Names& names, Tensors& tensors, std::size_t& at) const noexcept {
    if constexpr (kNumbers) {
      names[at] = In::kInput;
      tensors[at++] = numbers_tensor_.get();
    }
    if constexpr (kTexts) {
      names[at] = In::kTexts.name;
      tensors[at++] = texts_tensor_.get();
    }
  }

 private:
  Input(const Session& session, const Shape& shape)
      : shape_(shape),
        raw_(In::kEncodes && kNumbers ? count(shape) : 0),
        values_(kNumbers ? count(shape) : 0),
        numbers_tensor_(nullptr, session.api().ReleaseValue),
        texts_tensor_(nullptr, session.api().ReleaseValue) {}

  static std::string place() { return std::string("input '") + In::kInput + "'"; }

  Result<void> allocate(const Session& session) {
    const OrtApi& api = session.api();
    const auto keep = [&](OrtStatus* status, OrtValue* value, Handle<OrtValue>& tensor) {
      tensor.reset(value);
      return checked(api, status, session.place, "the input must be a tensor");
    };
    OrtValue* value = nullptr;
    if constexpr (kNumbers) {
      OrtStatus* const status = api.CreateTensorWithDataAsOrtValue(
          session.memory.get(), values_.data(), values_.size() * sizeof(Value), shape_.data(), shape_.size(),
          element<Value>(), &value);
      if (auto done = keep(status, value, numbers_tensor_); !done) return done;
    }
    if constexpr (kTexts) {
      const std::array<std::int64_t, 2> sizes{shape_[0], static_cast<std::int64_t>(In::kTexts.columns)};
      OrtAllocator* allocator = nullptr;  // the runtime's own, which nobody releases
      OrtStatus* status = api.GetAllocatorWithDefaultOptions(&allocator);
      value = nullptr;
      if (status == nullptr)
        status = api.CreateTensorAsOrtValue(allocator, sizes.data(), sizes.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
                                            &value);
      if (auto done = keep(status, value, texts_tensor_); !done) return done;
    }
    return {};
  }

  /// Rows of a table, or texts, as many as there are to be.
  template <class Given>
  Result<void> encode([[maybe_unused]] const Session& session, Given samples) {
    if (samples.size() != size()) return wrong_count("samples", size(), samples.size());
    const std::size_t width = raw_.size() / size();
    for (std::size_t i = 0; i < size(); ++i)
      if (auto done = In::encode(samples[i], i, raw_.data() + i * width); !done) return done;
    if (auto done = prepare(raw_); !done) return done;
    if constexpr (kTexts)
      for (std::size_t i = 0; i < size(); ++i)
        if (auto done = write_texts(session, In::texts(samples[i]), i * In::kTexts.columns); !done) return done;
    return {};
  }

  /// Texts at so many places and the next ones; the runtime owns them.
  Result<void> write_texts(const Session& session, View<std::string_view> given, std::size_t first) {
    const OrtApi& api = session.api();
    for (const std::string_view text : given) {
      char* buffer = nullptr;
      OrtStatus* const status = api.GetResizedStringTensorElementBuffer(texts_tensor_.get(), first++, text.size(), &buffer);
      if (status != nullptr) return checked(api, status, session.place, "the input must hold texts");
      if (!text.empty()) std::memcpy(buffer, text.data(), text.size());
    }
    return {};
  }

  Error wrong_count(const char* what, std::size_t wanted, std::size_t found) const {
    return {place(), "must hold " + std::to_string(wanted) + " " + what + ", which " + shown(shape_) + " has",
            std::to_string(found)};
  }

  Shape shape_;
  std::vector<Raw> raw_;
  std::vector<Value> values_;
  Handle<OrtValue> numbers_tensor_;
  Handle<OrtValue> texts_tensor_;
};

}  // namespace detail
}  // namespace mtl_edge

#endif  // MTL_EDGE_INPUT_HPP
