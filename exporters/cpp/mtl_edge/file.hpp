// Files, and whether a model's file is the one that was exported.
#ifndef MTL_EDGE_FILE_HPP
#define MTL_EDGE_FILE_HPP

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "result.hpp"
#include "sha256.hpp"

namespace mtl_edge::detail {

/// A file's whole content.
inline Result<std::vector<char>> read_file(const std::filesystem::path& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return Error{path.string(), "cannot be read", error.message()};
  std::vector<char> content(static_cast<std::size_t>(size));
  std::ifstream stream(path, std::ios::binary);
  if (!stream.read(content.data(), static_cast<std::streamsize>(size)))
    return Error{path.string(), "cannot be read", "fewer bytes than it has"};
  return content;
}

/// The file must have this SHA-256. A model's file ends with it, and it is that of the file without its 64 digits.
inline Result<void> verify(const std::filesystem::path& path, View<char> content, std::string_view sha256) {
  constexpr std::size_t kDigits = 64, kBehind = 2;
  const std::string rule = "must be the file that was exported, with the SHA-256 " + std::string(sha256);
  if (content.size() < kDigits + kBehind) return Error{path.string(), rule, std::to_string(content.size()) + " bytes"};
  const char* const digits = content.end() - kDigits - kBehind;
  Sha256 hash;
  hash.update(content.data(), static_cast<std::size_t>(digits - content.data()));
  hash.update(digits + kDigits, kBehind);
  const std::string found = hash.digits();
  if (found != sha256) return Error{path.string(), rule, found};
  if (std::string_view(digits, kDigits) != sha256) return Error{path.string(), rule, "other digits at its end"};
  return {};
}

}  // namespace mtl_edge::detail

#endif  // MTL_EDGE_FILE_HPP
