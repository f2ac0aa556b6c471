//===- Npy.cpp ----------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Npy.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <optional>

using namespace llvm;
using seqmix::reference::Array;

namespace seqmix::run {

static constexpr StringLiteral magic("\x93NUMPY");

namespace {
/// The text of a header: `{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }`.
struct Header {
  StringRef text;

  /// What stands behind a key.
  StringRef behind(StringRef key) const {
    size_t at = text.find(("'" + key + "':").str());
    return at == StringRef::npos ? "" : text.drop_front(at + key.size() + 3).ltrim();
  }
  StringRef type() const {
    return behind("descr").drop_front().take_until([](char c) { return c == '\''; });
  }
  bool isFortran() const { return behind("fortran_order").starts_with("True"); }
  std::optional<std::vector<int64_t>> shape() const {
    StringRef inside = behind("shape");
    if (!inside.consume_front("("))
      return std::nullopt;
    SmallVector<StringRef> parts;
    inside.take_until([](char c) { return c == ')'; }).split(parts, ',', -1, /*KeepEmpty=*/false);
    std::vector<int64_t> extents;
    for (StringRef part : parts) {
      int64_t extent;
      if (part.trim().empty())
        continue;
      if (part.trim().getAsInteger(10, extent) || extent < 0)
        return std::nullopt;
      extents.push_back(extent);
    }
    return extents;
  }
};
} // namespace

/// Converts `count` elements of a type; false when there are more or fewer bytes than that.
template <typename T> static bool convert(StringRef bytes, std::vector<double> &values) {
  if (bytes.size() != values.size() * sizeof(T))
    return false;
  const char *next = bytes.data();
  for (double &value : values) {
    T element;
    std::memcpy(&element, next, sizeof(T));
    value = static_cast<double>(element);
    next += sizeof(T);
  }
  return true;
}

Expected<Array> readNpy(const std::string &path) {
  auto fail = [&](const std::string &what) {
    return createStringError(fmt::format("{}: {}", path, what));
  };
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return fail(buffer.getError().message());
  StringRef bytes = (*buffer)->getBuffer();
  if (!bytes.consume_front(magic) || bytes.size() < 6)
    return fail("is not a .npy file");
  // The length of the header has 2 bytes in version 1, and 4 since.
  size_t sizeBytes = bytes[0] == 1 ? 2 : 4;
  size_t headerSize = sizeBytes == 2 ? support::endian::read16le(bytes.data() + 2)
                                     : support::endian::read32le(bytes.data() + 2);
  if (bytes.size() < 2 + sizeBytes + headerSize)
    return fail("ends inside its header");
  Header header{bytes.substr(2 + sizeBytes, headerSize)};
  StringRef data = bytes.drop_front(2 + sizeBytes + headerSize);
  auto shape = header.shape();
  if (!shape)
    return fail("has no shape in its header");
  if (header.isFortran() && shape->size() > 1)
    return fail("has its first dim contiguous; the last one must be");
  Array array(*shape);
  StringRef type = header.type();
  bool fits = false;
  if (type == "<f8")
    fits = convert<double>(data, array.values);
  else if (type == "<f4")
    fits = convert<float>(data, array.values);
  else if (type == "<i8")
    fits = convert<int64_t>(data, array.values);
  else if (type == "<i4")
    fits = convert<int32_t>(data, array.values);
  else if (type == "|b1")
    fits = convert<uint8_t>(data, array.values);
  else
    return fail(fmt::format("has elements of type '{}'; expected <f8, <f4, <i8, <i4 or |b1",
                            std::string_view(type)));
  if (!fits)
    return fail(fmt::format("holds {} bytes, which shape ({}) does not need", data.size(),
                            fmt::join(*shape, ", ")));
  return array;
}

Error writeNpy(const std::string &path, const Array &array) {
  std::string header =
      fmt::format("{{'descr': '<f8', 'fortran_order': False, 'shape': ({}{}), }}",
                  fmt::join(array.shape, ", "), array.shape.size() == 1 ? "," : "");
  // Padded so that the data begin at a multiple of 64 bytes.
  size_t prefix = magic.size() + 4;
  header.append(63 - (prefix + header.size()) % 64, ' ');
  header += '\n';
  std::error_code code;
  raw_fd_ostream file(path, code);
  if (code)
    return createStringError(fmt::format("{}: {}", path, code.message()));
  char size[2];
  support::endian::write16le(size, static_cast<uint16_t>(header.size()));
  file << magic << '\1' << '\0' << StringRef(size, 2) << header;
  file.write(reinterpret_cast<const char *>(array.values.data()),
             array.values.size() * sizeof(double));
  file.close();
  return file.has_error() ? createStringError(fmt::format("cannot write {}", path))
                          : Error::success();
}

} // namespace seqmix::run
