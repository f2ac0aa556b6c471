//===- Ast.h - The syntax tree of a .seq file ------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
// What a checked tree promises to the stages after it:
//
//  * Every name is resolved: `RefExpr::decl` is never null and is a Dim, Index, Const, Tensor
//  (input or
//    param), State or Definition. No reference to a function or a function argument is left:
//    calls of the file's own functions are replaced by their bodies; `Expr::inlinedAt` of each node
//    of a body says which call it came from, while `Node::range` is its place in the body.
//  * Every expression has a type. Real contexts accept integers; nothing else converts.
//  * A read of a tensor, a state or a definition has one index expression for each place of
//    `placesOf(decl)`; the time of a state read is always its first index (`S[t-1,i]`), a
//    scalar input is read with none. `shiftOf` recognises `t - 1`, `affineOf` any affine index.
//  * Batch dims occur in no expression. What varies over which batch dims is in `batch`.
//  * Reductions and maps carry the conditions that restrict them, equations those of their left
//  side.
//  * Sizes of compile-time dims and constants are numbers.
//
// Nodes live as long as their File; pointers between them are never owning. `llvm::isa`, `cast` and
// `dyn_cast` work on Expr and Decl.
//
//===-----------------------------------------------------------------------------------------===//
#pragma once

#include "compiler/parse/Source.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Casting.h"
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace seqmix::ast {

class Expr;
struct Decl;
struct BatchDim;
struct Dim;
struct Index;
struct Fn;
struct Equation;
struct Mixer;

//===-----------------------------------------------------------------------------------------===//
// Small vocabulary
//===-----------------------------------------------------------------------------------------===//

/// What an expression's value is.
enum class Type { Real, Integer, Boolean };

/// Storage type of an input, a param or an output; Default is the one given by `--dtype`.
enum class DType { Default, F64, F32, BF16, F16, I32, Bool };

/// Which way a state runs: Forward reads `t-1`, Backward reads `t+1`.
enum class Direction { Forward, Backward };

/// A compile-time number. Integers are exact; `real()` gives either as a double.
struct Number {
  bool isInteger = true;
  int64_t integer = 0;
  double value = 0;

  static Number ofInteger(int64_t v) { return {true, v, static_cast<double>(v)}; }
  static Number ofReal(double v) { return {false, 0, v}; }
  double real() const { return value; }
  bool operator==(const Number &) const = default;
};

/// The promised range of an input, `in [low, high]`; either end may be infinite.
struct Bounds {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  SourceRange range;
};

/// A batch dim that something varies over. `group` > 1 is `H/4`: one value for 4 neighbours.
struct BatchUse {
  BatchDim *dim = nullptr;
  int64_t group = 1;
  SourceRange range;
};

/// One bracketed place of a tensor, a state or a definition.
struct Place {
  Dim *dim = nullptr;
  Index *index = nullptr; ///< null where the place is declared by its dim: `f[T,d]`
  SourceRange range;
};

/// The call that an inlined expression came from; `outer` is the call around it, if that is inlined
/// too.
struct InlineSite {
  const Fn *fn = nullptr;
  SourceRange call;
  const InlineSite *outer = nullptr;
};

//===-----------------------------------------------------------------------------------------===//
// Nodes
//===-----------------------------------------------------------------------------------------===//

/// Anything with a place in the source.
class Node {
public:
  explicit Node(SourceRange range) : range(range) {}
  virtual ~Node() = default;
  SourceRange range;
};

//===-----------------------------------------------------------------------------------------===//
// Declarations
//===-----------------------------------------------------------------------------------------===//

/// Something with a name. `range` is the whole declaration of this name (`S[i,j] = 0`).
struct Decl : Node {
  enum class Kind { BatchDim, Dim, Index, Const, Input, Param, State, Definition, Fn, FnParam };
  Decl(Kind kind, std::string name, SourceRange nameRange)
      : Node(nameRange), kind(kind), name(std::move(name)), nameRange(nameRange) {}
  const Kind kind;
  std::string name;
  SourceRange nameRange;
};

/// The kind of a declaration in words: "input", "index", ...
llvm::StringRef describe(Decl::Kind kind);

/// `B, H batch`: mapped over, in no equation.
struct BatchDim : Decl {
  BatchDim(std::string name, SourceRange at) : Decl(Kind::BatchDim, std::move(name), at) {}
  static bool classof(const Decl *d) { return d->kind == Kind::BatchDim; }
  unsigned position = 0; ///< in declared order
};

/// `i, n in K = 64`, `t in T`, `c in N = T // 64`.
struct Dim : Decl {
  Dim(std::string name, SourceRange at) : Decl(Kind::Dim, std::move(name), at) {}
  static bool classof(const Decl *d) { return d->kind == Kind::Dim; }
  Expr *sizeExpr = nullptr;    ///< as written; null for a length known only at run time
  std::optional<int64_t> size; ///< the extent of a compile-time dim, at least 1
  std::vector<Index *> indices;

  bool isRunTime() const { return !size; }
  /// A run-time dim whose extent is a formula of others (`T // 64`), not an array's own length.
  bool isDerived() const { return !size && sizeExpr; }
};

/// A name that runs over a dim.
struct Index : Decl {
  Index(std::string name, SourceRange at) : Decl(Kind::Index, std::move(name), at) {}
  static bool classof(const Decl *d) { return d->kind == Kind::Index; }
  Dim *dim = nullptr;
  /// Made by inlining, to keep a function's bound index apart from one of the call.
  bool isSynthetic = false;
};

/// `const W = 1024`.
struct Const : Decl {
  Const(std::string name, SourceRange at) : Decl(Kind::Const, std::move(name), at) {}
  static bool classof(const Decl *d) { return d->kind == Kind::Const; }
  Expr *valueExpr = nullptr;
  Number value;
};

/// An input or a param. Its buffer: an input is [first batch dim, run-time places, other batch
/// dims, other places] of what it varies over; a param is [batch dims, places] as written.
struct Tensor : Decl {
  Tensor(Kind kind, std::string name, SourceRange at) : Decl(kind, std::move(name), at) {}
  static bool classof(const Decl *d) { return d->kind == Kind::Input || d->kind == Kind::Param; }
  bool isParam() const { return kind == Kind::Param; }
  std::vector<BatchUse> batch; ///< in order of the batch dims
  std::vector<Place> places;   ///< without batch dims
  DType dtype = DType::Default;
  std::optional<Bounds> bounds;

  /// The type of a read: Integer for i32, Boolean for bool, Real for the rest.
  Type type() const {
    return dtype == DType::I32 ? Type::Integer : dtype == DType::Bool ? Type::Boolean : Type::Real;
  }
};

/// `state S[i,j] = 0`. It varies over all batch dims and is always real.
struct State : Decl {
  State(std::string name, SourceRange at) : Decl(Kind::State, std::move(name), at) {}
  static bool classof(const Decl *d) { return d->kind == Kind::State; }
  std::vector<Place> places; ///< of the declaration: without the time
  Expr *initExpr = nullptr;
  double init = 0;
  Equation *equation = nullptr;
  Direction direction = Direction::Forward;
  /// States that depend on each other have the same group; groups count from 0 in order of
  /// evaluation.
  unsigned group = 0;
};

/// A name defined by an equation that is not a state: an intermediate value or an output.
struct Definition : Decl {
  Definition(std::string name, SourceRange at) : Decl(Kind::Definition, std::move(name), at) {}
  static bool classof(const Decl *d) { return d->kind == Kind::Definition; }
  Equation *equation = nullptr;
  Type type = Type::Real;
  std::vector<BatchUse> batch; ///< the batch dims that it varies over, from what it reads
};

/// An argument of a function: `x` or `x[i]`. Occurs only inside the function.
struct FnParam : Decl {
  FnParam(std::string name, SourceRange at) : Decl(Kind::FnParam, std::move(name), at) {}
  static bool classof(const Decl *d) { return d->kind == Kind::FnParam; }
  Index *index = nullptr;
};

/// `fn l2norm(x[i]) = ...`; kept for messages only, every call is inlined.
struct Fn : Decl {
  Fn(std::string name, SourceRange at) : Decl(Kind::Fn, std::move(name), at) {}
  static bool classof(const Decl *d) { return d->kind == Kind::Fn; }
  std::vector<FnParam *> params;
  Expr *body = nullptr;
};

//===-----------------------------------------------------------------------------------------===//
// Expressions
//===-----------------------------------------------------------------------------------------===//

class Expr : public Node {
public:
  enum class Kind { Number, Ref, Unary, Binary, Cond, Call, Reduce, Map };
  Expr(Kind kind, SourceRange range) : Node(range), kind(kind) {}
  const Kind kind;
  Type type = Type::Real;
  unsigned depth = 1;                    ///< height of the tree; bounded by the parser
  const InlineSite *inlinedAt = nullptr; ///< null where the node stands in the equation itself

  /// Where the user wrote it in the equation: its own range, or the outermost call it was inlined
  /// from.
  SourceRange siteRange() const;
};

/// `64`, `1e-6`, `inf`.
struct NumberExpr : Expr {
  NumberExpr(Number value, SourceRange range) : Expr(Kind::Number, range), value(value) {}
  static bool classof(const Expr *e) { return e->kind == Kind::Number; }
  Number value;
};

/// A name, with index expressions where it has places: `K`, `t`, `W`, `k[s,i]`, `S[t-1,i,j]`.
struct RefExpr : Expr {
  RefExpr(std::string name, SourceRange range)
      : Expr(Kind::Ref, range), name(std::move(name)), nameRange(range) {}
  static bool classof(const Expr *e) { return e->kind == Kind::Ref; }
  std::string name;
  SourceRange nameRange;
  bool hasBrackets = false;
  std::vector<Expr *> indices;
  Decl *decl = nullptr;
};

enum class UnaryOp { Neg, Not };

struct UnaryExpr : Expr {
  UnaryExpr(UnaryOp op, Expr *operand, SourceRange range)
      : Expr(Kind::Unary, range), op(op), operand(operand) {}
  static bool classof(const Expr *e) { return e->kind == Kind::Unary; }
  UnaryOp op;
  Expr *operand;
};

enum class BinaryOp { Add, Sub, Mul, Div, FloorDiv, Mod, Pow, Lt, Le, Gt, Ge, Eq, Ne, And, Or };

inline bool isComparison(BinaryOp op) { return op >= BinaryOp::Lt && op <= BinaryOp::Ne; }
inline bool isLogical(BinaryOp op) { return op >= BinaryOp::And; }
/// The operator as written: "+", "//", "and", ...
llvm::StringRef spelling(BinaryOp op);

/// `//` and `%` round towards minus infinity and take the sign of the divisor.
struct BinaryExpr : Expr {
  BinaryExpr(BinaryOp op, Expr *lhs, Expr *rhs, SourceRange opRange)
      : Expr(Kind::Binary, lhs->range.to(rhs->range)), op(op), lhs(lhs), rhs(rhs),
        opRange(opRange) {}
  static bool classof(const Expr *e) { return e->kind == Kind::Binary; }
  BinaryOp op;
  Expr *lhs;
  Expr *rhs;
  SourceRange opRange;
};

/// `whenTrue if condition else whenFalse`.
struct CondExpr : Expr {
  CondExpr(Expr *whenTrue, Expr *condition, Expr *whenFalse)
      : Expr(Kind::Cond, whenTrue->range.to(whenFalse->range)), condition(condition),
        whenTrue(whenTrue), whenFalse(whenFalse) {}
  static bool classof(const Expr *e) { return e->kind == Kind::Cond; }
  Expr *condition;
  Expr *whenTrue;
  Expr *whenFalse;
};

enum class Builtin {
  Exp,
  Log,
  Log1p,
  Expm1,
  Sqrt,
  Rsqrt,
  Abs,
  Sign,
  Floor,
  Sigmoid,
  LogSigmoid,
  Silu,
  Softplus,
  LogAddExp,
  Tanh,
  Relu,
  Gelu,
  Erf,
  Sin,
  Cos,
  Min,
  Max
};
/// Name in the language and number of arguments of a built-in function.
llvm::StringRef spelling(Builtin fn);
unsigned arity(Builtin fn);
std::optional<Builtin> builtinNamed(llvm::StringRef name);

/// A call of a built-in function. (While parsing also of the file's functions, with `fn` unset.)
struct CallExpr : Expr {
  CallExpr(std::string name, SourceRange nameRange, std::vector<Expr *> args, SourceRange range)
      : Expr(Kind::Call, range), name(std::move(name)), nameRange(nameRange),
        args(std::move(args)) {}
  static bool classof(const Expr *e) { return e->kind == Kind::Call; }
  std::string name;
  SourceRange nameRange;
  std::optional<Builtin> fn;
  std::vector<Expr *> args;
};

/// The index of a reduction, a map or a left side, as written.
struct IndexUse {
  std::string name;
  SourceRange range;
  Index *index = nullptr;
};

enum class Reduction { Sum, Prod, Max, Min, LogSumExp };
llvm::StringRef spelling(Reduction op);

/// `sum[i,n] operand`: binds its indices in the operand.
struct ReduceExpr : Expr {
  ReduceExpr(Reduction op, std::vector<IndexUse> indices, Expr *operand, SourceRange range)
      : Expr(Kind::Reduce, range), op(op), indices(std::move(indices)), operand(operand) {}
  static bool classof(const Expr *e) { return e->kind == Kind::Reduce; }
  Reduction op;
  std::vector<IndexUse> indices;
  Expr *operand;
  /// Conditions of the equation's `where` that restrict this reduction; all of them must hold.
  std::vector<Expr *> domain;
};

enum class MapOp { Softmax, Cumsum, Topk };
llvm::StringRef spelling(MapOp op);

/// `softmax[s] operand`: a function of the index `s` to a function of `s`. `topk[s, n]` gives
/// Booleans.
struct MapExpr : Expr {
  MapExpr(MapOp op, IndexUse index, Expr *operand, SourceRange range)
      : Expr(Kind::Map, range), op(op), index(std::move(index)), operand(operand) {}
  static bool classof(const Expr *e) { return e->kind == Kind::Map; }
  MapOp op;
  IndexUse index;
  Expr *countExpr = nullptr; ///< topk's second argument
  int64_t count = 0;         ///< its value, at least 1
  Expr *operand;
  /// Conditions of the equation's `where` that restrict this map; all of them must hold.
  std::vector<Expr *> domain;
};

//===-----------------------------------------------------------------------------------------===//
// Equations, mixers, files
//===-----------------------------------------------------------------------------------------===//

/// `S[t,i,j] = rhs` with an optional `where`.
struct Equation : Node {
  explicit Equation(SourceRange range) : Node(range) {}
  std::string name;
  SourceRange nameRange;
  SourceRange lhsRange;
  std::vector<IndexUse> indices; ///< the left side's, for a state the time first
  std::vector<Place> places;     ///< the same as places
  Expr *rhs = nullptr;
  Expr *where = nullptr;
  SourceRange whereRange;
  Decl *target = nullptr; ///< a State or a Definition
  /// The conjuncts of `where` that name only left indices: the left side is defined where all hold.
  std::vector<Expr *> domain;
};

/// `output o[t,j] : f32`.
struct Output : Node {
  explicit Output(SourceRange range) : Node(range) {}
  std::string name;
  SourceRange nameRange;
  std::vector<IndexUse> indices;
  bool hasBrackets = false;
  DType dtype = DType::Default;
  Decl *value = nullptr; ///< a State or a Definition

  Equation *equation() const;
};

/// Why a mixer has no step function.
struct NoStep {
  std::string reason; ///< a sentence part: "reads 'x' ahead of t"
  SourceRange range;
};

struct Mixer : Node {
  explicit Mixer(SourceRange range) : Node(range) {}
  std::string name;
  SourceRange nameRange;
  // All in declared order.
  std::vector<BatchDim *> batchDims;
  std::vector<Dim *> dims;
  std::vector<Index *> indices;
  std::vector<Const *> consts;
  std::vector<Tensor *> tensors;
  std::vector<State *> states;
  std::vector<Definition *> definitions;
  std::vector<Output *> outputs;
  std::vector<Fn *> fns;
  std::vector<Equation *> equations;

  /// The equations in an order in which each one's reads at the same `t` are defined before it.
  std::vector<Equation *> order;
  /// The dim of the tokens: that of the states' time, else the first length that an output has,
  /// else null.
  Dim *timeDim = nullptr;
  /// Set when the equations themselves rule out a step: a reversed state, `T` used as a number, or
  /// a read ahead of `t`. (Whether a sum over all tokens allows one is for later stages.)
  std::optional<NoStep> noStep;

  /// The declaration of a name, or null.
  Decl *find(llvm::StringRef name) const;
};

/// A parsed file and the owner of all its nodes.
class File {
public:
  SourceFile source;
  std::vector<Mixer *> mixers;

  template <typename T, typename... Args> T *make(Args &&...args) {
    auto owned = std::make_unique<T>(std::forward<Args>(args)...);
    T *raw = owned.get();
    nodes.push_back(std::move(owned));
    return raw;
  }
  InlineSite *makeSite(InlineSite site) {
    sites.push_back(std::make_unique<InlineSite>(site));
    return sites.back().get();
  }
  Mixer *find(llvm::StringRef name) const;

private:
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<std::unique_ptr<InlineSite>> sites;
};

//===-----------------------------------------------------------------------------------------===//
// Questions about trees
//===-----------------------------------------------------------------------------------------===//

/// The places that a read of `decl` must give: of a tensor its places, of a state the time and its
/// places, of a definition those of its left side; none for a number. Empty before the checks have
/// run.
std::vector<Place> placesOf(const Decl *decl);

/// An index plus a constant: `t`, `t-1`, `i+2`.
struct Shift {
  Index *index = nullptr;
  int64_t offset = 0;
};
std::optional<Shift> shiftOf(const Expr *e);

/// `constant + sum coefficient * decl`, where each decl is an Index or a run-time Dim, in order of
/// first occurrence and with coefficients other than 0.
struct Affine {
  struct Term {
    Decl *decl;
    int64_t coefficient;
  };
  std::vector<Term> terms;
  int64_t constant = 0;
};
/// The affine form of an integer expression, or nothing where it is not affine or overflows.
std::optional<Affine> affineOf(const Expr *e);

/// The value of an expression without run-time parts, or nothing.
std::optional<Number> constantValue(const Expr *e);

/// Calls `visit` for each direct operand, with the indices of a read in order.
void forEachChild(const Expr *e, llvm::function_ref<void(Expr *)> visit);

/// Calls `visit` for `e` and everything below it, parents first.
void walk(Expr *e, llvm::function_ref<void(Expr *)> visit);

/// True when both trees say the same, names compared by spelling and ranges ignored.
bool sameExpr(const Expr *a, const Expr *b);
/// The same for whole files, as far as the equations go: declarations, sizes, equations, types,
/// flags.
bool sameFile(const File &a, const File &b);

/// The text of an expression, bracketed where the grammar needs it.
std::string print(const Expr *e);
/// The text of a file: functions inlined, sizes and constants as numbers. It parses to the same
/// tree.
std::string print(const File &file);

} // namespace seqmix::ast
