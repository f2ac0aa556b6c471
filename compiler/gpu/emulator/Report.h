//===- Report.h - what the emulator found -------------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_EMULATOR_REPORT_H
#define SEQMIX_COMPILER_GPU_EMULATOR_REPORT_H

#include "compiler/gpu/emulator/Types.h"

#include "mlir/IR/Location.h"

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace seqmix::gpu {

enum class ReportKind : uint8_t {
  Race,           // two accesses of a byte that nothing orders, one of them a write
  UnfinishedCopy, // an access of bytes that an asynchronous copy has not delivered
  OutOfBounds,
  Misaligned,
  Uninitialised,
  ReadOnly,   // a write to a buffer that the kernel may only read
  Divergence, // a thread does not come to an op that others execute together with it
  Deadlock,   // threads wait at a barrier that never completes
  Undefined,  // an operation without a defined result
  Limit,      // the kernel runs longer than the launch allows
};

/// One thread at one op. Ops of a kernel that a compiler made may share a location; the number of
/// the instruction in the program tells them apart.
struct Site {
  mlir::Location location;
  Dim3 thread;
  uint32_t instruction = 0;
};

struct Report {
  ReportKind kind;
  std::string message;
  Dim3 block;
  Site site;
  std::optional<Site> other;
  /// How often it happened at these ops; block and threads are those of the first time.
  uint64_t count = 1;

  std::string text() const;
};

/// Reports in the order in which they were first seen, one for each kind and pair of ops.
class ReportLog {
public:
  void add(Report report);
  const std::vector<Report> &all() const { return reports; }
  std::vector<Report> take() { return std::move(reports); }

private:
  std::vector<Report> reports;
  std::map<std::tuple<ReportKind, uint32_t, uint32_t>, size_t> known;
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_EMULATOR_REPORT_H
