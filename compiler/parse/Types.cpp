//===- Types.cpp - Real, integer, boolean ----------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Checker.h"

#include <fmt/format.h>

using namespace seqmix;
using namespace seqmix::ast;

Type MixerChecker::number(Expr *e, llvm::StringRef who) {
  Type type = typeOf(e);
  if (type != Type::Boolean)
    return type;
  errorAt(e, fmt::format("{} takes a number, found a boolean; write '1 if ... else 0'", who.str()));
  return Type::Real;
}

void MixerChecker::boolean(Expr *e, llvm::StringRef who) {
  if (typeOf(e) != Type::Boolean)
    errorAt(e, fmt::format("{} takes a boolean, found a number; compare it, as in '... != 0'",
                           who.str()));
}

Type MixerChecker::typeOfRef(RefExpr *ref) {
  for (Expr *index : ref->indices) {
    Type type = typeOf(index);
    if (type != Type::Integer)
      errorAt(index, fmt::format("an index of '{}' must be an integer, found a {}{}", ref->name,
                                 type == Type::Boolean ? "boolean" : "real number",
                                 type == Type::Boolean ? "" : "; '//' and 'floor' give integers"));
  }
  switch (ref->decl->kind) {
  case Decl::Kind::Dim:
  case Decl::Kind::Index:
    return Type::Integer;
  case Decl::Kind::Const:
    return llvm::cast<Const>(ref->decl)->value.isInteger ? Type::Integer : Type::Real;
  case Decl::Kind::Input:
  case Decl::Kind::Param:
    return llvm::cast<Tensor>(ref->decl)->type();
  case Decl::Kind::Definition: // typed before, as far as there is no cycle
    return llvm::cast<Definition>(ref->decl)->type;
  default:
    return Type::Real;
  }
}

Type MixerChecker::typeOfBinary(BinaryExpr *binary) {
  std::string who = fmt::format("'{}'", spelling(binary->op).str());
  if (isLogical(binary->op)) {
    boolean(binary->lhs, who);
    boolean(binary->rhs, who);
    return Type::Boolean;
  }
  if (binary->op == BinaryOp::Eq || binary->op == BinaryOp::Ne) {
    Type lhs = typeOf(binary->lhs), rhs = typeOf(binary->rhs);
    if ((lhs == Type::Boolean) != (rhs == Type::Boolean))
      errorAt(binary, binary->opRange, fmt::format("{} compares a boolean with a number", who));
    return Type::Boolean;
  }
  Type lhs = number(binary->lhs, who), rhs = number(binary->rhs, who);
  bool integers = lhs == Type::Integer && rhs == Type::Integer;
  switch (binary->op) {
  case BinaryOp::Add:
  case BinaryOp::Sub:
  case BinaryOp::Mul:
    return integers ? Type::Integer : Type::Real;
  case BinaryOp::FloorDiv:
  case BinaryOp::Mod: {
    if (!integers)
      errorAt(lhs == Type::Integer ? binary->rhs : binary->lhs,
              fmt::format("{} takes integers, found a real number{}", who,
                          binary->op == BinaryOp::FloorDiv ? "; write 'floor(a / b)'" : ""));
    break;
  }
  case BinaryOp::Pow: {
    std::optional<Number> exponent = constantValue(binary->rhs);
    bool natural = exponent && exponent->isInteger && exponent->integer >= 0;
    return integers && natural ? Type::Integer : Type::Real;
  }
  case BinaryOp::Div:
    break;
  default:
    return Type::Boolean; // a comparison
  }
  if (std::optional<Number> divisor = constantValue(binary->rhs); divisor && divisor->real() == 0)
    errorAt(binary->rhs, "division by zero");
  return binary->op == BinaryOp::Div ? Type::Real : Type::Integer;
}

Type MixerChecker::typeOfCall(CallExpr *call) {
  bool integers = true;
  for (Expr *arg : call->args)
    integers &= number(arg, fmt::format("'{}'", call->name)) == Type::Integer;
  switch (*call->fn) {
  case Builtin::Floor:
    return Type::Integer;
  case Builtin::Abs:
  case Builtin::Sign:
  case Builtin::Relu:
  case Builtin::Min:
  case Builtin::Max:
    return integers ? Type::Integer : Type::Real;
  default:
    return Type::Real;
  }
}

Type MixerChecker::typeOfMap(MapExpr *map) {
  Type type = number(map->operand, fmt::format("'{}'", spelling(map->op).str()));
  if (map->op == MapOp::Softmax)
    return Type::Real;
  if (map->op == MapOp::Cumsum)
    return type;
  typeOf(map->countExpr);
  std::optional<Number> count = constantValue(map->countExpr);
  if (!count || !count->isInteger || count->integer < 1)
    errorAt(map->countExpr, "the number of elements of 'topk' must be a constant integer of at "
                            "least 1");
  else
    map->count = count->integer;
  return Type::Boolean;
}

Type MixerChecker::typeOf(Expr *e) {
  switch (e->kind) {
  case Expr::Kind::Number:
    e->type = llvm::cast<NumberExpr>(e)->value.isInteger ? Type::Integer : Type::Real;
    break;
  case Expr::Kind::Ref:
    e->type = typeOfRef(llvm::cast<RefExpr>(e));
    break;
  case Expr::Kind::Unary: {
    auto *unary = llvm::cast<UnaryExpr>(e);
    if (unary->op == UnaryOp::Neg) {
      e->type = number(unary->operand, "'-'");
    } else {
      boolean(unary->operand, "'not'");
      e->type = Type::Boolean;
    }
    break;
  }
  case Expr::Kind::Binary:
    e->type = typeOfBinary(llvm::cast<BinaryExpr>(e));
    break;
  case Expr::Kind::Cond: {
    auto *cond = llvm::cast<CondExpr>(e);
    boolean(cond->condition, "'if'");
    Type a = typeOf(cond->whenTrue), b = typeOf(cond->whenFalse);
    if ((a == Type::Boolean) != (b == Type::Boolean))
      errorAt(cond, "one branch of 'if' is a boolean and the other a number");
    e->type = a == b ? a : Type::Real;
    break;
  }
  case Expr::Kind::Call:
    e->type = typeOfCall(llvm::cast<CallExpr>(e));
    break;
  case Expr::Kind::Reduce: {
    auto *reduce = llvm::cast<ReduceExpr>(e);
    Type type = number(reduce->operand, fmt::format("'{}'", spelling(reduce->op).str()));
    // The empty max and min are infinite, which no integer is.
    bool keeps = reduce->op == Reduction::Sum || reduce->op == Reduction::Prod;
    e->type = keeps ? type : Type::Real;
    break;
  }
  case Expr::Kind::Map:
    e->type = typeOfMap(llvm::cast<MapExpr>(e));
    break;
  }
  return e->type;
}

void MixerChecker::typeEquation(Equation *equation) {
  Type type = typeOf(equation->rhs);
  if (auto *definition = llvm::dyn_cast<Definition>(equation->target))
    definition->type = type;
  else if (type == Type::Boolean)
    errorAt(equation->rhs,
            fmt::format("the state '{}' is a real number, found a boolean; write '1 if ... else 0'",
                        equation->name));
  if (equation->where)
    boolean(equation->where, "'where'");
}

/// The equations of the definitions that an equation reads.
static std::vector<Equation *> readDefinitions(const Equation &equation) {
  std::vector<Equation *> result;
  auto collect = [&](Expr *e) {
    walk(e, [&](Expr *node) {
      if (auto *ref = llvm::dyn_cast<RefExpr>(node))
        if (auto *definition = llvm::dyn_cast<Definition>(ref->decl))
          result.push_back(definition->equation);
    });
  };
  collect(equation.rhs);
  if (equation.where)
    collect(equation.where);
  return result;
}

/// Types what is read before its readers, with a stack of its own: chains of definitions may be
/// long.
void MixerChecker::checkTypes() {
  llvm::DenseMap<const Equation *, Progress> progress;
  struct Frame {
    Equation *equation;
    std::vector<Equation *> pending;
  };
  for (Equation *root : mixer.equations) {
    if (progress.lookup(root) != Progress::None)
      continue;
    progress[root] = Progress::Running;
    std::vector<Frame> stack{{root, readDefinitions(*root)}};
    while (!stack.empty()) {
      Frame &frame = stack.back();
      if (frame.pending.empty()) {
        typeEquation(frame.equation);
        stack.pop_back();
        continue;
      }
      Equation *next = frame.pending.back();
      frame.pending.pop_back();
      if (progress.lookup(next) != Progress::None)
        continue; // typed, or on a cycle: that is reported with the dependencies
      progress[next] = Progress::Running;
      stack.push_back({next, readDefinitions(*next)});
    }
  }
  if (!failed())
    checkOutputTypes();
}

void MixerChecker::checkOutputTypes() {
  for (Output *output : mixer.outputs) {
    auto *definition = llvm::dyn_cast<Definition>(output->value);
    Type type = definition ? definition->type : Type::Real;
    auto report = [&](llvm::StringRef is, llvm::StringRef wanted) {
      diagnostics
          .error(output->range,
                 fmt::format("the output '{}' is {}; {}", output->name, is.str(), wanted.str()))
          .note(output->equation()->lhsRange, "defined here");
    };
    if (type == Type::Boolean && output->dtype != DType::Bool)
      report("a boolean", "write ': bool' after it");
    else if (type != Type::Boolean && output->dtype == DType::Bool)
      report("a number", "it cannot be stored as bool");
    else if (type == Type::Real && output->dtype == DType::I32)
      report("a real number", "it cannot be stored as i32");
  }
}
