// What is done to raw samples before they enter the network: pixels are scaled, texts and categories looked up.
#ifndef MTL_EDGE_PREPROCESSING_HPP
#define MTL_EDGE_PREPROCESSING_HPP

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "result.hpp"

// A fused multiply-add rounds once where the training data were rounded twice: int8 answers could differ in a last bit.
#if defined(__clang__)
#define MTL_EDGE_ROUND_EACH_STEP _Pragma("clang fp contract(off)")
#define MTL_EDGE_NO_FUSED_STEPS
#elif defined(__GNUC__)
#define MTL_EDGE_ROUND_EACH_STEP
#define MTL_EDGE_NO_FUSED_STEPS __attribute__((noinline, optimize("fp-contract=off")))
#elif defined(_MSC_VER)
#define MTL_EDGE_ROUND_EACH_STEP __pragma(fp_contract(off))
#define MTL_EDGE_NO_FUSED_STEPS
#else
#define MTL_EDGE_ROUND_EACH_STEP
#define MTL_EDGE_NO_FUSED_STEPS
#endif

namespace mtl_edge {

namespace detail {

/// `raw * factor - offset`, rounded to float after each step, whatever the compiler's flags.
template <class Raw>
MTL_EDGE_NO_FUSED_STEPS void scale(const Raw* raw, float* out, std::size_t count, float factor, float offset) noexcept {
  MTL_EDGE_ROUND_EACH_STEP
  for (std::size_t i = 0; i < count; ++i) {
    const float scaled = static_cast<float>(raw[i]) * factor;
    out[i] = scaled - offset;
  }
}

/// A number of a table's row; a missing one is NaN.
inline Result<void> finite(float value, std::size_t row, const char* column) {
  if (!std::isinf(value)) return {};
  return Error{"row " + std::to_string(row), "'" + std::string(column) + "' must be a finite number",
               std::to_string(value)};
}

}  // namespace detail

/// Images, or other grids of numbers: a factor and an offset for each channel, which is the second axis.
template <std::size_t kChannels>
struct Pixels {
  std::array<float, kChannels> factor;
  std::array<float, kChannels> offset;

  /// Raw `(planes / channels, channels, count)` -> the network's input of the same shape.
  template <class Raw>
  void apply(const Raw* raw, float* out, std::size_t planes, std::size_t count) const noexcept {
    for (std::size_t plane = 0; plane < planes; ++plane, raw += count, out += count)
      detail::scale(raw, out, count, factor[plane % kChannels], offset[plane % kChannels]);
  }
};

/// A name and the number that stands for it.
struct Code {
  std::string_view name;
  std::int32_t number;
};

/// Names in the order of their bytes.
template <std::size_t kNames>
struct Codes {
  std::array<Code, kNames> sorted;

  /// The number of a name, or another one where it is not among them.
  std::int32_t find(std::string_view name, std::int32_t otherwise) const noexcept {
    const auto at = std::lower_bound(sorted.begin(), sorted.end(), name,
                                     [](const Code& code, std::string_view wanted) { return code.name < wanted; });
    return at != sorted.end() && at->name == name ? at->number : otherwise;
  }

  /// A category's number as a column of a table has it; 0 where it is missing or not known.
  float number_of(std::string_view category) const noexcept {
    return category.data() ? static_cast<float>(find(category, 0)) : 0.0f;
  }
};

namespace detail {

/// A letter of a word in lower case, or none between words; how many bytes it has, and whether a word ends with it.
struct Letter {
  static constexpr char kNone = '\0';

  char lower = kNone;
  std::size_t bytes = 1;
  bool ends_word = false;
};

inline Letter first_letter(std::string_view text) noexcept {
  if (text.empty()) return {Letter::kNone, 0};
  const char letter = text[0];
  if ((letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '\'') return {letter};
  if (letter >= 'A' && letter <= 'Z') return {static_cast<char>(letter - 'A' + 'a')};
  // Two letters beyond ASCII have one of a-z in their lower case.
  if (text.substr(0, 3) == "\xE2\x84\xAA") return {'k', 3};    // the kelvin sign
  if (text.substr(0, 2) == "\xC4\xB0") return {'i', 2, true};  // I with a dot is an i, and a dot of its own
  return {};
}

}  // namespace detail

/// A text in UTF-8 -> `length` ids. It is cut, in lower case, into runs of a-z, 0-9 and '; words beyond the length are
/// cut off. 0 is padding, 1 any word that is not in the vocabulary, whose longest word has `kLongest` letters.
template <std::size_t kLongest, std::size_t kNames>
void encode_text(const Codes<kNames>& words, std::string_view text, std::int64_t* ids, std::size_t length) noexcept {
  constexpr std::int32_t kUnknown = 1;
  std::array<char, kLongest> word{};
  std::size_t letters = 0, found = 0;
  while (found < length && (letters > 0 || !text.empty())) {
    const detail::Letter next = detail::first_letter(text);
    text.remove_prefix(next.bytes);
    if (next.lower != detail::Letter::kNone) {
      if (letters < kLongest) word[letters] = next.lower;
      ++letters;
    }
    if (letters > 0 && (next.lower == detail::Letter::kNone || next.ends_word)) {
      ids[found++] = letters <= kLongest ? words.find({word.data(), letters}, kUnknown) : kUnknown;
      letters = 0;
    }
  }
  std::fill(ids + found, ids + length, 0);
}

}  // namespace mtl_edge

#undef MTL_EDGE_ROUND_EACH_STEP
#undef MTL_EDGE_NO_FUSED_STEPS

#endif  // MTL_EDGE_PREPROCESSING_HPP
