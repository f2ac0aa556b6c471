//===- Session.h - compiling for a trial --------------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_SESSION_H
#define SEQMIX_TOOLS_SEQRUN_SESSION_H

#include "compiler/Pipeline.h"
#include "tools/seq-run/Caller.h"
#include "tools/seq-run/Trial.h"

#include "llvm/Support/JSON.h"

namespace seqmix::run {

/// A folder of its own for libraries, removed at the end.
class TemporaryDirectory {
public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory &) = delete;
  TemporaryDirectory &operator=(const TemporaryDirectory &) = delete;
  std::string file(const std::string &name) const { return path + "/" + name; }

private:
  std::string path;
};

/// Reads files, standard input for "-".
llvm::Expected<std::vector<SourceFile>> readSources(llvm::ArrayRef<std::string> names);

/// Compiles sources at one choice of sizes and loads the library. The error holds the compiler's
/// messages.
llvm::Expected<std::shared_ptr<LoadedLibrary>> compileAndLoad(llvm::ArrayRef<SourceFile> sources,
                                                              const Options &options,
                                                              const std::string &libraryPath);

/// A source imported to the seq stage; keeps its context.
struct Imported {
  std::unique_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> module;

  /// Null where the file has no such mixer.
  mlir::seq::MixerOp find(llvm::StringRef mixer);
};
llvm::Expected<Imported> importForTrial(const SourceFile &source, const Overrides &sizes,
                                        ast::DType dtype, Sums sums = Sums::Linear,
                                        Target target = Target::Cpu);

/// The equations as written, where the import has made states of sums over tokens.
llvm::Expected<std::optional<Imported>> importAsWritten(Imported &imported,
                                                        const SourceFile &source,
                                                        const Overrides &sizes, ast::DType dtype);

/// A number as JSON: infinities and NaN, which JSON lacks, as text.
llvm::json::Value jsonNumber(double value);
/// The other way round.
double numberOf(const llvm::json::Value *value);

llvm::json::Object toJson(const Outcome &outcome);
Outcome outcomeFrom(const llvm::json::Object &object);

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_SESSION_H
