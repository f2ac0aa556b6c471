//===- Workers.h - jobs in processes of their own -----------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_WORKERS_H
#define SEQMIX_TOOLS_SEQRUN_WORKERS_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/JSON.h"

#include <string>

namespace seqmix::run {

/// What a job reports while it runs: one JSON value at a time.
using Report = llvm::function_ref<void(llvm::json::Value)>;

/// How a job ended.
struct JobEnd {
  bool ok = true;
  std::string reason; ///< "killed by SIGSEGV", "took more than 60 s", "exited with status 1"
};

/// Runs jobs 0 .. count-1, each in a process of its own, `parallel` at a time, so that a crash of
/// the compiler or of what it compiled ends one job and is reported. `body` runs in the child;
/// `take` and `done` in the parent. No thread may have been started before. `done` returns false to
/// start no more jobs.
void runJobs(unsigned count, unsigned parallel, double secondsEach,
             llvm::function_ref<void(unsigned job, Report report)> body,
             llvm::function_ref<void(unsigned job, llvm::json::Value value)> take,
             llvm::function_ref<bool(unsigned job, const JobEnd &end)> done);

/// CPUs that this process may use.
unsigned availableCpus();

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_WORKERS_H
