//===- Options.h - the only place where an option of the compiler exists -*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_OPTIONS_H
#define SEQMIX_COMPILER_OPTIONS_H

#include "compiler/parse/Parse.h"

#include "llvm/Support/Error.h"

#include <optional>
#include <string>
#include <vector>

namespace seqmix {

/// How recurrences are computed; `Auto` lets the cost model choose.
enum class Form { Auto, Block, Sequential };

/// What libraries run on.
enum class Target { Cpu, Cuda };

/// What a compilation is asked for. The command line fills it through `registerOptions`; programs
/// fill it directly.
struct Options {
  /// Sizes of dims and values of consts; several entries compile several sizes into one library.
  std::vector<Overrides> sizes = {Overrides()};
  ast::DType dtype = ast::DType::F32;
  /// native, x86-64-v2, x86-64-v3, x86-64-v4, or portable for all of these in one library.
  std::string cpu = "native";
  Target target = Target::Cpu;
  std::vector<std::string> chips = {"sm_90a", "sm_80"}; ///< of Target::Cuda, the best first
  int64_t chunk = 0; ///< tokens of a chunk; 0: chosen by the cost model
  Form form = Form::Auto;
  bool staticRuntime = false;
  std::string runtimeDirectory; ///< where libseqmix_rt is; empty: beside the compiler
  unsigned optimisation = 3;
};

/// Reads `-D` definitions and `--sizes` lists into `Options::sizes`.
/// `definitions`: "K=128" each; `sizes`: "K=64,V=64" each. Fails with what is wrong with the text.
llvm::Error readSizes(const std::vector<std::string> &definitions,
                      const std::vector<std::string> &sizes, Options &options);

/// Reads a `--dtype` value: f64, f32, bf16, f16.
std::optional<ast::DType> dtypeNamed(llvm::StringRef name);
llvm::StringRef nameOf(ast::DType dtype);

} // namespace seqmix

#endif // SEQMIX_COMPILER_OPTIONS_H
