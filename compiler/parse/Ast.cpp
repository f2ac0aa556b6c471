//===- Ast.cpp - Names and small questions about trees ---------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Ast.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>

using namespace seqmix;
using namespace seqmix::ast;

llvm::StringRef ast::describe(Decl::Kind kind) {
  switch (kind) {
  case Decl::Kind::BatchDim:
    return "batch dim";
  case Decl::Kind::Dim:
    return "dim";
  case Decl::Kind::Index:
    return "index";
  case Decl::Kind::Const:
    return "constant";
  case Decl::Kind::Input:
    return "input";
  case Decl::Kind::Param:
    return "param";
  case Decl::Kind::State:
    return "state";
  case Decl::Kind::Definition:
    return "definition";
  case Decl::Kind::Fn:
    return "function";
  case Decl::Kind::FnParam:
    return "function argument";
  }
  llvm_unreachable("unknown kind");
}

llvm::StringRef ast::spelling(BinaryOp op) {
  static constexpr llvm::StringLiteral names[] = {"+",  "-", "*",  "/",  "//", "%",   "^", "<",
                                                  "<=", ">", ">=", "==", "!=", "and", "or"};
  return names[static_cast<size_t>(op)];
}

llvm::StringRef ast::spelling(Reduction op) {
  static constexpr llvm::StringLiteral names[] = {"sum", "prod", "max", "min", "logsumexp"};
  return names[static_cast<size_t>(op)];
}

llvm::StringRef ast::spelling(MapOp op) {
  static constexpr llvm::StringLiteral names[] = {"softmax", "cumsum", "topk"};
  return names[static_cast<size_t>(op)];
}

static constexpr llvm::StringLiteral builtinNames[] = {
    "exp",   "log",     "log1p",      "expm1", "sqrt",     "rsqrt",     "abs",  "sign",
    "floor", "sigmoid", "logsigmoid", "silu",  "softplus", "logaddexp", "tanh", "relu",
    "gelu",  "erf",     "sin",        "cos",   "min",      "max"};

llvm::StringRef ast::spelling(Builtin fn) { return builtinNames[static_cast<size_t>(fn)]; }

unsigned ast::arity(Builtin fn) {
  return fn == Builtin::Min || fn == Builtin::Max || fn == Builtin::LogAddExp ? 2 : 1;
}

std::optional<Builtin> ast::builtinNamed(llvm::StringRef name) {
  for (auto [i, known] : llvm::enumerate(builtinNames))
    if (name == known)
      return static_cast<Builtin>(i);
  return std::nullopt;
}

SourceRange Expr::siteRange() const {
  const InlineSite *site = inlinedAt;
  if (!site)
    return range;
  while (site->outer)
    site = site->outer;
  return site->call;
}

Equation *Output::equation() const {
  if (auto *state = llvm::dyn_cast_or_null<State>(value))
    return state->equation;
  if (auto *definition = llvm::dyn_cast_or_null<Definition>(value))
    return definition->equation;
  return nullptr;
}

template <typename List> static Decl *findIn(const List &list, llvm::StringRef name) {
  for (auto *decl : list)
    if (decl->name == name)
      return decl;
  return nullptr;
}

Decl *Mixer::find(llvm::StringRef name) const {
  Decl *found = nullptr;
  (void)((found = findIn(batchDims, name)) || (found = findIn(dims, name)) ||
         (found = findIn(indices, name)) || (found = findIn(consts, name)) ||
         (found = findIn(tensors, name)) || (found = findIn(states, name)) ||
         (found = findIn(definitions, name)) || (found = findIn(fns, name)));
  return found;
}

Mixer *File::find(llvm::StringRef name) const {
  for (Mixer *mixer : mixers)
    if (mixer->name == name)
      return mixer;
  return nullptr;
}

std::vector<Place> ast::placesOf(const Decl *decl) {
  if (auto *tensor = llvm::dyn_cast<Tensor>(decl))
    return tensor->places;
  if (auto *state = llvm::dyn_cast<State>(decl))
    return state->equation ? state->equation->places : std::vector<Place>();
  if (auto *definition = llvm::dyn_cast<Definition>(decl))
    return definition->equation ? definition->equation->places : std::vector<Place>();
  return {};
}

void ast::forEachChild(const Expr *e, llvm::function_ref<void(Expr *)> visit) {
  switch (e->kind) {
  case Expr::Kind::Number:
    return;
  case Expr::Kind::Ref:
    for (Expr *index : llvm::cast<RefExpr>(e)->indices)
      visit(index);
    return;
  case Expr::Kind::Unary:
    return visit(llvm::cast<UnaryExpr>(e)->operand);
  case Expr::Kind::Binary:
    visit(llvm::cast<BinaryExpr>(e)->lhs);
    return visit(llvm::cast<BinaryExpr>(e)->rhs);
  case Expr::Kind::Cond:
    visit(llvm::cast<CondExpr>(e)->whenTrue);
    visit(llvm::cast<CondExpr>(e)->condition);
    return visit(llvm::cast<CondExpr>(e)->whenFalse);
  case Expr::Kind::Call:
    for (Expr *arg : llvm::cast<CallExpr>(e)->args)
      visit(arg);
    return;
  case Expr::Kind::Reduce:
    return visit(llvm::cast<ReduceExpr>(e)->operand);
  case Expr::Kind::Map:
    if (Expr *count = llvm::cast<MapExpr>(e)->countExpr)
      visit(count);
    return visit(llvm::cast<MapExpr>(e)->operand);
  }
}

void ast::walk(Expr *e, llvm::function_ref<void(Expr *)> visit) {
  visit(e);
  forEachChild(e, [&](Expr *child) { walk(child, visit); });
}

//===-----------------------------------------------------------------------------------------===//
// Affine forms and constants
//===-----------------------------------------------------------------------------------------===//

static bool addTerm(Affine &sum, Decl *decl, int64_t coefficient) {
  for (auto it = sum.terms.begin(); it != sum.terms.end(); ++it)
    if (it->decl == decl) {
      if (llvm::AddOverflow(it->coefficient, coefficient, it->coefficient))
        return false;
      if (it->coefficient == 0)
        sum.terms.erase(it);
      return true;
    }
  if (coefficient != 0)
    sum.terms.push_back({decl, coefficient});
  return true;
}

/// `sum += factor * other`; false on overflow.
static bool addScaled(Affine &sum, const Affine &other, int64_t factor) {
  int64_t scaled;
  for (const Affine::Term &term : other.terms)
    if (llvm::MulOverflow(term.coefficient, factor, scaled) || !addTerm(sum, term.decl, scaled))
      return false;
  return !llvm::MulOverflow(other.constant, factor, scaled) &&
         !llvm::AddOverflow(sum.constant, scaled, sum.constant);
}

std::optional<Affine> ast::affineOf(const Expr *e) {
  if (std::optional<Number> value = constantValue(e))
    return value->isInteger ? std::optional<Affine>(Affine{{}, value->integer}) : std::nullopt;
  Affine result;
  if (auto *ref = llvm::dyn_cast<RefExpr>(e)) {
    if (!ref->decl || !llvm::isa<Index, Dim>(ref->decl))
      return std::nullopt;
    result.terms.push_back({ref->decl, 1});
    return result;
  }
  if (auto *unary = llvm::dyn_cast<UnaryExpr>(e)) {
    auto operand = affineOf(unary->operand);
    if (unary->op == UnaryOp::Neg && operand && addScaled(result, *operand, -1))
      return result;
    return std::nullopt;
  }
  auto *binary = llvm::dyn_cast<BinaryExpr>(e);
  if (!binary ||
      (binary->op != BinaryOp::Add && binary->op != BinaryOp::Sub && binary->op != BinaryOp::Mul))
    return std::nullopt;
  auto lhs = affineOf(binary->lhs), rhs = affineOf(binary->rhs);
  if (!lhs || !rhs)
    return std::nullopt;
  if (binary->op == BinaryOp::Mul) {
    if (!lhs->terms.empty() && !rhs->terms.empty())
      return std::nullopt;
    bool leftIsFactor = lhs->terms.empty();
    bool fits =
        addScaled(result, leftIsFactor ? *rhs : *lhs, leftIsFactor ? lhs->constant : rhs->constant);
    return fits ? std::optional(result) : std::nullopt;
  }
  if (addScaled(result, *lhs, 1) && addScaled(result, *rhs, binary->op == BinaryOp::Sub ? -1 : 1))
    return result;
  return std::nullopt;
}

std::optional<Shift> ast::shiftOf(const Expr *e) {
  std::optional<Affine> form = affineOf(e);
  if (!form || form->terms.size() != 1 || form->terms[0].coefficient != 1)
    return std::nullopt;
  auto *index = llvm::dyn_cast<Index>(form->terms[0].decl);
  if (!index)
    return std::nullopt;
  return Shift{index, form->constant};
}

static std::optional<Number> constantBinary(BinaryOp op, Number a, Number b) {
  if (a.isInteger && b.isInteger) {
    int64_t x = a.integer, y = b.integer, r = 0;
    switch (op) {
    case BinaryOp::Add:
      return llvm::AddOverflow(x, y, r) ? std::nullopt : std::optional(Number::ofInteger(r));
    case BinaryOp::Sub:
      return llvm::SubOverflow(x, y, r) ? std::nullopt : std::optional(Number::ofInteger(r));
    case BinaryOp::Mul:
      return llvm::MulOverflow(x, y, r) ? std::nullopt : std::optional(Number::ofInteger(r));
    case BinaryOp::FloorDiv:
      if (y == 0 || (y == -1 && x == std::numeric_limits<int64_t>::min()))
        return std::nullopt;
      return Number::ofInteger(x / y - (x % y != 0 && (x < 0) != (y < 0)));
    case BinaryOp::Mod:
      if (y == 0)
        return std::nullopt;
      if (y == -1)
        return Number::ofInteger(0);
      r = x % y;
      return Number::ofInteger(r != 0 && (r < 0) != (y < 0) ? r + y : r);
    case BinaryOp::Pow:
      if (y < 0)
        break;
      r = 1;
      for (; y > 0; y >>= 1) {
        if ((y & 1) && llvm::MulOverflow(r, x, r))
          return std::nullopt;
        if (y > 1 && llvm::MulOverflow(x, x, x))
          return std::nullopt;
      }
      return Number::ofInteger(r);
    default:
      break;
    }
  }
  switch (op) {
  case BinaryOp::Add:
    return Number::ofReal(a.real() + b.real());
  case BinaryOp::Sub:
    return Number::ofReal(a.real() - b.real());
  case BinaryOp::Mul:
    return Number::ofReal(a.real() * b.real());
  case BinaryOp::Div:
    return Number::ofReal(a.real() / b.real());
  case BinaryOp::Pow:
    return Number::ofReal(std::pow(a.real(), b.real()));
  default:
    return std::nullopt;
  }
}

static std::optional<Number> constantCall(const CallExpr *call) {
  llvm::SmallVector<Number, 2> args;
  for (Expr *arg : call->args) {
    std::optional<Number> value = constantValue(arg);
    if (!value)
      return std::nullopt;
    args.push_back(*value);
  }
  if (!call->fn || args.size() != arity(*call->fn))
    return std::nullopt;
  double x = args[0].real();
  switch (*call->fn) {
  case Builtin::Exp:
    return Number::ofReal(std::exp(x));
  case Builtin::Log:
    return Number::ofReal(std::log(x));
  case Builtin::Log1p:
    return Number::ofReal(std::log1p(x));
  case Builtin::Expm1:
    return Number::ofReal(std::expm1(x));
  case Builtin::Sqrt:
    return Number::ofReal(std::sqrt(x));
  case Builtin::Rsqrt:
    return Number::ofReal(1 / std::sqrt(x));
  case Builtin::Tanh:
    return Number::ofReal(std::tanh(x));
  case Builtin::Sin:
    return Number::ofReal(std::sin(x));
  case Builtin::Cos:
    return Number::ofReal(std::cos(x));
  case Builtin::Floor:
    if (args[0].isInteger)
      return args[0];
    if (!(std::floor(x) >= -0x1p62 && std::floor(x) <= 0x1p62))
      return std::nullopt;
    return Number::ofInteger(static_cast<int64_t>(std::floor(x)));
  case Builtin::Abs:
    if (args[0].isInteger) {
      if (args[0].integer == std::numeric_limits<int64_t>::min())
        return std::nullopt;
      return Number::ofInteger(std::abs(args[0].integer));
    }
    return Number::ofReal(std::fabs(x));
  case Builtin::Min:
  case Builtin::Max: {
    bool first = *call->fn == Builtin::Min ? x <= args[1].real() : x >= args[1].real();
    Number result = first ? args[0] : args[1];
    return args[0].isInteger && args[1].isInteger ? result : Number::ofReal(result.real());
  }
  default:
    return std::nullopt;
  }
}

std::optional<Number> ast::constantValue(const Expr *e) {
  switch (e->kind) {
  case Expr::Kind::Number:
    return llvm::cast<NumberExpr>(e)->value;
  case Expr::Kind::Ref: {
    const Decl *decl = llvm::cast<RefExpr>(e)->decl;
    if (auto *constant = llvm::dyn_cast_or_null<Const>(decl))
      return constant->value;
    if (auto *dim = llvm::dyn_cast_or_null<Dim>(decl); dim && dim->size)
      return Number::ofInteger(*dim->size);
    return std::nullopt;
  }
  case Expr::Kind::Unary: {
    auto *unary = llvm::cast<UnaryExpr>(e);
    auto value = constantValue(unary->operand);
    if (!value || unary->op != UnaryOp::Neg)
      return std::nullopt;
    if (!value->isInteger)
      return Number::ofReal(-value->real());
    return constantBinary(BinaryOp::Sub, Number::ofInteger(0), *value);
  }
  case Expr::Kind::Binary: {
    auto *binary = llvm::cast<BinaryExpr>(e);
    auto lhs = constantValue(binary->lhs);
    if (!lhs)
      return std::nullopt;
    auto rhs = constantValue(binary->rhs);
    return rhs ? constantBinary(binary->op, *lhs, *rhs) : std::nullopt;
  }
  case Expr::Kind::Call:
    return constantCall(llvm::cast<CallExpr>(e));
  case Expr::Kind::Cond:
  case Expr::Kind::Reduce:
  case Expr::Kind::Map:
    return std::nullopt;
  }
  return std::nullopt;
}
