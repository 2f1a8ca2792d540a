// What the tests ask of C++ kits: `probe KIT FOLDER COMMAND …`; the answer is text on standard output.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <new>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "adult/model.hpp"
#include "every-kind/model.hpp"
#include "fashion-scenes/model.hpp"
#include "in-graph/model.hpp"
#include "mnist-pairs/model.hpp"
#include "mtl_edge/throwing.hpp"
#include "reviews/model.hpp"
#include "rows-in-graph/model.hpp"
#include "several/model.hpp"

namespace {

std::size_t allocations = 0;
bool in_runtime = false;

void* counted(std::size_t size) {
  allocations += !in_runtime;
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using mtl_edge::or_throw;

template <class Values>
void show(const char* field, const Values& values) {
  std::printf(" %s", field);
  for (const auto value : values) std::printf(" %.17g", static_cast<double>(value));
}

using Numbers = std::vector<double>;

void show(const mtl_edge::Multiclass& a) { show("label", Numbers{double(a.label)}), show("probability", Numbers{a.probability}); }
void show(const mtl_edge::Binary& a) { show("yes", Numbers{double(a.yes)}), show("probability", Numbers{a.probability}); }
template <std::size_t kClasses>
void show(const mtl_edge::Multilabel<kClasses>& a) {
  show("yes", a.yes), show("probabilities", a.probabilities);
}
template <std::size_t kClasses>
void show(const mtl_edge::Ordinal<kClasses>& a) {
  show("rank", Numbers{double(a.rank)}), show("above", a.above);
}
void show(const mtl_edge::Regression& a) { show("value", Numbers{double(a.value)}); }
template <class Label>
void show(const mtl_edge::Segmentation<Label>& a) {
  show("bytes", Numbers{sizeof(Label)}), show("size", Numbers{double(a.height), double(a.width)}), show("labels", a.labels);
}
void show(const mtl_edge::DenseRegression& a) {
  show("size", Numbers{double(a.height), double(a.width)}), show("values", a.values);
}

template <class Answers>
void show_all(const std::vector<Answers>& all) {
  for (const auto& answers : all) {
    for_each(answers, [](const char* task, const auto& answer) {
      std::printf("%s", task);
      show(answer);
      std::printf("\n");
    });
  }
}

template <class Value>
std::vector<Value> read(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(stream), {}};
  std::vector<Value> values(content.size() / sizeof(Value));
  std::memcpy(values.data(), content.data(), values.size() * sizeof(Value));
  return values;
}

template <class Value>
void write(std::ofstream& stream, const Value* values, std::size_t count) {
  stream.write(reinterpret_cast<const char*>(values), static_cast<std::streamsize>(count * sizeof(Value)));
}

/// Answers to raw samples as text; the network's input and all outputs, one after the other, into a file.
template <class Spec>
void run(const mtl_edge::Model<Spec>& model, const std::string& samples, const std::string& out) {
  const auto raw = read<typename Spec::Raw>(samples);
  auto shape = Spec::kGoldens[0].inputs[0].shape;
  shape[0] = static_cast<std::int64_t>(raw.size() / mtl_edge::detail::count(shape));
  auto batch = or_throw(model.batch(shape));
  const auto answers = or_throw(batch.run(raw));
  show_all(std::vector<typename Spec::Answers>(answers.begin(), answers.end()));
  if (Spec::kShape[1] > 0) or_throw(model.predict(raw));
  std::ofstream stream(out, std::ios::binary);
  write(stream, batch.input().data(), batch.input().size());
  for (std::size_t at = 0; at < batch.kOutputs; ++at)
    write(stream, batch.output(at).data, mtl_edge::detail::count(batch.output(at).shape));
}

decltype(OrtApi::Run) original_run = nullptr;

/// How often operator new is called in a hundred runs, other than by the runtime.
template <class Spec>
void count_allocations(const std::string& folder) {
  const auto session = or_throw(mtl_edge::detail::open_session(folder + "/model.onnx", Spec::kSha256, {}));
  OrtApi api = session->api();
  original_run = api.Run;
  api.Run = [](auto... arguments) noexcept {
    in_runtime = true;
    OrtStatus* const status = original_run(arguments...);
    in_runtime = false;
    return status;
  };
  const_cast<mtl_edge::detail::Session&>(*session).runtime.api = &api;
  auto shape = Spec::kGoldens[0].inputs[0].shape;
  shape[0] = 2;
  auto batch = or_throw(mtl_edge::Batch<Spec>::make(session, shape));
  const std::vector<typename Spec::Raw> raw(batch.input().size());
  or_throw(batch.run(raw));
  const std::size_t before = allocations;
  for (int time = 0; time < 100; ++time) (void)batch.run(raw);
  std::printf("%zu\n", allocations - before);
}

template <class T>
void print_error(const mtl_edge::Result<T>& result) {
  std::printf("%s\n", result ? "no error" : result.error().message().c_str());
}

/// What is said of samples that the model does not read.
template <class Spec>
void misuse(const mtl_edge::Model<Spec>& model, const std::string& folder) {
  auto shape = Spec::kShape;
  shape[0] = 1;
  const std::size_t values = mtl_edge::detail::count(shape);
  const std::vector<typename Spec::Raw> short_of_one(values - 1);
  print_error(model.predict(short_of_one));
  auto batch = or_throw(model.batch(1));
  print_error(batch.run(short_of_one));
  shape[1] += 1;
  print_error(model.batch(shape));
  print_error(model.batch(0));
  print_error(model.batch(static_cast<std::size_t>(-1) / 4));
  std::printf("%zu\n", or_throw(model.predict(std::vector<typename Spec::Raw>())).size());
  mtl_edge::Options options;
  options.threads = -1;
  print_error(mtl_edge::Model<Spec>::load(folder + "/model.onnx", options));
}

/// Encoded samples from lines of standard input: texts, or `age|workclass` of the census.
template <class Spec>
void encode() {
  std::array<typename Spec::Raw, 4096> raw{};
  std::string line;
  for (std::size_t index = 0; std::getline(std::cin, line); ++index) {
    std::size_t count = static_cast<std::size_t>(Spec::kShape[1]);
    mtl_edge::Result<void> done;
    if constexpr (std::is_same_v<Spec, adult::Spec>) {
      adult::Row row;
      const std::string age = line.substr(0, line.find('|')), work = line.substr(line.find('|') + 1);
      if (!age.empty()) row.age = std::strtof(age.c_str(), nullptr);
      if (!work.empty()) row.workclass = work;
      done = Spec::encode(row, index, raw.data());
      count = 2;
    } else {
      done = Spec::encode(line, index, raw.data());
    }
    if (!done) {
      print_error(done);
      continue;
    }
    for (std::size_t at = 0; at < count; ++at) std::printf("%.9g ", static_cast<double>(raw[at]));
    std::printf("\n");
  }
}

/// Answers for rows, `age|workclass` in each line of standard input; then what is said of texts too few.
template <class Spec>
void predict_rows(const mtl_edge::Model<Spec>& model) {
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) lines.push_back(line);
  std::vector<typename Spec::Sample> rows(lines.size());
  for (std::size_t at = 0; at < lines.size(); ++at) {
    const std::size_t bar = lines[at].find('|');
    if (bar > 0) rows[at].age = std::strtof(lines[at].c_str(), nullptr);
    rows[at].workclass = std::string_view(lines[at]).substr(bar + 1);
  }
  const auto answers = model.predict(rows);
  if (!answers) return print_error(answers);
  show_all(*answers);
  auto batch = or_throw(model.batch(rows.size()));
  print_error(batch.prepare_texts(std::vector<std::string_view>(1)));
}

/// Answers for two samples of three inputs; then what is said of others.
void predict_several(const several::Model& model) {
  std::vector<std::uint8_t> image(2 * 9);
  for (std::size_t at = 0; at < image.size(); ++at) image[at] = static_cast<std::uint8_t>(7 * at);
  std::vector<several::The_rowRow> rows(2);
  rows[0].age = 41.5f, rows[0].the_city = "Bern", rows[1].age = -3, rows[1].class_ = "2";
  const std::vector<std::string_view> notes{"my parcel ISN'T here", ""};
  show_all(or_throw(model.predict(image, rows, notes)));
  auto batch = or_throw(model.batch(2));
  const auto again = or_throw(batch.run(image, rows, notes));
  show_all(std::vector<several::Answers>(again.begin(), again.end()));
  std::printf("%zu\n", or_throw(model.predict(std::vector<std::uint8_t>(), mtl_edge::View<several::The_rowRow>(),
                                              mtl_edge::View<std::string_view>())).size());
  print_error(model.predict(image, rows, mtl_edge::View<std::string_view>(notes.data(), 1)));
  print_error(model.predict(mtl_edge::View<std::uint8_t>(image.data(), 17), rows, notes));
  print_error(batch.run(image, mtl_edge::View<several::The_rowRow>(rows.data(), 1), notes));
  print_error(model.batch({{1, 1, 3, 3}}, {{1, 4}}, {{1, 4}}));
  print_error(model.batch({{1, 1, 3, 3}}, {{2, 3}}, {{1, 4}}));
}

template <class Spec>
constexpr bool kAlone = std::tuple_size_v<typename Spec::Inputs> == 1;

template <class Spec>
int probe(const std::vector<std::string>& words) {
  const std::string &folder = words[1], &command = words[2];
  if constexpr (kAlone<Spec>)
    if constexpr (Spec::kEncodes && Spec::kTexts.columns == 0)
      if (command == "encode") return encode<Spec>(), 0;
  mtl_edge::Options options;
  options.threads = command == "threads" ? 2 : 1;
  options.spin = options.arena = command != "threads";
  const auto model = or_throw(mtl_edge::Model<Spec>::load(folder + "/model.onnx", options));
  if (command == "check" || command == "threads") {
    const std::size_t cases = or_throw(model.self_check(folder + "/goldens", std::stod(words[3])));
    std::printf("%zu golden vectors, ONNX Runtime %s\n", cases, model.runtime_version().c_str());
  }
  if constexpr (!kAlone<Spec>) {
    if (command == "predict") predict_several(model);
  } else if constexpr (Spec::kTexts.columns == 0) {
    if (command == "run") run(model, words[3], words[4]);
    if (command == "allocations") count_allocations<Spec>(folder);
    if (command == "misuse") misuse(model, folder);
  } else if (command == "predict") {
    predict_rows(model);
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> words(arguments + 1, arguments + count);
  try {
    if (words[0] == "sha256") {
      mtl_edge::Sha256 hash;
      for (char letter; std::cin.get(letter);) hash.update(&letter, 1);
      std::puts(hash.digits().c_str());
      return 0;
    }
    if (words[0] == "adult") return probe<adult::Spec>(words);
    if (words[0] == "every-kind") return probe<class_::Spec>(words);
    if (words[0] == "fashion-scenes") return probe<fashion_scenes::Spec>(words);
    if (words[0] == "in-graph") return probe<in_graph::Spec>(words);
    if (words[0] == "mnist-pairs") return probe<mnist_pairs::Spec>(words);
    if (words[0] == "rows-in-graph") return probe<rows_in_graph::Spec>(words);
    if (words[0] == "several") return probe<several::Spec>(words);
    return probe<reviews::Spec>(words);
  } catch (const mtl_edge::Failure& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
  }
}
