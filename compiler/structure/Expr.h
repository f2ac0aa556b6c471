//===- Expr.h - scalar expressions as an immutable shared graph ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The algebra of the structure stage works on these nodes and not on regions: equal expressions are
// the same pointer, so classes of recurrences are found by comparing pointers.
//
// Index variables are objects. A reduction's own variables are never visible: they are numbered by
// the height of the reduction, so that `sum[n] k[t,n]^2` and `sum[m] k[t,m]^2` are one node, and
// `open` gives the body with fresh variables in their place. No substitution can therefore capture
// an index.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_EXPR_H
#define SEQMIX_COMPILER_STRUCTURE_EXPR_H

#include "dialect/Seq.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/FoldingSet.h"
#include "llvm/Support/Allocator.h"

#include <deque>
#include <map>
#include <optional>

namespace mlir::seq {

/// An index variable over a dim. Compare by pointer; `name` is only for people.
struct IndexVar {
  StringAttr dim;
  StringAttr name;
  unsigned id;    // order of creation
  unsigned level; // > 0: a reduction's own variable, numbered by height; 0: a free variable
};
using Var = const IndexVar *;

enum class ExprKind {
  Real,
  Integer,
  Boolean,
  Index,  // an index variable as an integer
  Extent, // the length of a run-time dim
  Read,   // an element of a tensor, definition or state; operands are the subscripts
  Unary,
  Binary,
  Compare,
  Select, // condition, then, else
  ToReal,
  Reduce, // body, optional domain
  Map     // position, body, optional domain
};
enum class ValueType { Real, Integer, Boolean };

class ExprNode;
using Expr = const ExprNode *;

/// A node. Built by ExprContext only; lives as long as its context.
class ExprNode : public llvm::FoldingSetNode {
public:
  ExprKind kind() const { return nodeKind; }
  ValueType type() const { return nodeType; }
  unsigned id() const { return nodeId; }
  bool is(ExprKind kind) const { return nodeKind == kind; }

  double real() const { return realValue; }
  int64_t integer() const { return integerValue; }
  Var var() const { return bound.front(); }
  /// The source of a read or the dim of an extent.
  StringAttr symbol() const { return name; }
  UnaryFn unaryFn() const { return static_cast<UnaryFn>(code); }
  BinaryFn binaryFn() const { return static_cast<BinaryFn>(code); }
  Predicate predicate() const { return static_cast<Predicate>(code); }
  ReduceKind reduceKind() const { return static_cast<ReduceKind>(code); }
  MapKind mapKind() const { return static_cast<MapKind>(code); }
  int64_t count() const { return integerValue; }

  ArrayRef<Expr> operands() const { return nodeOperands; }
  Expr operand(unsigned i) const { return nodeOperands[i]; }
  /// The variables of a reduction or map as stored; use ExprContext::open to work under them.
  ArrayRef<Var> boundVars() const { return bound; }
  /// The variables that the value depends on, in order of creation.
  ArrayRef<Var> freeVars() const { return free; }
  bool dependsOn(Var var) const;

  bool isReal(double value) const { return is(ExprKind::Real) && realValue == value; }
  bool isUnary(UnaryFn fn) const { return is(ExprKind::Unary) && unaryFn() == fn; }
  bool isBinary(BinaryFn fn) const { return is(ExprKind::Binary) && binaryFn() == fn; }
  bool isReduce(ReduceKind kind) const { return is(ExprKind::Reduce) && reduceKind() == kind; }
  bool isReadOf(StringAttr source) const { return is(ExprKind::Read) && name == source; }

  void Profile(llvm::FoldingSetNodeID &id) const;

private:
  friend class ExprContext;
  ExprKind nodeKind;
  ValueType nodeType;
  unsigned nodeId = 0;
  unsigned code = 0;
  unsigned height = 0; // highest level of a reduction's variable inside
  double realValue = 0;
  int64_t integerValue = 0;
  StringAttr name;
  ArrayRef<Expr> nodeOperands;
  ArrayRef<Var> bound;
  ArrayRef<Var> free;
};

/// An equation: the left indices and the right side over them. `domain` (or null) restricts where
/// the left side is defined.
struct Equation {
  StringAttr name;
  SmallVector<Var> left;
  Expr body = nullptr;
  Expr domain = nullptr;
  Location loc;
};

/// A reduction or map with fresh variables in place of its own.
struct OpenedExpr {
  SmallVector<Var> vars;
  Expr at = nullptr; // maps: the position
  Expr body = nullptr;
  Expr domain = nullptr;
};

/// A constant times factors, in canonical order.
struct Product {
  double coef = 1;
  SmallVector<Expr> factors;
};

/// What a reduction gives over nothing.
double neutralElement(ReduceKind kind);

using Substitution = llvm::SmallDenseMap<Var, Expr, 4>;

/// The names that a file uses for indices of a dim, in order of appearance.
class IndexNames {
public:
  void add(StringAttr dim, StringAttr name);
  /// A name of the dim that is not in `used`.
  std::string pick(StringAttr dim, ArrayRef<std::string> used) const;

private:
  llvm::DenseMap<StringAttr, SmallVector<StringAttr>> names;
};

/// Makes and owns expressions.
class ExprContext {
public:
  explicit ExprContext(MLIRContext *context) : context(context) {}
  ExprContext(const ExprContext &) = delete;
  ExprContext &operator=(const ExprContext &) = delete;

  MLIRContext *mlirContext() const { return context; }
  const IndexNames &indexNames() const { return names; }
  StringAttr attr(StringRef text) const { return StringAttr::get(context, text); }

  //===--- making ---------------------------------------------------------===//
  // Makers fold constants and the identities that hold for every value, infinities and NaN included
  // (x*1, x+0, --x). `0*x` stays.

  /// The name (null: one that was used for this dim before) only helps people.
  Var freshVar(StringAttr dim, StringAttr name);
  Expr real(double value);
  Expr integer(int64_t value);
  Expr boolean(bool value);
  Expr index(Var var);
  Expr extent(StringAttr dim);
  Expr read(StringAttr source, ArrayRef<Expr> subscripts, ValueType type = ValueType::Real);
  Expr unary(UnaryFn fn, Expr operand);
  Expr binary(BinaryFn fn, Expr lhs, Expr rhs);
  Expr compare(Predicate predicate, Expr lhs, Expr rhs);
  Expr select(Expr condition, Expr whenTrue, Expr whenFalse);
  Expr toReal(Expr operand);
  /// `vars` become the reduction's own. `domain` may be null.
  Expr reduce(ReduceKind kind, ArrayRef<Var> vars, Expr body, Expr domain = nullptr);
  Expr map(MapKind kind, Var var, Expr at, Expr body, Expr domain = nullptr, int64_t count = 0);

  Expr neg(Expr e) { return unary(UnaryFn::Neg, e); }
  Expr add(Expr a, Expr b) { return binary(BinaryFn::Add, a, b); }
  Expr sub(Expr a, Expr b) { return binary(BinaryFn::Sub, a, b); }
  Expr mul(Expr a, Expr b) { return binary(BinaryFn::Mul, a, b); }
  Expr div(Expr a, Expr b) { return binary(BinaryFn::Div, a, b); }
  Expr sum(ArrayRef<Var> vars, Expr body, Expr domain = nullptr) {
    return reduce(ReduceKind::Sum, vars, body, domain);
  }

  //===--- taking apart ---------------------------------------------------===//

  /// The parts of a reduction or map, over fresh variables.
  OpenedExpr open(Expr e);
  /// The same node with other operands (subscripts, arguments). For reductions and maps use
  /// `reduce` and `map`.
  Expr withOperands(Expr e, ArrayRef<Expr> operands);

  //===--- rewriting ------------------------------------------------------===//

  Expr substitute(Expr e, const Substitution &map);
  Expr rename(Expr e, Var from, Var to) { return substitute(e, {{from, index(to)}}); }
  /// Bottom-up: `fn` sees each node with its operands already rewritten and returns it or its
  /// replacement.
  Expr rewrite(Expr e, llvm::function_ref<Expr(Expr)> fn);
  /// The right side at `subscripts` when they are plain variables of the left dims or integers (a
  /// run-time dim takes variables only); null where inlining would change what a read outside the
  /// extent means. Zero outside the equation's domain.
  Expr instantiate(const Equation &equation, ArrayRef<Expr> subscripts);
  /// Replaces reads for which `lookup` gives an equation by its right side, as deep as it goes;
  /// reads that `instantiate` refuses stay.
  Expr inlineReads(Expr e, llvm::function_ref<const Equation *(StringAttr)> lookup);

  //===--- queries --------------------------------------------------------===//

  /// Calls `fn` for every node below, outermost first, each once; under reductions the stored
  /// variables show.
  void walk(Expr e, llvm::function_ref<void(Expr)> fn) const;
  bool reads(Expr e, StringAttr source) const;
  /// k when `e` is `var + k`.
  std::optional<int64_t> offsetFrom(Expr e, Var var) const;

  //===--- products and sums ----------------------------------------------===//

  /// Flattens products, quotients, negations and constants.
  Product factors(Expr e);
  Expr product(const Product &p);
  /// The summands of `e`, signs in the coefficients. A product is multiplied out over a sum among
  /// its factors when `expand` wants that factor expanded; sums over indices whose body is wanted
  /// are taken apart and the factors that they do not bind drawn out.
  SmallVector<Product> summands(Expr e, llvm::function_ref<bool(Expr)> expand);
  /// Adds up; equal factor lists are merged.
  Expr sumOf(ArrayRef<Product> terms);
  /// A total order by structure, the same in every run; zero for equal expressions.
  static int compareStructure(Expr a, Expr b);

  //===--- regions --------------------------------------------------------===//

  Equation import(DefineOp op);
  Equation import(NextOp op);
  /// A part of pairwise reductions over its indices. The number that the score gives a pair is a
  /// read of `e`.
  Equation import(PairsOp op, unsigned part);
  /// Fills an empty region with a block over `left` that yields `e`. Equal subexpressions become
  /// one value, made in the outermost block that has their indices.
  void exportBody(Expr e, ArrayRef<Var> left, Region &region, Location loc);

private:
  Expr make(ExprNode &node);
  Var boundVar(StringAttr dim, unsigned level);
  void close(ArrayRef<Var> vars, SmallVectorImpl<Expr *> &parts, SmallVectorImpl<Var> &closed);
  Expr substituteMemo(Expr e, const Substitution &map, llvm::DenseMap<Expr, Expr> &memo);
  Expr rewriteMemo(Expr e, llvm::function_ref<Expr(Expr)> fn, llvm::DenseMap<Expr, Expr> &memo);
  Expr linear(Expr e);
  Equation importEquation(StringAttr name, ArrayAttr dims, ArrayAttr names, Region &body,
                          Region &domain, Location loc);

  MLIRContext *context;
  IndexNames names;
  llvm::BumpPtrAllocator allocator;
  llvm::FoldingSet<ExprNode> nodes;
  std::deque<IndexVar> vars;
  std::map<std::pair<const void *, unsigned>, Var> boundVars;
  unsigned nextId = 0;
};

/// Prints in the syntax of .seq files.
std::string toString(ExprContext &context, Expr e);

} // namespace mlir::seq

#endif // SEQMIX_COMPILER_STRUCTURE_EXPR_H
