//===- Workspace.h - memory for calls, watched for writes behind it ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_WORKSPACE_H
#define SEQMIX_TOOLS_SEQRUN_WORKSPACE_H

#include <algorithm>
#include <cstdlib>

namespace seqmix::run {

/// Memory of a size, aligned as a workspace must be, followed by bytes that must stay.
class Workspace {
public:
  explicit Workspace(size_t bytes) : bytes(bytes) {
    size_t rounded = (bytes + guard + 63) / 64 * 64;
    data = static_cast<char *>(std::aligned_alloc(64, rounded));
    std::fill_n(data, rounded, static_cast<char>(0xff));
  }
  ~Workspace() { std::free(data); }
  Workspace(const Workspace &) = delete;
  Workspace &operator=(const Workspace &) = delete;
  void *get() { return data; }
  bool isIntact() const {
    return std::all_of(data + bytes, data + bytes + guard,
                       [](char byte) { return byte == static_cast<char>(0xff); });
  }

private:
  static constexpr size_t guard = 4096;
  size_t bytes;
  char *data;
};

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_WORKSPACE_H
