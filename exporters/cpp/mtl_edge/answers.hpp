// What a model answers, one type for each kind of task. `read` takes one sample's part of the network's output.
#ifndef MTL_EDGE_ANSWERS_HPP
#define MTL_EDGE_ANSWERS_HPP

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "result.hpp"

namespace mtl_edge {

/// One sample's part of an output: `width` values, or as many maps of `height` times `columns` values.
struct Logits {
  const float* data;
  std::size_t width;
  std::size_t height;
  std::size_t columns;
};

/// The most probable class, and how probable the model holds it (softmax, 0 to 1).
struct Multiclass {
  int label = 0;
  double probability = 0;

  void read(const Logits& logits) noexcept;
};

/// Whether it is more probable than not, and how probable (sigmoid, 0 to 1).
struct Binary {
  bool yes = false;
  double probability = 0;

  void read(const Logits& logits) noexcept;
};

/// For each class whether it is more probable than not, and how probable.
template <std::size_t kClasses>
struct Multilabel {
  std::array<bool, kClasses> yes{};
  std::array<double, kClasses> probabilities{};

  void read(const Logits& logits) noexcept;
};

/// The class in the order of classes, and for each class but the last the probability of one above it.
template <std::size_t kClasses>
struct Ordinal {
  int rank = 0;
  std::array<double, kClasses - 1> above{};

  void read(const Logits& logits) noexcept;
};

/// The value, in the unit of the labels that the model was trained on.
struct Regression {
  float value = 0;

  void read(const Logits& logits) noexcept { value = logits.data[0]; }
};

/// The most probable class of each pixel, row after row; `Label` is as wide as the classes need.
template <class Label>
struct Segmentation {
  std::vector<Label> labels;
  std::size_t height = 0;
  std::size_t width = 0;

  void read(const Logits& logits);
};

/// The value of each pixel, row after row, in the unit of the labels that the model was trained on.
struct DenseRegression {
  std::vector<float> values;
  std::size_t height = 0;
  std::size_t width = 0;

  void read(const Logits& logits);
};

namespace detail {

/// The place of the largest value, the first of several; NaN counts as the largest, so that it shows.
inline std::size_t largest(const float* values, std::size_t count, std::size_t stride) noexcept {
  std::size_t best = 0;
  for (std::size_t i = 1; i < count; ++i) {
    const float value = values[i * stride], most = values[best * stride];
    if (value > most || (std::isnan(value) && !std::isnan(most))) best = i;
  }
  return best;
}

inline double sigmoid(float logit) noexcept { return 1 / (1 + std::exp(-static_cast<double>(logit))); }

inline std::string printed(const char* format, double value) {
  if (std::isnan(value)) return "nan";
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

inline std::string percent(double share) { return printed("%.1f %%", 100 * share); }

}  // namespace detail

inline void Multiclass::read(const Logits& logits) noexcept {
  const std::size_t best = detail::largest(logits.data, logits.width, 1);
  double sum = 0;
  for (std::size_t i = 0; i < logits.width; ++i)
    sum += std::exp(static_cast<double>(logits.data[i]) - static_cast<double>(logits.data[best]));
  label = static_cast<int>(best);
  probability = 1 / sum;
}

inline void Binary::read(const Logits& logits) noexcept {
  yes = logits.data[0] > 0;
  probability = detail::sigmoid(logits.data[0]);
}

template <std::size_t kClasses>
void Multilabel<kClasses>::read(const Logits& logits) noexcept {
  for (std::size_t i = 0; i < kClasses; ++i) {
    yes[i] = logits.data[i] > 0;
    probabilities[i] = detail::sigmoid(logits.data[i]);
  }
}

template <std::size_t kClasses>
void Ordinal<kClasses>::read(const Logits& logits) noexcept {
  rank = 0;
  for (std::size_t i = 0; i < kClasses - 1; ++i) {
    rank += logits.data[i] > 0;
    above[i] = detail::sigmoid(logits.data[i]);
  }
}

template <class Label>
void Segmentation<Label>::read(const Logits& logits) {
  height = logits.height;
  width = logits.columns;
  labels.resize(height * width);
  for (std::size_t pixel = 0; pixel < labels.size(); ++pixel)
    labels[pixel] = static_cast<Label>(detail::largest(logits.data + pixel, logits.width, labels.size()));
}

inline void DenseRegression::read(const Logits& logits) {
  height = logits.height;
  width = logits.columns;
  values.assign(logits.data, logits.data + height * width);
}

// --- answers as text, to look at ------------------------------------------------------------------------------------

inline std::string to_string(const Multiclass& answer) {
  return std::to_string(answer.label) + " (" + detail::percent(answer.probability) + ")";
}

inline std::string to_string(const Binary& answer) {
  return (answer.yes ? "yes (" : "no (") + detail::percent(answer.probability) + ")";
}

template <std::size_t kClasses>
std::string to_string(const Multilabel<kClasses>& answer) {
  std::string text;
  for (std::size_t i = 0; i < kClasses; ++i)
    if (answer.yes[i])
      text += (text.empty() ? "" : " + ") + std::to_string(i) + " (" + detail::percent(answer.probabilities[i]) + ")";
  return text.empty() ? "none" : text;
}

template <std::size_t kClasses>
std::string to_string(const Ordinal<kClasses>& answer) {
  return "rank " + std::to_string(answer.rank) + " of 0 to " + std::to_string(kClasses - 1);
}

inline std::string to_string(const Regression& answer) {
  return detail::printed("%.4g", static_cast<double>(answer.value));
}

/// The three most frequent classes.
template <class Label>
std::string to_string(const Segmentation<Label>& answer) {
  std::map<Label, std::size_t> counts;
  for (const Label label : answer.labels) ++counts[label];
  std::string text;
  for (int shown = 0; shown < 3 && !counts.empty(); ++shown) {
    auto most = counts.begin();
    for (auto it = counts.begin(); it != counts.end(); ++it)
      if (it->second >= most->second) most = it;
    const double share = static_cast<double>(most->second) / static_cast<double>(answer.labels.size());
    text += (shown ? " + " : "") + std::to_string(most->first) + " (" + detail::percent(share) + " of pixels)";
    counts.erase(most);
  }
  return text;
}

inline std::string to_string(const DenseRegression& answer) {
  float least = answer.values.empty() ? 0 : answer.values[0], most = least;
  for (const float value : answer.values) {
    if (std::isnan(value)) return "nan to nan";
    least = value < least ? value : least;
    most = value > most ? value : most;
  }
  return detail::printed("%.4g", static_cast<double>(least)) + " to " + detail::printed("%.4g", static_cast<double>(most));
}

}  // namespace mtl_edge

#endif  // MTL_EDGE_ANSWERS_HPP
