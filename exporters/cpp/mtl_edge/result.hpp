// A value or an error, and a view of an array: what C++17's library lacks.
#ifndef MTL_EDGE_RESULT_HPP
#define MTL_EDGE_RESULT_HPP

#include <cassert>
#include <cstddef>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace mtl_edge {

/// What went wrong: where, what must be so, and what was found instead.
struct Error {
  std::string place;
  std::string rule;
  std::string found;

  /// One line such as `input 'image': must hold 1296 values, found 1295`.
  std::string message() const { return place + ": " + rule + (found.empty() ? "" : ", found " + found); }
};

/// A value, or why there is none. Look at it as a bool before you take the value.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : content_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const noexcept { return content_.index() == 0; }

  T& operator*() & noexcept { return value(); }
  const T& operator*() const& noexcept { return value(); }
  T&& operator*() && noexcept { return std::move(value()); }
  T* operator->() noexcept { return &value(); }
  const T* operator->() const noexcept { return &value(); }
  const Error& error() const noexcept {
    assert(!*this);
    return *std::get_if<1>(&content_);
  }

 private:
  T& value() noexcept { return const_cast<T&>(std::as_const(*this).value()); }
  const T& value() const noexcept {
    assert(*this);
    return *std::get_if<0>(&content_);
  }

  std::variant<T, Error> content_;
};

/// Nothing, or why it could not be done.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  explicit operator bool() const noexcept { return !error_; }

  const Error& error() const noexcept {
    assert(!*this);
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

/// Values that lie one after the other in somebody else's memory, such as a std::vector's or a camera's buffer.
template <class T>
class View {
 public:
  constexpr View() = default;
  constexpr View(const T* data, std::size_t size) : data_(data), size_(size) {}

  /// Of a std::vector, std::array or the like, which must outlive the view.
  template <class Container, class = std::enable_if_t<std::is_convertible_v<
                                 decltype(std::declval<const Container&>().data()), const T*>>>
  constexpr View(const Container& container) : data_(container.data()), size_(container.size()) {}

  constexpr const T* data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr bool empty() const noexcept { return size_ == 0; }
  constexpr const T* begin() const noexcept { return data_; }
  constexpr const T* end() const noexcept { return data_ + size_; }
  constexpr const T& operator[](std::size_t place) const noexcept { return data_[place]; }

 private:
  const T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace mtl_edge

#endif  // MTL_EDGE_RESULT_HPP
