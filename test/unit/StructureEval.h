//===- StructureEval.h - runs the structure stage in float64 --------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TEST_UNIT_STRUCTUREEVAL_H
#define SEQMIX_TEST_UNIT_STRUCTUREEVAL_H

#include "compiler/reference/Buffers.h"
#include "compiler/structure/Model.h"

namespace seqmix::test {

/// Values of a mixer at the structure stage for one sequence, taken from its equations and from
/// what seq.affine says, each element when it is asked for; of the first batch element.
class StructureEvaluator {
public:
  StructureEvaluator(mlir::seq::MixerOp mixer, const reference::Arrays &inputs, int64_t tokens);

  /// The element of any symbol; a state's first subscript is the token.
  double value(mlir::StringAttr name, const std::vector<int64_t> &at);
  /// An output or the final value of a state, shaped like the interpreter's.
  reference::Array output(llvm::StringRef name);
  reference::Array finalState(llvm::StringRef name);

private:
  using Environment = std::map<mlir::seq::Var, int64_t>;
  double eval(mlir::seq::Expr e, Environment &env);
  double reduce(mlir::seq::Expr e, Environment &env);
  double compute(mlir::StringAttr name, const std::vector<int64_t> &at);
  double affineState(mlir::seq::AffineOp op, mlir::StringAttr state,
                     const std::vector<int64_t> &at);
  double rowRead(mlir::seq::AffineOp op, int64_t number, const std::vector<int64_t> &at);
  double convolve(mlir::seq::ConvolutionOp op, const std::vector<int64_t> &at);
  double pairResult(mlir::seq::PairsOp op, int64_t number, std::vector<int64_t> at);
  const mlir::seq::Equation &part(mlir::seq::PairsOp op, int64_t number);
  double factor(mlir::FlatSymbolRefAttr symbol, mlir::seq::AffineOp op,
                llvm::ArrayRef<int64_t> over, int64_t token, const std::vector<int64_t> &at);
  int64_t extent(mlir::StringAttr dim);

  Model model;
  const reference::Arrays &inputs;
  int64_t tokens;
  std::map<std::string, std::vector<reference::Axis>> axes;
  std::map<std::pair<std::string, std::vector<int64_t>>, double> known;
  std::map<mlir::seq::Expr, mlir::seq::OpenedExpr> opened;
  std::map<std::pair<mlir::Operation *, int64_t>, mlir::seq::Equation> parts;
  double exponential = 1; // of the pair that a weight is asked for
};

} // namespace seqmix::test

#endif // SEQMIX_TEST_UNIT_STRUCTUREEVAL_H
