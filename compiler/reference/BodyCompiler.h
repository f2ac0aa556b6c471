//===- BodyCompiler.h - from regions to closures --------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_REFERENCE_BODYCOMPILER_H
#define SEQMIX_COMPILER_REFERENCE_BODYCOMPILER_H

#include "compiler/reference/Program.h"

namespace seqmix::reference {

/// Turns the ops of equations into steps, one function an op. Each SSA value has a slot.
class BodyCompiler {
public:
  explicit BodyCompiler(Program &program) : program(program) {}

  /// The index space of an equation, a reduction or a map with its body and domain.
  Space space(llvm::ArrayRef<llvm::StringRef> dims, mlir::Region &body, mlir::Region &domain);

private:
  Body body(mlir::Region &region);
  Step step(mlir::Operation &op);
  Step extent(mlir::seq::ExtentOp op);
  Step read(mlir::seq::ReadOp op);
  Step unary(mlir::seq::UnaryOp op);
  Step binary(mlir::seq::BinaryOp op);
  Step compare(mlir::seq::CompareOp op);
  Step select(mlir::seq::SelectOp op);
  Step toReal(mlir::seq::ToRealOp op);
  Step reduce(mlir::seq::ReduceOp op);
  Step map(mlir::seq::MapOp op);
  void constant(mlir::seq::ConstantOp op);
  unsigned slot(mlir::Value value);

  Program &program;
  llvm::DenseMap<mlir::Value, unsigned> slots;
};

} // namespace seqmix::reference

#endif // SEQMIX_COMPILER_REFERENCE_BODYCOMPILER_H
