// Verifies the kit's model on this device, and prints its answers.
//
//   example                     answers for the golden vectors
//   example samples.bin         for raw samples of your own: little-endian values, one sample after the other
//   example lines.txt           for texts, one in each line, where the model reads texts
//
// A model that reads rows which its graph encodes, or several things, is given them in code: see predict in README.md.
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "kit.hpp"

namespace {

int fail(const mtl_edge::Error& error) {
  std::cerr << "error: " << error.message() << "\n";
  return 1;
}

void print(std::size_t sample, const kit::Answers& answers) {
  std::string line;
  kit::for_each(answers, [&line](const char* task, const auto& answer) {
    line += (line.empty() ? "" : ", ") + std::string(task) + " " + to_string(answer);
  });
  std::cout << "sample " << sample << ": " << line << "\n";
}

/// Answers for the golden vectors.
int print_goldens(const kit::Model& model) {
  std::size_t sample = 0;
  for (const auto& golden : kit::Spec::kGoldens) {
    auto batch = model.batch(golden);
    if (!batch) return fail(batch.error());
    if (auto done = mtl_edge::prepare(*batch, golden, "goldens"); !done) return fail(done.error());
    if (auto done = batch->infer(); !done) return fail(done.error());
    for (const auto& answers : batch->decode()) print(sample++, answers);
  }
  return 0;
}

/// A batch at a time, so that files may be larger than memory.
template <class Spec, class In>
int print_samples(const mtl_edge::Model<Spec, std::tuple<In>>& model, const std::string& file) {
  if constexpr (In::kTexts.columns > 0) {
    return fail({file, "must be rows, which this example does not read: give them to predict as kit::Row", "a file"});
  } else {
    auto batch = model.batch(Spec::kGoldens[0]);  // sizes that the model leaves open are those of the first one
    if (!batch) return fail(batch.error());
    std::vector<typename In::Raw> raw(batch->input().size());
    std::size_t sample = 0;
    std::ifstream stream(file, std::ios::binary);
    const auto bytes = static_cast<std::streamsize>(raw.size() * sizeof raw[0]);
    while (stream.read(reinterpret_cast<char*>(raw.data()), bytes)) {
      const auto answers = batch->run(raw);
      if (!answers) return fail(answers.error());
      for (const auto& answer : *answers) print(sample++, answer);
    }
    if (!stream.eof() || stream.gcount() != 0)
      return fail({file, "must hold whole samples of " + std::to_string(bytes) + " bytes", "another size"});
    return 0;
  }
}

/// Each line is a text; a model of pixels or tables has no such samples.
template <class Spec, class In>
int print_texts(const mtl_edge::Model<Spec, std::tuple<In>>& model, const std::string& file) {
  if constexpr (std::is_same_v<typename mtl_edge::Samples<In>::Sample, std::string_view>) {
    auto batch = model.batch(1);
    if (!batch) return fail(batch.error());
    std::ifstream stream(file);
    std::string line;
    for (std::size_t sample = 0; std::getline(stream, line); ++sample) {
      const std::string_view text = line;
      const auto answers = batch->run(mtl_edge::View<std::string_view>(&text, 1));
      if (!answers) return fail(answers.error());
      print(sample, (*answers)[0]);
    }
    return 0;
  } else {
    return fail({file, "must be a file of raw samples: the model reads no texts", ".txt"});
  }
}

/// Of a model that reads several things, one file is not all.
template <class Spec, class... In>
int print_file(const mtl_edge::Model<Spec, std::tuple<In...>>& model, const std::string& file) {
  if constexpr (sizeof...(In) > 1) {
    return fail({file, "must be the samples of each input, which this example does not read: give them to predict", "a file"});
  } else {
    const bool texts = file.size() > 4 && file.substr(file.size() - 4) == ".txt";
    return texts ? print_texts(model, file) : print_samples(model, file);
  }
}

}  // namespace

int main(int count, char** arguments) {
  const auto model = kit::Model::load("model.onnx");
  if (!model) return fail(model.error());
  const auto checked = model->self_check("goldens");
  if (!checked) return fail(checked.error());
  std::printf("%s %s: %zu golden vectors agree on this device, ONNX Runtime %s\n", kit::Spec::kName, kit::Spec::kVariant,
              *checked, model->runtime_version().c_str());
  std::fflush(stdout);

  return count > 1 ? print_file(*model, arguments[1]) : print_goldens(*model);
}
