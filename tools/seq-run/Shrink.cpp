//===- Shrink.cpp -------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Shrink.h"

#include "tools/seq-run/RandomTrial.h"
#include "tools/seq-run/Workers.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallPtrSet.h"

#include <chrono>
#include <fmt/format.h>

using namespace llvm;

namespace seqmix::run {

namespace {

/// How a text fails; nothing where it does not, or is no mixer.
std::optional<RandomVerdict> failureOf(const std::string &text, const std::string &name,
                                       ast::DType dtype, const RandomOptions &options) {
  std::optional<RandomVerdict> failure;
  runJobs(
      1, 1, options.secondsEach,
      [&](unsigned, Report report) {
        SourceFile source(name + ".seq", text);
        tryRandomMixers(source, dtype, options,
                        [&](size_t, const RandomVerdict &verdict) { report(toJson(verdict)); });
      },
      [&](unsigned, json::Value value) {
        RandomVerdict verdict = verdictFrom(*value.getAsObject());
        if (!verdict.passed())
          failure = verdict;
      },
      [&](unsigned, const JobEnd &end) {
        if (!end.ok) {
          failure.emplace();
          failure->problem = end.reason;
        }
        return true;
      });
  return failure;
}

/// One of: cannot be run or compiled, crashes, gives wrong results.
std::string kindOf(const RandomVerdict &verdict) {
  if (verdict.problem.empty())
    return "wrong";
  return verdict.problem.substr(0, verdict.problem.find(' '));
}

/// Everything that an edit may touch, in a fixed order: the same text gives the same list.
struct Tree {
  std::unique_ptr<ast::File> file;
  std::vector<ast::Expr **> places;

  explicit Tree(const std::string &text) {
    Diagnostics diagnostics;
    file = parseAndCheck(SourceFile("shrink.seq", text), {}, diagnostics);
    if (!file || file->mixers.empty()) {
      file.reset();
      return;
    }
    for (ast::Equation *equation : mixer().equations)
      collect(equation->rhs);
  }
  ast::Mixer &mixer() { return *file->mixers[0]; }

private:
  void collect(ast::Expr *&place) {
    places.push_back(&place);
    if (auto *unary = dyn_cast<ast::UnaryExpr>(place)) {
      collect(unary->operand);
    } else if (auto *binary = dyn_cast<ast::BinaryExpr>(place)) {
      collect(binary->lhs);
      collect(binary->rhs);
    } else if (auto *cond = dyn_cast<ast::CondExpr>(place)) {
      collect(cond->condition);
      collect(cond->whenTrue);
      collect(cond->whenFalse);
    } else if (auto *call = dyn_cast<ast::CallExpr>(place)) {
      for (ast::Expr *&argument : call->args)
        collect(argument);
    } else if (auto *reduce = dyn_cast<ast::ReduceExpr>(place)) {
      collect(reduce->operand);
    } else if (auto *map = dyn_cast<ast::MapExpr>(place)) {
      collect(map->operand);
    }
  }
};

/// Removes declarations that no equation reads any more.
void dropUnused(ast::Mixer &mixer) {
  bool changed = true;
  while (changed) {
    SmallPtrSet<const ast::Decl *, 32> used;
    for (const ast::Output *output : mixer.outputs)
      used.insert(output->value);
    for (ast::Equation *equation : mixer.equations) {
      auto note = [&](ast::Expr *expr) {
        ast::walk(expr, [&](ast::Expr *e) {
          auto *ref = dyn_cast<ast::RefExpr>(e);
          if (ref && ref->decl != equation->target)
            used.insert(ref->decl);
        });
      };
      note(equation->rhs);
      if (equation->where)
        note(equation->where);
    }
    auto isUnused = [&](const ast::Decl *decl) { return !used.contains(decl); };
    size_t before = mixer.equations.size();
    erase_if(mixer.equations, [&](ast::Equation *e) { return isUnused(e->target); });
    erase_if(mixer.states, isUnused);
    erase_if(mixer.definitions, isUnused);
    changed = mixer.equations.size() != before;
    if (!changed)
      erase_if(mixer.tensors, isUnused);
  }
  mixer.fns.clear();
}

using Edit = std::function<bool(Tree &)>;

/// Replaces the expression at a place by one of its operands, or by a number.
Edit replaceBy(size_t place, int choice) {
  return [=](Tree &tree) {
    ast::Expr *&expr = *tree.places[place];
    if (isa<ast::NumberExpr>(expr))
      return false;
    if (choice < 0) {
      if (expr->type != ast::Type::Real)
        return false;
      expr = tree.file->make<ast::NumberExpr>(
          choice == -1 ? ast::Number::ofInteger(1) : ast::Number::ofReal(0.5), expr->range);
      return true;
    }
    SmallVector<ast::Expr *> operands;
    if (!isa<ast::RefExpr>(expr))
      ast::forEachChild(expr, [&](ast::Expr *child) {
        if (child->type == expr->type)
          operands.push_back(child);
      });
    if (static_cast<size_t>(choice) >= operands.size())
      return false;
    expr = operands[choice];
    return true;
  };
}

std::vector<Edit> editsOf(Tree &tree) {
  std::vector<Edit> edits;
  ast::Mixer &mixer = tree.mixer();
  if (mixer.outputs.size() > 1)
    for (size_t n = 0; n < mixer.outputs.size(); ++n)
      edits.push_back([=](Tree &t) {
        t.mixer().outputs.erase(t.mixer().outputs.begin() + n);
        return true;
      });
  // A definition in place of the outputs that read it.
  for (size_t n = 0; n < mixer.definitions.size(); ++n)
    edits.push_back([=](Tree &t) {
      ast::Mixer &m = t.mixer();
      ast::Definition *value = m.definitions[n];
      const ast::Place *first = value->equation->places.data();
      if (value->type != ast::Type::Real || value->equation->places.empty() ||
          first->dim != m.timeDim || (m.outputs.size() == 1 && m.outputs[0]->value == value))
        return false;
      auto *output = t.file->make<ast::Output>(value->range);
      output->name = value->name;
      output->indices = value->equation->indices;
      output->hasBrackets = true;
      output->value = value;
      m.outputs = {output};
      return true;
    });
  for (size_t place = 0; place < tree.places.size(); ++place)
    for (int choice : {0, 1, 2, -1, -2})
      edits.push_back(replaceBy(place, choice));
  for (size_t n = 0; n < mixer.dims.size(); ++n)
    for (int64_t size : {1, 2, 3, 8})
      edits.push_back([=](Tree &t) {
        ast::Dim &dim = *t.mixer().dims[n];
        if (!dim.size || *dim.size <= size)
          return false;
        dim.size = size;
        dim.sizeExpr = t.file->make<ast::NumberExpr>(ast::Number::ofInteger(size), dim.range);
        return true;
      });
  for (size_t n = 0; n < mixer.tensors.size(); ++n)
    edits.push_back([=](Tree &t) {
      ast::Tensor &tensor = *t.mixer().tensors[n];
      bool isPlain = tensor.dtype == ast::DType::Default && !tensor.bounds;
      if (isPlain || tensor.type() != ast::Type::Real)
        return false;
      tensor.dtype = ast::DType::Default;
      tensor.bounds.reset();
      return true;
    });
  return edits;
}

} // namespace

std::string shrink(const std::string &text, const std::string &name, ast::DType dtype,
                   const RandomOptions &options, std::string &verdict) {
  auto first = failureOf(text, name, dtype, options);
  if (!first) {
    verdict = "  does not fail alone\n";
    return text;
  }
  verdict = first->text();
  std::string kind = kindOf(*first), best = text;
  auto end = std::chrono::steady_clock::now() + std::chrono::minutes(5);
  bool changed = true;
  while (changed && std::chrono::steady_clock::now() < end) {
    changed = false;
    Tree listed(best);
    if (!listed.file)
      return best;
    size_t count = editsOf(listed).size();
    for (size_t n = 0; n < count && std::chrono::steady_clock::now() < end; ++n) {
      Tree tree(best);
      std::vector<Edit> edits = editsOf(tree);
      if (n >= edits.size())
        break;
      if (!edits[n](tree))
        continue;
      dropUnused(tree.mixer());
      std::string candidate = ast::print(*tree.file);
      if (candidate == best || !Tree(candidate).file)
        continue;
      auto failure = failureOf(candidate, name, dtype, options);
      if (!failure || kindOf(*failure) != kind)
        continue;
      best = candidate;
      verdict = failure->text();
      changed = true;
      --n; // the same place again: the list moved up
    }
  }
  return best;
}

} // namespace seqmix::run
