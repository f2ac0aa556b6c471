//===- ExprPrint.cpp - expressions in the syntax of .seq files -----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Expr.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

#include <cmath>
#include <optional>

using namespace mlir;
using namespace mlir::seq;

void IndexNames::add(StringAttr dim, StringAttr name) {
  auto &list = names[dim];
  if (!llvm::is_contained(list, name))
    list.push_back(name);
}

std::string IndexNames::pick(StringAttr dim, ArrayRef<std::string> used) const {
  auto found = names.find(dim);
  if (found != names.end())
    for (StringAttr name : found->second)
      if (!llvm::is_contained(used, name.str()))
        return name.str();
  std::string base = found != names.end() ? found->second.front().str() : dim.getValue().lower();
  for (int i = 1;; ++i) {
    std::string name = fmt::format("{}{}", base, i);
    if (!llvm::is_contained(used, name))
      return name;
  }
}

namespace {
// How tightly an expression binds; a smaller one inside a larger one takes brackets.
enum Level {
  LevelIf,
  LevelOr,
  LevelAnd,
  LevelNot,
  LevelCompare,
  LevelSum,
  LevelProduct,
  LevelNeg,
  LevelPower,
  LevelAtom
};

class Printer {
public:
  explicit Printer(ExprContext &context) : context(context) {}

  void declare(ArrayRef<Var> vars) {
    for (Var var : vars) {
      if (!var->name || llvm::is_contained(used, var->name.str())) {
        text[var] = context.indexNames().pick(var->dim, used);
      } else {
        text[var] = var->name.str();
      }
      used.push_back(text[var]);
    }
  }

  std::string print(Expr e, int outer = LevelIf) {
    auto [result, level] = printNode(e);
    return level < outer ? "(" + result + ")" : result;
  }

private:
  using Printed = std::pair<std::string, int>;

  static std::string number(double value) {
    if (std::isinf(value))
      return value > 0 ? "inf" : "-inf";
    return fmt::format("{}", value);
  }

  std::string list(ArrayRef<Expr> es) {
    std::string result;
    for (Expr e : es)
      result += (result.empty() ? "" : ",") + print(e);
    return result;
  }

  Printed infix(Expr e, StringRef op, int level) {
    return {print(e->operand(0), level) + " " + op.str() + " " + print(e->operand(1), level + 1),
            level};
  }
  Printed call(StringRef fn, ArrayRef<Expr> arguments) {
    std::string inner;
    for (Expr e : arguments)
      inner += (inner.empty() ? "" : ", ") + print(e);
    return {fn.str() + "(" + inner + ")", LevelAtom};
  }

  // exp(a[i] - c) / sum[i] exp(a[i] - c), with any c: the softmax that was expanded to it.
  std::optional<Printed> printSoftmax(Expr quotient) {
    Expr above = quotient->operand(0), below = quotient->operand(1);
    if (!above->isUnary(UnaryFn::Exp) || !above->operand(0)->isBinary(BinaryFn::Sub) ||
        !below->isReduce(ReduceKind::Sum) || below->boundVars().size() != 1)
      return std::nullopt;
    OpenedExpr o = context.open(below);
    for (Var var : above->freeVars()) {
      Expr score = above->operand(0)->operand(0), shift = above->operand(0)->operand(1);
      if (var->dim != o.vars[0]->dim || shift->dependsOn(var) ||
          context.rename(above, var, o.vars[0]) != context.rename(o.body, var, o.vars[0]))
        continue;
      bool isOperand = score->is(ExprKind::Read) || score->is(ExprKind::Unary);
      std::string text = print(score, LevelAtom);
      return Printed{fmt::format("softmax[{}] {}", print(context.index(var)),
                                 isOperand || text.front() == '(' ? text : "(" + text + ")"),
                     LevelProduct};
    }
    return std::nullopt;
  }

  Printed printBinary(Expr e) {
    switch (e->binaryFn()) {
    case BinaryFn::Add:
      if (e->operand(1)->is(ExprKind::Integer) && e->operand(1)->integer() < 0)
        return {fmt::format("{}-{}", print(e->operand(0), LevelSum), -e->operand(1)->integer()),
                LevelSum};
      if (auto negated =
              [](Expr part) {
                return part->isBinary(BinaryFn::Mul) && part->operand(0)->is(ExprKind::Integer) &&
                       part->operand(0)->integer() == -1;
              };
          negated(e->operand(0)) != negated(e->operand(1))) {
        bool first = negated(e->operand(0)); // -s + t is t - s
        return {print(e->operand(first), LevelSum) + "-" +
                    print(e->operand(!first)->operand(1), LevelProduct),
                LevelSum};
      }
      if (e->type() == ValueType::Real) {
        auto [right, level] = printNode(e->operand(1));
        if (right.front() == '-') // a + -b is a - b
          return {print(e->operand(0), LevelSum) + " - " + right.substr(1), LevelSum};
      }
      return e->type() == ValueType::Integer ? Printed{print(e->operand(0), LevelSum) + "+" +
                                                           print(e->operand(1), LevelProduct),
                                                       LevelSum}
                                             : infix(e, "+", LevelSum);
    case BinaryFn::Sub:
      return infix(e, "-", LevelSum);
    case BinaryFn::Mul:
      if (e->operand(0)->is(ExprKind::Integer) && e->operand(0)->integer() == -1)
        return {"-" + print(e->operand(1), LevelNeg), LevelSum};
      return infix(e, "*", LevelProduct);
    case BinaryFn::Div:
      if (auto softmax = printSoftmax(e))
        return *softmax;
      return infix(e, "/", LevelProduct);
    case BinaryFn::FloorDiv:
      return infix(e, "//", LevelProduct);
    case BinaryFn::Mod:
      return infix(e, "%", LevelProduct);
    case BinaryFn::Pow:
      return {print(e->operand(0), LevelAtom) + "^" + print(e->operand(1), LevelPower), LevelPower};
    case BinaryFn::And:
      return infix(e, "and", LevelAnd);
    case BinaryFn::Or:
      return infix(e, "or", LevelOr);
    case BinaryFn::Min:
    case BinaryFn::Max:
    case BinaryFn::LogAddExp:
      return call(stringifyBinaryFn(e->binaryFn()), e->operands());
    }
    llvm_unreachable("function");
  }

  Printed printNode(Expr e) {
    switch (e->kind()) {
    case ExprKind::Real:
      return {number(e->real()), e->real() < 0 ? LevelNeg : LevelAtom};
    case ExprKind::Integer:
      return {fmt::format("{}", e->integer()), e->integer() < 0 ? LevelNeg : LevelAtom};
    case ExprKind::Boolean:
      return {e->integer() ? "true" : "false", LevelAtom};
    case ExprKind::Index:
      if (!text.contains(e->var()))
        declare(e->var());
      return {text[e->var()], LevelAtom};
    case ExprKind::Extent:
      return {e->symbol().str(), LevelAtom};
    case ExprKind::Read:
      if (e->operands().empty())
        return {e->symbol().str(), LevelAtom};
      return {e->symbol().str() + "[" + list(e->operands()) + "]", LevelAtom};
    case ExprKind::Unary:
      if (e->unaryFn() == UnaryFn::Neg)
        return {"-" + print(e->operand(0), LevelNeg), LevelNeg};
      if (e->unaryFn() == UnaryFn::Not)
        return {"not " + print(e->operand(0), LevelNot), LevelNot};
      return call(stringifyUnaryFn(e->unaryFn()), e->operands());
    case ExprKind::Binary:
      return printBinary(e);
    case ExprKind::Compare: {
      static constexpr const char *symbols[] = {"==", "!=", "<", "<=", ">", ">="};
      return {print(e->operand(0), LevelSum) + " " + symbols[static_cast<int>(e->predicate())] +
                  " " + print(e->operand(1), LevelSum),
              LevelCompare};
    }
    case ExprKind::Select:
      return {print(e->operand(1), LevelOr) + " if " + print(e->operand(0), LevelOr) + " else " +
                  print(e->operand(2), LevelIf),
              LevelIf};
    case ExprKind::ToReal:
      return printNode(e->operand(0));
    case ExprKind::Reduce:
    case ExprKind::Map:
      return printBinder(e);
    }
    llvm_unreachable("kind");
  }

  Printed printBinder(Expr e) {
    OpenedExpr o = context.open(e);
    size_t mark = used.size();
    std::string vars;
    bool isSum = e->isReduce(ReduceKind::Sum) || e->isReduce(ReduceKind::Prod);
    declare(o.vars);
    for (Var var : o.vars)
      vars += (vars.empty() ? "" : ",") + text[var];
    StringRef word = e->is(ExprKind::Reduce) ? stringifyReduceKind(e->reduceKind())
                                             : stringifyMapKind(e->mapKind());
    std::string result = fmt::format("{}[{}] {}", std::string_view(word), vars,
                                     print(o.body, isSum ? LevelProduct : LevelAtom));
    if (o.domain)
      result += " where " + print(o.domain);
    used.resize(mark);
    if (e->is(ExprKind::Map) && o.at->is(ExprKind::Index) == false)
      result += " at " + print(o.at);
    return {result, isSum && !o.domain ? LevelProduct : LevelIf};
  }

  ExprContext &context;
  llvm::DenseMap<Var, std::string> text;
  SmallVector<std::string> used;
};
} // namespace

std::string mlir::seq::toString(ExprContext &context, Expr e) {
  Printer printer(context);
  printer.declare(e->freeVars());
  return printer.print(e);
}
