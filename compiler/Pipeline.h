//===- Pipeline.h - the stages and what runs between them ---------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_PIPELINE_H
#define SEQMIX_COMPILER_PIPELINE_H

#include "compiler/Options.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace seqmix {

/// The stages in order. Nothing else lists them: `--emit`, `--help` and the README use this.
enum class Stage { Ast, Seq, Structure, Chunk, Tiles, Cpu, Library };

struct StageInfo {
  Stage stage;
  llvm::StringLiteral name;
  llvm::StringLiteral description;
};
llvm::ArrayRef<StageInfo> stages();
std::optional<Stage> stageNamed(llvm::StringRef name);

/// Milliseconds spent by stage, for `--time`.
class StageTimes {
public:
  void add(Stage stage, double milliseconds) { spent[static_cast<size_t>(stage)] += milliseconds; }
  void print(llvm::raw_ostream &os) const;

private:
  double spent[static_cast<size_t>(Stage::Library) + 1] = {};
};

/// A context with every dialect that the stages use.
std::unique_ptr<mlir::MLIRContext> createContext();

/// How sums over tokens are imported: as states where they have low rank, or as the file has them.
enum class Sums { Linear, AsWritten };

/// A file parsed, checked and imported at one choice of sizes: one seq.mixer for each of its
/// mixers, carry recorded. Errors have gone to `errors` as text; then null.
mlir::OwningOpRef<mlir::ModuleOp> importSource(const SourceFile &source, const Overrides &sizes,
                                               ast::DType dtype, mlir::MLIRContext &context,
                                               llvm::raw_ostream &errors, Sums sums = Sums::Linear);

/// As `importSource` with linear sums. Sums that became recurrences which kernels for the target do
/// not take are as the file has them; steps then carry earlier tokens.
mlir::OwningOpRef<mlir::ModuleOp> importForTarget(const SourceFile &source, const Overrides &sizes,
                                                  const Options &options,
                                                  mlir::MLIRContext &context,
                                                  llvm::raw_ostream &errors);

/// Runs the structure stage on every mixer of a module. Located errors go to the context's
/// diagnostic handler.
mlir::LogicalResult runStructure(mlir::ModuleOp module, const Options &options);

/// What `compileSources` writes.
struct Outputs {
  std::string library;  ///< path of the shared library
  std::string header;   ///< path of the C header; empty: none
  std::string manifest; ///< path of the JSON manifest; empty: none (it is in the library too)
  llvm::raw_ostream *resources = nullptr; ///< takes a table of what kernels for GPUs take
};

/// Compiles files to one shared library; `sources` at every choice of `options.sizes`. Diagnostics
/// go to `errors` as text.
mlir::LogicalResult compileSources(llvm::ArrayRef<SourceFile> sources, const Options &options,
                                   const Outputs &outputs, llvm::raw_ostream &errors,
                                   StageTimes *times = nullptr);

/// Prints the IR of a stage (before Library) for every source and size.
mlir::LogicalResult emitStage(llvm::ArrayRef<SourceFile> sources, Stage stage,
                              const Options &options, llvm::raw_ostream &os,
                              llvm::raw_ostream &errors);

/// `seqc explain`: structure and schedule of every mixer in words.
mlir::LogicalResult explainSources(llvm::ArrayRef<SourceFile> sources, const Options &options,
                                   llvm::raw_ostream &os, llvm::raw_ostream &errors);

} // namespace seqmix

#endif // SEQMIX_COMPILER_PIPELINE_H
