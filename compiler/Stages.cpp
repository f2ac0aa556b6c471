//===- Stages.cpp - the list of stages ------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Pipeline.h"

#include <fmt/format.h>

namespace seqmix {

llvm::ArrayRef<StageInfo> stages() {
  static constexpr StageInfo list[] = {
      {Stage::Ast, "ast", "the equations as parsed: names, indices, kinds and sizes resolved"},
      {Stage::Seq, "seq",
       "the seq dialect: one op an equation; what the reference interpreter runs"},
      {Stage::Structure, "structure", "canonical recurrences with their factors"},
      {Stage::Chunk, "chunk",
       "the schedule of a task: buffers, passes and steps, chunk length and lanes"},
      {Stage::Tiles, "tiles", "kernels on vectors and scratch memory"},
      {Stage::Cpu, "cpu", "the llvm dialect, elementary functions expanded"},
      {Stage::Library, "library", "object, shared library, C header and manifest"},
  };
  return list;
}

std::optional<Stage> stageNamed(llvm::StringRef name) {
  for (const StageInfo &info : stages())
    if (info.name == name)
      return info.stage;
  return std::nullopt;
}

void StageTimes::print(llvm::raw_ostream &os) const {
  double total = 0;
  for (const StageInfo &info : stages()) {
    double milliseconds = spent[static_cast<size_t>(info.stage)];
    total += milliseconds;
    os << fmt::format("{:<10} {:9.1f} ms\n", std::string_view(info.name), milliseconds);
  }
  os << fmt::format("{:<10} {:9.1f} ms\n", "total", total);
}

} // namespace seqmix
