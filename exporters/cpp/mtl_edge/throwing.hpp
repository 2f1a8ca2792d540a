// Exceptions, for those who want them: `auto model = or_throw(kit::Model::load("model.onnx"));`
#ifndef MTL_EDGE_THROWING_HPP
#define MTL_EDGE_THROWING_HPP

#include <stdexcept>
#include <utility>

#include "result.hpp"

namespace mtl_edge {

/// An Error as an exception.
class Failure : public std::runtime_error {
 public:
  explicit Failure(Error error) : std::runtime_error(error.message()), error_(std::move(error)) {}

  const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

/// The value; throws a Failure where there is none.
template <class T>
T or_throw(Result<T> result) {
  if (!result) throw Failure(result.error());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

}  // namespace mtl_edge

#endif  // MTL_EDGE_THROWING_HPP
