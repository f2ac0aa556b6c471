//===- Report.cpp - what the emulator found ----------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Report.h"

#include "llvm/Support/raw_ostream.h"

namespace seqmix::gpu {
namespace {

void printPlace(llvm::raw_ostream &os, Dim3 place) {
  os << '(' << place.x << ", " << place.y << ", " << place.z << ')';
}

const char *nameOf(ReportKind kind) {
  switch (kind) {
  case ReportKind::Race:
    return "race";
  case ReportKind::UnfinishedCopy:
    return "unfinished copy";
  case ReportKind::OutOfBounds:
    return "out of bounds";
  case ReportKind::Misaligned:
    return "misaligned";
  case ReportKind::Uninitialised:
    return "uninitialised";
  case ReportKind::ReadOnly:
    return "read-only";
  case ReportKind::Divergence:
    return "divergence";
  case ReportKind::Deadlock:
    return "deadlock";
  case ReportKind::Undefined:
    return "undefined";
  case ReportKind::Limit:
    return "limit";
  }
  return "";
}

} // namespace

std::string Report::text() const {
  std::string result;
  llvm::raw_string_ostream os(result);
  os << site.location << ": " << nameOf(kind) << ": " << message << " [block ";
  printPlace(os, block);
  os << ", instruction " << site.instruction << ", thread ";
  printPlace(os, site.thread);
  if (other) {
    os << "; thread ";
    printPlace(os, other->thread);
    os << " at " << other->location << ", instruction " << other->instruction;
  }
  os << ']';
  if (count > 1)
    os << " (" << count << " times)";
  return result;
}

void ReportLog::add(Report report) {
  const uint32_t other = report.other ? report.other->instruction : ~0U;
  auto [entry, isNew] =
      known.try_emplace({report.kind, report.site.instruction, other}, reports.size());
  if (isNew)
    reports.push_back(std::move(report));
  else
    reports[entry->second].count += 1;
}

} // namespace seqmix::gpu
