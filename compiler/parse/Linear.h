//===- Linear.h - Implication between conditions over integers -------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
// Conditions are comparisons of affine forms over atoms: indices, run-time lengths, integer reads
// and floor quotients. One condition follows from others if the others and its negation have no
// common solution, which Fourier-Motzkin elimination decides over the rationals (with the cuts that
// integers allow). "Not proved" is therefore an answer, never a wrong proof.
//
//===-----------------------------------------------------------------------------------------===//
#pragma once

#include "compiler/parse/Ast.h"
#include "llvm/ADT/DenseMap.h"
#include <map>
#include <set>
#include <string>
#include <vector>

namespace seqmix {

/// `constant + sum coefficient * atom`.
struct LinearForm {
  std::map<unsigned, int64_t> terms;
  int64_t constant = 0;
  bool overflowed = false;

  void add(const LinearForm &other, int64_t factor);
  std::string key() const;
};

class ConditionProver {
public:
  /// Index expressions that stand for indices: those of a read, for the left indices of what it
  /// reads.
  using Replacement = llvm::DenseMap<const ast::Index *, const ast::Expr *>;

  /// Assumes that a boolean expression holds (or, with `holds` false, that it does not).
  void assume(const ast::Expr *condition, bool holds = true);
  /// Assumes `0 <= e < extent of dim`.
  void assumeInside(const ast::Expr *e, const ast::Dim *dim);
  /// True if the condition, with indices replaced, follows from what is assumed.
  bool proves(const ast::Expr *condition, const Replacement &replacement);

  /// Forgets what was assumed after `mark`.
  struct Mark {
    size_t facts, truths, choices;
  };
  Mark mark() const { return {facts.size(), truths.size(), choices.size()}; }
  void restore(Mark mark);

private:
  using Facts = std::vector<LinearForm>; ///< each >= 0

  std::map<std::string, unsigned> atoms;
  Facts ranges; ///< of the atoms themselves: always true
  Facts facts;
  std::vector<std::pair<std::string, bool>> truths; ///< boolean reads known to hold or not
  struct Choice {
    const ast::Expr *condition; ///< an `or`, an `and` that does not hold, or what is not equal
    bool holds;
  };
  std::vector<Choice> choices;
  const Replacement *replacement = nullptr;
  /// Systems that may still be solved; a file cannot keep the compiler busy for long.
  unsigned budget = 1000;

  unsigned atom(const std::string &key, bool &isNew);
  LinearForm ofAtom(unsigned atom);
  LinearForm linear(const ast::Expr *e);
  LinearForm linearIndex(const ast::Index *index);
  LinearForm linearDim(const ast::Dim *dim);
  LinearForm quotient(const LinearForm &dividend, int64_t divisor);
  std::string readKey(const ast::RefExpr *ref);
  void assumeComparison(const ast::BinaryExpr *comparison, bool holds);
  bool provesNow(const ast::Expr *condition, bool holds);
  bool provesSplit(const ast::Expr *condition, size_t choice, unsigned depth);
  bool contradicts(Facts extra);
};

/// True if the forms cannot all be at least 0; false if they can or it was too much work to tell.
bool areInfeasible(std::vector<LinearForm> forms);

} // namespace seqmix
