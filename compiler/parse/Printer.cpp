//===- Printer.cpp - The text of a tree, and when two trees say the same ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Ast.h"

#include "llvm/ADT/STLExtras.h"
#include <cmath>
#include <fmt/format.h>
#include <fmt/ranges.h>

using namespace seqmix;
using namespace seqmix::ast;

//===-----------------------------------------------------------------------------------------===//
// Expressions
//===-----------------------------------------------------------------------------------------===//

namespace {
/// How tightly an expression holds together; an operand looser than its place is bracketed.
enum Level {
  AnyLevel,
  OrLevel,
  AndLevel,
  NotLevel,
  CompareLevel,
  SumLevel,
  ProductLevel,
  UnaryLevel,
  PowerLevel,
  PrimaryLevel
};
} // namespace

static std::string printNumber(Number number) {
  if (number.isInteger) {
    if (number.integer == std::numeric_limits<int64_t>::min())
      return "-9223372036854775807 - 1"; // 2^63 itself is no token
    return fmt::format("{}", number.integer);
  }
  std::string text = fmt::format("{}", number.value); // the shortest that reads back the same
  if (std::isfinite(number.value) && text.find_first_of(".e") == std::string::npos)
    text += ".0";
  return text;
}

static Level levelOf(const Expr *e) {
  switch (e->kind) {
  case Expr::Kind::Number:
  case Expr::Kind::Ref:
  case Expr::Kind::Call:
    return PrimaryLevel;
  case Expr::Kind::Unary:
    return llvm::cast<UnaryExpr>(e)->op == UnaryOp::Neg ? UnaryLevel : NotLevel;
  case Expr::Kind::Binary:
    switch (llvm::cast<BinaryExpr>(e)->op) {
    case BinaryOp::Or:
      return OrLevel;
    case BinaryOp::And:
      return AndLevel;
    case BinaryOp::Add:
    case BinaryOp::Sub:
      return SumLevel;
    case BinaryOp::Mul:
    case BinaryOp::Div:
    case BinaryOp::FloorDiv:
    case BinaryOp::Mod:
      return ProductLevel;
    case BinaryOp::Pow:
      return PowerLevel;
    default:
      return CompareLevel;
    }
  case Expr::Kind::Cond:
    return AnyLevel;
  case Expr::Kind::Reduce: // takes what is left of a product
    return ProductLevel;
  case Expr::Kind::Map:
    return UnaryLevel;
  }
  return AnyLevel;
}

static std::string printAt(const Expr *e, Level place);

static std::string printList(llvm::ArrayRef<Expr *> list) {
  std::vector<std::string> texts;
  for (const Expr *e : list)
    texts.push_back(printAt(e, AnyLevel));
  return fmt::format("{}", fmt::join(texts, ", "));
}

/// The operand of `max[s]`, `softmax[s]`: a name with indices or a call stands without brackets.
static std::string printOneOperand(const Expr *e) {
  return llvm::isa<RefExpr, CallExpr>(e) ? print(e) : fmt::format("({})", print(e));
}

static std::string printExponent(const Expr *e) {
  auto *unary = llvm::dyn_cast<UnaryExpr>(e);
  if (unary && unary->op == UnaryOp::Neg)
    return "-" + printExponent(unary->operand);
  return printAt(e, PowerLevel);
}

static std::string printBinary(const BinaryExpr *e) {
  Level level = levelOf(e);
  std::string op = spelling(e->op).str();
  if (e->op == BinaryOp::Pow)
    return printAt(e->lhs, PrimaryLevel) + "^" + printExponent(e->rhs);
  Level left = level == CompareLevel ? SumLevel : level;
  if (level == ProductLevel && llvm::isa<ReduceExpr>(e->lhs))
    left = PrimaryLevel; // it would take the right operand too
  return fmt::format("{} {} {}", printAt(e->lhs, left), op,
                     printAt(e->rhs, static_cast<Level>(level + 1)));
}

static std::string printBare(const Expr *e) {
  switch (e->kind) {
  case Expr::Kind::Number:
    return printNumber(llvm::cast<NumberExpr>(e)->value);
  case Expr::Kind::Ref: {
    auto *ref = llvm::cast<RefExpr>(e);
    return ref->indices.empty() ? ref->name
                                : fmt::format("{}[{}]", ref->name, printList(ref->indices));
  }
  case Expr::Kind::Unary: {
    auto *unary = llvm::cast<UnaryExpr>(e);
    return unary->op == UnaryOp::Neg ? "-" + printAt(unary->operand, UnaryLevel)
                                     : "not " + printAt(unary->operand, NotLevel);
  }
  case Expr::Kind::Binary:
    return printBinary(llvm::cast<BinaryExpr>(e));
  case Expr::Kind::Cond: {
    auto *cond = llvm::cast<CondExpr>(e);
    return fmt::format("{} if {} else {}", printAt(cond->whenTrue, OrLevel),
                       printAt(cond->condition, OrLevel), printAt(cond->whenFalse, AnyLevel));
  }
  case Expr::Kind::Call: {
    auto *call = llvm::cast<CallExpr>(e);
    return fmt::format("{}({})", call->name, printList(call->args));
  }
  case Expr::Kind::Reduce: {
    auto *reduce = llvm::cast<ReduceExpr>(e);
    std::vector<std::string> names;
    for (const IndexUse &use : reduce->indices)
      names.push_back(use.name);
    bool product = reduce->op == Reduction::Sum || reduce->op == Reduction::Prod;
    return fmt::format("{}[{}] {}", spelling(reduce->op).str(), fmt::join(names, ","),
                       product ? printAt(reduce->operand, ProductLevel)
                               : printOneOperand(reduce->operand));
  }
  case Expr::Kind::Map: {
    auto *map = llvm::cast<MapExpr>(e);
    std::string count = map->countExpr ? ", " + print(map->countExpr) : "";
    return fmt::format("{}[{}{}] {}", spelling(map->op).str(), map->index.name, count,
                       printOneOperand(map->operand));
  }
  }
  return "";
}

static std::string printAt(const Expr *e, Level place) {
  std::string text = printBare(e);
  return levelOf(e) < place ? fmt::format("({})", text) : text;
}

std::string ast::print(const Expr *e) { return printAt(e, AnyLevel); }

//===-----------------------------------------------------------------------------------------===//
// Files
//===-----------------------------------------------------------------------------------------===//

static const char *spelling(DType type) {
  switch (type) {
  case DType::Default:
    return "";
  case DType::F64:
    return "f64";
  case DType::F32:
    return "f32";
  case DType::BF16:
    return "bf16";
  case DType::F16:
    return "f16";
  case DType::I32:
    return "i32";
  case DType::Bool:
    return "bool";
  }
  return "";
}

static std::string printBatch(const BatchUse &use) {
  return use.group == 1 ? use.dim->name : fmt::format("{}/{}", use.dim->name, use.group);
}

static std::string printPlaces(const std::vector<Place> &places,
                               const std::vector<BatchUse> &batch = {}) {
  std::vector<std::string> names;
  for (const BatchUse &use : batch)
    names.push_back(printBatch(use));
  for (const Place &place : places)
    names.push_back(place.index ? place.index->name : place.dim->name);
  return fmt::format("[{}]", fmt::join(names, ","));
}

static std::string printType(DType type) {
  return type == DType::Default ? "" : fmt::format(" : {}", spelling(type));
}

static bool variesOverAll(const Tensor &tensor, const Mixer &mixer) {
  return tensor.batch.size() == mixer.batchDims.size() &&
         llvm::all_of(tensor.batch, [](const BatchUse &use) { return use.group == 1; });
}

static std::string printDims(const Mixer &mixer) {
  std::vector<std::string> groups, batch;
  for (const BatchDim *dim : mixer.batchDims)
    batch.push_back(dim->name);
  if (!batch.empty())
    groups.push_back(fmt::format("{} batch", fmt::join(batch, ", ")));
  for (const Dim *dim : mixer.dims) {
    std::vector<std::string> names;
    for (const Index *index : dim->indices)
      names.push_back(index->name);
    std::string size = dim->size       ? fmt::format(" = {}", *dim->size)
                       : dim->sizeExpr ? " = " + print(dim->sizeExpr)
                                       : "";
    groups.push_back(fmt::format("{} in {}{}", fmt::join(names, ", "), dim->name, size));
  }
  return groups.empty() ? "" : fmt::format("  dims {}\n", fmt::join(groups, "; "));
}

static std::string printMixer(const Mixer &mixer) {
  std::string text = fmt::format("mixer {}\n{}", mixer.name, printDims(mixer));
  for (const Const *constant : mixer.consts)
    text += fmt::format("  const {} = {}\n", constant->name, printNumber(constant->value));
  for (const Tensor *tensor : mixer.tensors) {
    text += fmt::format(
        "  {} {}{}{}", tensor->isParam() ? "param" : "input", tensor->name,
        printPlaces(tensor->places, tensor->isParam() ? tensor->batch : std::vector<BatchUse>()),
        printType(tensor->dtype));
    if (tensor->bounds)
      text += fmt::format(" in [{}, {}]", printNumber(Number::ofReal(tensor->bounds->low)),
                          printNumber(Number::ofReal(tensor->bounds->high)));
    if (!tensor->isParam() && !variesOverAll(*tensor, mixer)) {
      std::vector<std::string> names;
      for (const BatchUse &use : tensor->batch)
        names.push_back(printBatch(use));
      text += fmt::format(" per {}", fmt::join(names, ", "));
    }
    text += "\n";
  }
  for (const State *state : mixer.states)
    text += fmt::format("  state {}{} = {}\n", state->name, printPlaces(state->places),
                        printNumber(Number::ofReal(state->init)));
  for (const Equation *equation : mixer.equations) {
    text += fmt::format("  {}{} = {}\n", equation->name, printPlaces(equation->places),
                        print(equation->rhs));
    if (equation->where)
      text += fmt::format("    where {}\n", print(equation->where));
  }
  for (const Output *output : mixer.outputs)
    text += fmt::format("  output {}{}{}\n", output->name, printPlaces(output->equation()->places),
                        printType(output->dtype));
  return text;
}

std::string ast::print(const File &file) {
  std::vector<std::string> texts;
  for (const Mixer *mixer : file.mixers)
    texts.push_back(printMixer(*mixer));
  return fmt::format("{}", fmt::join(texts, "\n"));
}

//===-----------------------------------------------------------------------------------------===//
// Comparison
//===-----------------------------------------------------------------------------------------===//

template <typename List, typename Same>
static bool sameList(const List &a, const List &b, Same same) {
  return a.size() == b.size() && llvm::all_of(llvm::zip(a, b), [&](auto p) {
           return same(std::get<0>(p), std::get<1>(p));
         });
}

static bool sameExprs(const std::vector<Expr *> &a, const std::vector<Expr *> &b) {
  return sameList(a, b, [](const Expr *x, const Expr *y) { return sameExpr(x, y); });
}

static bool sameUses(const std::vector<IndexUse> &a, const std::vector<IndexUse> &b) {
  return sameList(a, b, [](const IndexUse &x, const IndexUse &y) { return x.name == y.name; });
}

bool ast::sameExpr(const Expr *a, const Expr *b) {
  if (!a || !b)
    return a == b;
  if (a->kind != b->kind || a->type != b->type)
    return false;
  switch (a->kind) {
  case Expr::Kind::Number:
    return llvm::cast<NumberExpr>(a)->value == llvm::cast<NumberExpr>(b)->value;
  case Expr::Kind::Ref: {
    auto *x = llvm::cast<RefExpr>(a), *y = llvm::cast<RefExpr>(b);
    return x->name == y->name && !x->decl == !y->decl &&
           (!x->decl || x->decl->kind == y->decl->kind) && sameExprs(x->indices, y->indices);
  }
  case Expr::Kind::Unary: {
    auto *x = llvm::cast<UnaryExpr>(a), *y = llvm::cast<UnaryExpr>(b);
    return x->op == y->op && sameExpr(x->operand, y->operand);
  }
  case Expr::Kind::Binary: {
    auto *x = llvm::cast<BinaryExpr>(a), *y = llvm::cast<BinaryExpr>(b);
    return x->op == y->op && sameExpr(x->lhs, y->lhs) && sameExpr(x->rhs, y->rhs);
  }
  case Expr::Kind::Cond: {
    auto *x = llvm::cast<CondExpr>(a), *y = llvm::cast<CondExpr>(b);
    return sameExpr(x->condition, y->condition) && sameExpr(x->whenTrue, y->whenTrue) &&
           sameExpr(x->whenFalse, y->whenFalse);
  }
  case Expr::Kind::Call: {
    auto *x = llvm::cast<CallExpr>(a), *y = llvm::cast<CallExpr>(b);
    return x->name == y->name && x->fn == y->fn && sameExprs(x->args, y->args);
  }
  case Expr::Kind::Reduce: {
    auto *x = llvm::cast<ReduceExpr>(a), *y = llvm::cast<ReduceExpr>(b);
    return x->op == y->op && sameUses(x->indices, y->indices) && sameExpr(x->operand, y->operand) &&
           sameExprs(x->domain, y->domain);
  }
  case Expr::Kind::Map: {
    auto *x = llvm::cast<MapExpr>(a), *y = llvm::cast<MapExpr>(b);
    return x->op == y->op && x->index.name == y->index.name && x->count == y->count &&
           sameExpr(x->operand, y->operand) && sameExprs(x->domain, y->domain);
  }
  }
  return false;
}

template <typename T> static const std::string &nameOf(const T *named) { return named->name; }

static bool sameNames(const auto &a, const auto &b) {
  return sameList(a, b, [](const auto *x, const auto *y) { return nameOf(x) == nameOf(y); });
}

static bool samePlaces(const std::vector<Place> &a, const std::vector<Place> &b) {
  return sameList(a, b, [](const Place &x, const Place &y) {
    return x.dim->name == y.dim->name && !x.index == !y.index &&
           (!x.index || x.index->name == y.index->name);
  });
}

static bool sameBatch(const std::vector<BatchUse> &a, const std::vector<BatchUse> &b) {
  return sameList(a, b, [](const BatchUse &x, const BatchUse &y) {
    return x.dim->name == y.dim->name && x.group == y.group;
  });
}

static bool sameBounds(const std::optional<Bounds> &a, const std::optional<Bounds> &b) {
  return a.has_value() == b.has_value() && (!a || (a->low == b->low && a->high == b->high));
}

static bool sameDims(const Mixer &a, const Mixer &b) {
  return sameNames(a.batchDims, b.batchDims) &&
         sameList(a.dims, b.dims, [](const Dim *x, const Dim *y) {
           return x->name == y->name && x->size == y->size &&
                  (x->size || sameExpr(x->sizeExpr, y->sizeExpr)) &&
                  sameNames(x->indices, y->indices);
         });
}

static bool sameDeclarations(const Mixer &a, const Mixer &b) {
  return sameDims(a, b) &&
         sameList(a.consts, b.consts,
                  [](const Const *x, const Const *y) {
                    return x->name == y->name && x->value == y->value;
                  }) &&
         sameList(a.tensors, b.tensors,
                  [](const Tensor *x, const Tensor *y) {
                    return x->kind == y->kind && x->name == y->name && x->dtype == y->dtype &&
                           samePlaces(x->places, y->places) && sameBatch(x->batch, y->batch) &&
                           sameBounds(x->bounds, y->bounds);
                  }) &&
         sameList(a.states, b.states,
                  [](const State *x, const State *y) {
                    return x->name == y->name && samePlaces(x->places, y->places) &&
                           x->init == y->init && x->direction == y->direction &&
                           x->group == y->group;
                  }) &&
         sameList(a.definitions, b.definitions, [](const Definition *x, const Definition *y) {
           return x->name == y->name && x->type == y->type && sameBatch(x->batch, y->batch);
         });
}

static bool sameMixer(const Mixer &a, const Mixer &b) {
  return a.name == b.name && sameDeclarations(a, b) &&
         sameList(a.equations, b.equations,
                  [](const Equation *x, const Equation *y) {
                    return x->name == y->name && samePlaces(x->places, y->places) &&
                           sameExpr(x->rhs, y->rhs) && sameExpr(x->where, y->where) &&
                           sameExprs(x->domain, y->domain);
                  }) &&
         sameList(a.outputs, b.outputs,
                  [](const Output *x, const Output *y) {
                    return x->name == y->name && x->dtype == y->dtype;
                  }) &&
         sameNames(a.order, b.order) && !a.timeDim == !b.timeDim &&
         (!a.timeDim || a.timeDim->name == b.timeDim->name) &&
         a.noStep.has_value() == b.noStep.has_value();
}

bool ast::sameFile(const File &a, const File &b) {
  return sameList(a.mixers, b.mixers,
                  [](const Mixer *x, const Mixer *y) { return sameMixer(*x, *y); });
}
