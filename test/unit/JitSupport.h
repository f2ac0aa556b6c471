//===- JitSupport.h - runs IR of the tile level inside a test ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Lowers a module of func, scf, affine, memref, vector, arith, math and index ops to LLVM and
// compiles it in memory. What a pass under test leaves of other dialects is an error, and so is a
// call of anything but memcpy, memmove and memset: code that would need libm does not link.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TEST_UNIT_JITSUPPORT_H
#define SEQMIX_TEST_UNIT_JITSUPPORT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/Error.h"
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace seqmix::test {

/// The instruction set to compile for: all that this machine has, AVX2 with FMA (x86-64-v3), or
/// SSE4.1.
enum class JitTarget { Host, Avx2, Sse41 };

struct JitOptions {
  JitTarget target = JitTarget::Host;
  /// Memrefs (of static shape and layout) become plain pointers; otherwise the descriptor's fields
  /// one by one.
  bool barePointers = true;
  /// Passes to run first, as text: "seq-expand-math,canonicalize".
  std::string passes;
  /// Functions that the code may call, next to memcpy, memmove and memset.
  std::vector<std::pair<std::string, void *>> symbols;
  /// Print the LLVM IR after optimisation to stderr.
  bool dump = false;
};

/// Compiled code; lives as long as its functions are called.
class JitModule {
public:
  /// Compiles a copy of `module`. Errors carry the diagnostics of the passes.
  static llvm::Expected<std::unique_ptr<JitModule>> compile(mlir::ModuleOp module,
                                                            const JitOptions &options = {});
  ~JitModule();

  /// The function of that name as the pointer type asked for: `jit->get<void(float *)>("f")`.
  /// Aborts if there is none.
  template <typename Fn> Fn *get(llvm::StringRef name) const {
    return reinterpret_cast<Fn *>(lookup(name));
  }

private:
  struct Impl;
  explicit JitModule(std::unique_ptr<Impl> impl);
  void *lookup(llvm::StringRef name) const;
  std::unique_ptr<Impl> impl;
};

/// A context with the upstream dialects, `seq`, and the translations to LLVM.
std::unique_ptr<mlir::MLIRContext> makeJitContext();

/// Parses and verifies `text`; aborts with the diagnostics if it is wrong, since the text is the
/// test's own.
mlir::OwningOpRef<mlir::ModuleOp> parseModule(mlir::MLIRContext &context, llvm::StringRef text);

/// Whether this machine runs the AVX-512 code of x86-64-v4.
bool hostHasAvx512();
/// Whether this machine runs x86-64-v3.
bool hostHasAvx2();

/// Flushes denormal results and operands to zero while it lives, as the runtime does around a
/// kernel.
class FlushDenormals {
public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals &) = delete;
  FlushDenormals &operator=(const FlushDenormals &) = delete;

private:
  unsigned saved;
};

} // namespace seqmix::test

#endif // SEQMIX_TEST_UNIT_JITSUPPORT_H
