//===- Commands.h - the commands of seq-run -----------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_COMMANDS_H
#define SEQMIX_TOOLS_SEQRUN_COMMANDS_H

#include "compiler/Options.h"

#include <cstdint>
#include <string>
#include <vector>

namespace seqmix::run {

struct CheckOptions {
  std::vector<std::string> files;
  Options compile;                 ///< sizes and dtype are the cases'
  std::optional<ast::DType> dtype; ///< in place of the cases'
  std::string filter;              ///< part of "mixer case ..."; empty: all
  bool json = false;
  bool oracleOnly = false; ///< stop after the oracle: are the cases themselves sound?
  unsigned jobs = 1;
  double secondsEach = 300; ///< a file
};
/// Runs every case of the files and prints a table. The exit status.
int runCheck(const CheckOptions &options);

struct ReferenceOptions {
  std::string file;
  std::string mixer; ///< empty: the file has one
  Overrides sizes;
  ast::DType dtype = ast::DType::F32;
  std::string inputs, outputs; ///< folders of .npy files
  std::vector<int64_t> cuSeqlens;
  bool asWritten = false; ///< no sum over tokens becomes a state
};
/// Runs the oracle on arrays in files: NAME.npy for each input and param, carry.NAME.npy for what
/// there is of the carry; writes outputs and the final carry under the same names. The exit status.
int runReference(const ReferenceOptions &options);

struct RecordOptions {
  std::vector<std::string> files;
  std::optional<ast::DType> dtype; ///< in place of the cases'
  std::string outputs;             ///< a folder
};
/// Writes a folder for every case of the files: case.json (sizes and types), and inputs, carry and
/// the oracle's results as .npy files, named as for runReference. The exit status.
int runRecord(const RecordOptions &options);

struct RandomOptions {
  Options compile;
  uint64_t count = 300, seed = 1;
  std::optional<uint64_t> only; ///< one mixer of the seed
  bool keepGoing = false, shrink = false, printOnly = false, oracleOnly = false;
  bool json = false;
  std::optional<ast::DType> dtype; ///< else half of them f64, half f32
  unsigned jobs = 1, batch = 4;
  double secondsEach = 120; ///< a batch
};
/// Tries random mixers. The exit status.
int runRandom(const RandomOptions &options);

struct BenchOptions {
  std::vector<std::string> files;
  Options compile;
  std::string filter;
  std::vector<int64_t> threads = {1};
  std::map<std::string, int64_t> extents; ///< of batch and run-time dims
  int64_t repetitions = 0;                ///< 0: as many as fit in half a second
  bool steps = false, json = false;
};
/// Measures forward (or step) and prints a table. The exit status.
int runBench(const BenchOptions &options);

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_COMMANDS_H
