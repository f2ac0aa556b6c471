//===- ExplainText.h - the words of explanations --------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_EXPLAINTEXT_H
#define SEQMIX_COMPILER_STRUCTURE_EXPLAINTEXT_H

#include "compiler/structure/Explain.h"
#include "compiler/structure/Range.h"

#include <string_view>

namespace seqmix {

/// What the parts of an explanation share: the mixer's equations, what is known of their ranges,
/// and how things are printed.
class ExplainText {
public:
  ExplainText(mlir::seq::MixerOp mixer, llvm::raw_ostream &os, const ExplainOptions &options);

  /// One line with its label in front.
  void line(llvm::StringRef label, const std::string &text);
  /// An expression with the compiler's own definitions in place of their names.
  std::string show(mlir::seq::Expr e);
  mlir::seq::Expr inlineMade(mlir::seq::Expr e);
  /// The left side of an equation; a state's without the token.
  std::string leftText(const mlir::seq::Equation &equation, bool isState);
  /// `64 x 32`.
  std::string sizes(mlir::ArrayAttr dims);
  static const char *words(mlir::seq::Direction direction);

  /// What is known about the size of an exponent.
  std::string exponentFact(mlir::seq::Expr e);
  /// The arguments of the exponentials in an expression, definitions inlined.
  void collectExponents(mlir::seq::Expr e, llvm::SmallVectorImpl<mlir::seq::Expr> &exponents);
  /// The line about those exponents of which none has said anything yet, and why they are bounded.
  void explainExponents(llvm::ArrayRef<mlir::seq::Expr> exponents);

  mlir::seq::MixerOp mixer;
  Model model;
  mlir::seq::ExprContext &context;
  Ranges ranges;
  llvm::raw_ostream &os;
  ExplainOptions options;
  llvm::DenseSet<mlir::StringAttr> inLoops;  // members of recurrences
  llvm::DenseSet<mlir::seq::Expr> explained; // exponents that a line has told of
};

/// `1 token`, `2 tokens`.
std::string countText(int64_t count, const char *what);

inline std::string_view view(mlir::StringAttr name) { return name.getValue(); }

/// The part about sums over positions: those that became states, and why others did not.
void explainSums(ExplainText &text);
/// The part about a state with a canonical affine recurrence.
void explainAffine(ExplainText &text, mlir::seq::StateOp state, mlir::seq::AffineOp op);
/// The part about reductions over pairs of positions.
void explainPairs(ExplainText &text, mlir::seq::PairsOp op);
/// The part about a sum whose weights depend on the distance.
void explainConvolution(ExplainText &text, mlir::seq::ConvolutionOp op);
/// The part about a group of states that runs token by token.
void explainGroup(ExplainText &text, mlir::seq::RecurrenceOp group);

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_EXPLAINTEXT_H
