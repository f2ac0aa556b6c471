//===- ExprImport.h - from expressions to values --------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_SEQ_EXPRIMPORT_H
#define SEQMIX_COMPILER_SEQ_EXPRIMPORT_H

#include "compiler/parse/Ast.h"
#include "dialect/Seq.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/DenseMap.h"

namespace seqmix {

/// The location of a range of the source.
mlir::Location locationOf(const SourceFile &source, SourceRange range, mlir::MLIRContext *context);

/// The places of a declaration in the order of the dialect: run-time dims come first, as they do in
/// an input's buffer. Those of a param keep their order. Gives the number of each place.
llvm::SmallVector<unsigned> dimOrder(const ast::Decl *decl);

/// Builds the values of expressions. `builder` says where; indices are looked up among those bound.
class ExprImporter {
public:
  ExprImporter(const SourceFile &source, mlir::OpBuilder &builder)
      : source(source), builder(builder) {}

  /// The value of an expression: f64, index or i1 by its type.
  mlir::Value value(const ast::Expr *expr);
  /// The value of a number as f64.
  mlir::Value real(const ast::Expr *expr);

  /// Fills an empty region with one block: `arguments` are bound to its arguments, `body` makes the
  /// value that it yields.
  void fillRegion(mlir::Region &region, llvm::ArrayRef<const ast::Index *> arguments,
                  mlir::Location loc, llvm::function_ref<mlir::Value()> body);
  /// The conjunction of conditions as the value of a region with those arguments. Leaves the region
  /// empty when there is no condition.
  void fillDomain(mlir::Region &region, llvm::ArrayRef<const ast::Index *> arguments,
                  llvm::ArrayRef<ast::Expr *> conditions);

private:
  mlir::Location loc(const ast::Expr *expr);
  mlir::Value number(const ast::Number &number, ast::Type type, mlir::Location loc);
  mlir::Value reference(const ast::RefExpr *expr);
  mlir::Value unary(const ast::UnaryExpr *expr);
  mlir::Value binary(const ast::BinaryExpr *expr);
  mlir::Value comparison(const ast::BinaryExpr *expr);
  mlir::Value conditional(const ast::CondExpr *expr);
  mlir::Value call(const ast::CallExpr *expr);
  /// Reductions and maps compute in real numbers, also where they give integers.
  mlir::Value reduction(const ast::ReduceExpr *expr);
  mlir::Value map(const ast::MapExpr *expr);
  mlir::Value reductionOrMap(const ast::Expr *expr);
  mlir::Value read(const ast::RefExpr *expr);
  mlir::AffineExpr affine(const ast::Expr *expr, llvm::SmallVectorImpl<mlir::Value> &operands);
  /// `expr` as f64 where `type` is Real, its own value otherwise.
  mlir::Value as(ast::Type type, const ast::Expr *expr);

  const SourceFile &source;
  mlir::OpBuilder &builder;
  llvm::DenseMap<const ast::Index *, mlir::Value> bound;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_SEQ_EXPRIMPORT_H
