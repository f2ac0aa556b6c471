//===- Linear.cpp ----------------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Linear.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include <fmt/format.h>
#include <numeric>

using namespace seqmix;
using namespace seqmix::ast;

//===-----------------------------------------------------------------------------------------===//
// Forms and elimination
//===-----------------------------------------------------------------------------------------===//

void LinearForm::add(const LinearForm &other, int64_t factor) {
  int64_t scaled;
  overflowed |= other.overflowed;
  for (auto [atom, coefficient] : other.terms) {
    int64_t &mine = terms[atom];
    overflowed |=
        llvm::MulOverflow(coefficient, factor, scaled) || llvm::AddOverflow(mine, scaled, mine);
    if (mine == 0)
      terms.erase(atom);
  }
  overflowed |= llvm::MulOverflow(other.constant, factor, scaled) ||
                llvm::AddOverflow(constant, scaled, constant);
}

std::string LinearForm::key() const {
  std::string text = fmt::format("{}", constant);
  for (auto [atom, coefficient] : terms)
    text += fmt::format("{:+}a{}", coefficient, atom);
  return text;
}

static int64_t floorDivide(int64_t a, int64_t b) { return a / b - (a % b != 0 && a < 0); }

/// Divides by the common divisor of the coefficients; the constant may be rounded down, since the
/// rest is whole.
static void tighten(LinearForm &form) {
  int64_t divisor = 0;
  for (auto [atom, coefficient] : form.terms)
    divisor = std::gcd(divisor, coefficient);
  if (divisor <= 1)
    return;
  for (auto &[atom, coefficient] : form.terms)
    coefficient /= divisor;
  form.constant = floorDivide(form.constant, divisor);
}

bool seqmix::areInfeasible(std::vector<LinearForm> forms) {
  constexpr size_t maxForms = 300;
  while (true) {
    // Constants decide at once, and repeated forms only cost time.
    std::map<std::string, LinearForm> kept;
    std::map<unsigned, std::pair<size_t, size_t>> signs; // positive and negative occurrences
    for (LinearForm &form : forms) {
      if (form.overflowed)
        continue; // dropping a fact is safe
      tighten(form);
      if (form.terms.empty()) {
        if (form.constant < 0)
          return true;
        continue;
      }
      LinearForm direction = form;
      direction.constant = 0;
      auto [it, isNew] = kept.try_emplace(direction.key(), form);
      if (!isNew && form.constant < it->second.constant)
        it->second = form; // the stronger of two parallel ones
    }
    forms.clear();
    for (auto &[key, form] : kept) {
      for (auto [atom, coefficient] : form.terms)
        ++(coefficient > 0 ? signs[atom].first : signs[atom].second);
      forms.push_back(form);
    }
    if (signs.empty())
      return false;
    auto cost = [](const auto &entry) { return entry.second.first * entry.second.second; };
    auto cheapest =
        llvm::min_element(signs, [&](const auto &a, const auto &b) { return cost(a) < cost(b); });
    unsigned atom = cheapest->first;
    if (cost(*cheapest) + forms.size() > maxForms)
      return false;
    std::vector<LinearForm> next;
    for (const LinearForm &lower : forms) {
      auto up = lower.terms.find(atom);
      if (up == lower.terms.end()) {
        next.push_back(lower);
        continue;
      }
      if (up->second < 0)
        continue;
      for (const LinearForm &upper : forms) {
        auto down = upper.terms.find(atom);
        if (down == upper.terms.end() || down->second > 0 ||
            down->second == std::numeric_limits<int64_t>::min())
          continue;
        LinearForm combined;
        combined.add(lower, -down->second);
        combined.add(upper, up->second);
        next.push_back(std::move(combined));
      }
    }
    forms = std::move(next);
  }
}

//===-----------------------------------------------------------------------------------------===//
// Atoms
//===-----------------------------------------------------------------------------------------===//

unsigned ConditionProver::atom(const std::string &key, bool &isNew) {
  auto [it, inserted] = atoms.try_emplace(key, atoms.size());
  isNew = inserted;
  return it->second;
}

LinearForm ConditionProver::ofAtom(unsigned atom) {
  LinearForm form;
  form.terms[atom] = 1;
  return form;
}

LinearForm ConditionProver::linearDim(const Dim *dim) {
  LinearForm form;
  if (dim->size) {
    form.constant = *dim->size;
    return form;
  }
  bool isNew;
  form = ofAtom(atom("d" + dim->name, isNew));
  if (!isNew)
    return form;
  ranges.push_back(form); // a length is at least 0
  if (!dim->isDerived())
    return form;
  const Replacement *outer = std::exchange(replacement, nullptr);
  LinearForm difference = linear(dim->sizeExpr);
  replacement = outer;
  difference.add(form, -1);
  ranges.push_back(difference);
  LinearForm opposite;
  opposite.add(difference, -1);
  ranges.push_back(opposite);
  return form;
}

LinearForm ConditionProver::linearIndex(const Index *index) {
  if (replacement)
    if (auto it = replacement->find(index); it != replacement->end()) {
      const Replacement *outer = std::exchange(replacement, nullptr);
      LinearForm form = linear(it->second);
      replacement = outer;
      return form;
    }
  bool isNew;
  LinearForm form = ofAtom(atom("i" + index->name, isNew));
  if (!isNew)
    return form;
  ranges.push_back(form);
  LinearForm below = linearDim(index->dim);
  below.add(form, -1);
  below.constant -= 1;
  ranges.push_back(below);
  return form;
}

/// floor(dividend / divisor) as an atom that knows its bounds.
LinearForm ConditionProver::quotient(const LinearForm &dividend, int64_t divisor) {
  bool isNew;
  LinearForm form = ofAtom(atom(fmt::format("({})//{}", dividend.key(), divisor), isNew));
  if (!isNew)
    return form;
  LinearForm rest = dividend; // 0 <= dividend - divisor * q < divisor
  rest.add(form, -divisor);
  ranges.push_back(rest);
  LinearForm below;
  below.constant = divisor - 1;
  below.add(rest, -1);
  ranges.push_back(below);
  return form;
}

std::string ConditionProver::readKey(const RefExpr *ref) {
  std::string key = "r" + ref->name;
  for (const Expr *index : ref->indices)
    key += "[" + linear(index).key() + "]";
  return key;
}

LinearForm ConditionProver::linear(const Expr *e) {
  LinearForm form;
  if (std::optional<Number> value = constantValue(e); value && value->isInteger) {
    form.constant = value->integer;
    return form;
  }
  bool isNew;
  if (auto *ref = llvm::dyn_cast<RefExpr>(e)) {
    if (auto *index = llvm::dyn_cast<Index>(ref->decl))
      return linearIndex(index);
    if (auto *dim = llvm::dyn_cast<Dim>(ref->decl))
      return linearDim(dim);
    return ofAtom(atom(readKey(ref), isNew));
  }
  if (auto *unary = llvm::dyn_cast<UnaryExpr>(e)) {
    form.add(linear(unary->operand), -1);
    return form;
  }
  if (auto *binary = llvm::dyn_cast<BinaryExpr>(e)) {
    std::optional<Number> left = constantValue(binary->lhs), right = constantValue(binary->rhs);
    switch (binary->op) {
    case BinaryOp::Add:
    case BinaryOp::Sub:
      form = linear(binary->lhs);
      form.add(linear(binary->rhs), binary->op == BinaryOp::Add ? 1 : -1);
      return form;
    case BinaryOp::Mul:
      if (!(left && left->isInteger) && !(right && right->isInteger))
        break;
      form.add(linear(left ? binary->rhs : binary->lhs), left ? left->integer : right->integer);
      return form;
    case BinaryOp::FloorDiv:
    case BinaryOp::Mod: {
      if (!right || !right->isInteger || right->integer < 1)
        break;
      LinearForm dividend = linear(binary->lhs);
      LinearForm q = quotient(dividend, right->integer);
      if (binary->op == BinaryOp::FloorDiv)
        return q;
      dividend.add(q, -right->integer);
      return dividend;
    }
    default:
      break;
    }
  }
  // Anything else is a value of its own. Under a replacement its indices are others, so it equals
  // nothing.
  std::string key = replacement ? fmt::format("?{}", atoms.size()) : "e" + print(e);
  return ofAtom(atom(key, isNew));
}

//===-----------------------------------------------------------------------------------------===//
// Assumptions and proofs
//===-----------------------------------------------------------------------------------------===//

/// `a op b` as forms that are all >= 0; false for `!=`, which is two alternatives.
static bool asForms(BinaryOp op, const LinearForm &a, const LinearForm &b,
                    std::vector<LinearForm> &forms) {
  auto atLeast = [&](const LinearForm &x, const LinearForm &y, int64_t by) { // x >= y + by
    LinearForm form = x;
    form.add(y, -1);
    form.overflowed |= llvm::SubOverflow(form.constant, by, form.constant);
    forms.push_back(std::move(form));
  };
  switch (op) {
  case BinaryOp::Lt:
    atLeast(b, a, 1);
    return true;
  case BinaryOp::Le:
    atLeast(b, a, 0);
    return true;
  case BinaryOp::Gt:
    atLeast(a, b, 1);
    return true;
  case BinaryOp::Ge:
    atLeast(a, b, 0);
    return true;
  case BinaryOp::Eq:
    atLeast(a, b, 0);
    atLeast(b, a, 0);
    return true;
  default:
    return false;
  }
}

static BinaryOp negated(BinaryOp op) {
  switch (op) {
  case BinaryOp::Lt:
    return BinaryOp::Ge;
  case BinaryOp::Le:
    return BinaryOp::Gt;
  case BinaryOp::Gt:
    return BinaryOp::Le;
  case BinaryOp::Ge:
    return BinaryOp::Lt;
  case BinaryOp::Eq:
    return BinaryOp::Ne;
  default:
    return BinaryOp::Eq;
  }
}

void ConditionProver::assumeComparison(const BinaryExpr *comparison, bool holds) {
  if (comparison->lhs->type != Type::Integer || comparison->rhs->type != Type::Integer)
    return;
  BinaryOp op = holds ? comparison->op : negated(comparison->op);
  if (op == BinaryOp::Ne)
    choices.push_back({comparison, holds});
  else
    asForms(op, linear(comparison->lhs), linear(comparison->rhs), facts);
}

void ConditionProver::assume(const Expr *condition, bool holds) {
  if (auto *unary = llvm::dyn_cast<UnaryExpr>(condition))
    return assume(unary->operand, !holds);
  if (auto *ref = llvm::dyn_cast<RefExpr>(condition)) {
    truths.push_back({readKey(ref), holds});
    return;
  }
  auto *binary = llvm::dyn_cast<BinaryExpr>(condition);
  if (!binary)
    return;
  if (!isLogical(binary->op))
    return assumeComparison(binary, holds);
  if ((binary->op == BinaryOp::And) == holds) {
    assume(binary->lhs, holds);
    assume(binary->rhs, holds);
  } else {
    choices.push_back({condition, holds});
  }
}

void ConditionProver::assumeInside(const Expr *e, const Dim *dim) {
  LinearForm value = linear(e);
  LinearForm below = linearDim(dim);
  below.add(value, -1);
  below.overflowed |= llvm::SubOverflow(below.constant, int64_t(1), below.constant);
  facts.push_back(value);
  facts.push_back(below);
}

void ConditionProver::restore(Mark mark) {
  facts.resize(mark.facts);
  truths.resize(mark.truths);
  choices.resize(mark.choices);
}

bool ConditionProver::contradicts(Facts extra) {
  if (budget == 0)
    return false;
  --budget;
  extra.insert(extra.end(), facts.begin(), facts.end());
  extra.insert(extra.end(), ranges.begin(), ranges.end());
  return areInfeasible(std::move(extra));
}

bool ConditionProver::provesNow(const Expr *condition, bool holds) {
  if (auto *unary = llvm::dyn_cast<UnaryExpr>(condition))
    return provesNow(unary->operand, !holds);
  if (auto *ref = llvm::dyn_cast<RefExpr>(condition))
    return llvm::is_contained(truths, std::pair(readKey(ref), holds)) || contradicts({});
  auto *binary = llvm::dyn_cast<BinaryExpr>(condition);
  if (!binary)
    return false;
  if (isLogical(binary->op)) {
    if ((binary->op == BinaryOp::And) == holds)
      return provesNow(binary->lhs, holds) && provesNow(binary->rhs, holds);
    return provesNow(binary->lhs, holds) || provesNow(binary->rhs, holds);
  }
  if (binary->lhs->type != Type::Integer || binary->rhs->type != Type::Integer)
    return false;
  // Each alternative of the negation must contradict the facts.
  LinearForm a = linear(binary->lhs), b = linear(binary->rhs);
  BinaryOp op = negated(holds ? binary->op : negated(binary->op));
  llvm::SmallVector<BinaryOp, 2> alternatives{op};
  if (op == BinaryOp::Ne)
    alternatives = {BinaryOp::Lt, BinaryOp::Gt};
  return llvm::all_of(alternatives, [&](BinaryOp alternative) {
    Facts extra;
    asForms(alternative, a, b, extra);
    return contradicts(std::move(extra));
  });
}

/// Tries both ways out of each choice among the assumptions, a few levels deep.
bool ConditionProver::provesSplit(const Expr *condition, size_t choice, unsigned depth) {
  if (provesNow(condition, true))
    return true;
  if (choice >= choices.size() || depth == 0)
    return false;
  auto [chosen, holds] = choices[choice];
  auto *binary = llvm::cast<BinaryExpr>(chosen);
  for (bool isFirst : {true, false}) {
    Mark before = mark();
    const Replacement *outer = std::exchange(replacement, nullptr);
    if (isLogical(binary->op))
      assume(isFirst ? binary->lhs : binary->rhs, holds);
    else // what differs is less or greater
      asForms(isFirst ? BinaryOp::Lt : BinaryOp::Gt, linear(binary->lhs), linear(binary->rhs),
              facts);
    replacement = outer;
    bool proved = provesSplit(condition, choice + 1, depth - 1);
    restore(before);
    if (!proved)
      return false;
  }
  return true;
}

bool ConditionProver::proves(const Expr *condition, const Replacement &given) {
  replacement = &given;
  bool result = provesSplit(condition, 0, 4);
  replacement = nullptr;
  return result;
}
