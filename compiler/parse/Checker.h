//===- Checker.h - What the checks of one mixer share ----------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
// The checks run in the order of `MixerChecker::run`; each relies on the ones before it and stops
// after its own errors, so that one mistake gives one message.
//
//===-----------------------------------------------------------------------------------------===//
#pragma once

#include "compiler/parse/Parse.h"
#include "compiler/parse/Parser.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/ADT/StringMap.h"
#include <set>

namespace seqmix {

class MixerChecker {
public:
  MixerChecker(ast::File &file, RawMixer &raw, const Overrides &overrides, Diagnostics &diagnostics)
      : file(file), raw(raw), mixer(*raw.mixer), overrides(overrides), diagnostics(diagnostics) {}

  /// Runs all checks; true if there was no error.
  bool run();

private:
  ast::File &file;
  RawMixer &raw;
  ast::Mixer &mixer;
  const Overrides &overrides;
  Diagnostics &diagnostics;
  unsigned errorsBefore = diagnostics.errorCount();
  /// True once this mixer has an error.
  bool failed() const { return diagnostics.errorCount() != errorsBefore || diagnostics.full(); }
  llvm::StringMap<ast::Decl *> names;
  llvm::DenseMap<const ast::CallExpr *, ast::Fn *> userCalls;

  //===-- Names.cpp: declarations and references
  //-----------------------------------------------===//
  void declare(ast::Decl *decl);
  void declareNames();
  void resolvePlaces();
  void resolveTensor(RawTensor &tensor);
  bool resolveBatch(const RawPlace &place, std::vector<ast::BatchUse> &batch);
  std::optional<ast::Place> resolvePlace(const RawPlace &place);
  void checkDistinct(const std::vector<ast::Place> &places);
  void resolveLeftSides();
  void resolveExpressions();
  /// Resolves the names in `e`; `fn` is the function whose body it is, or null.
  void resolve(ast::Expr *e, const ast::Fn *fn);
  void resolveRef(ast::RefExpr *ref, const ast::Fn *fn);
  void resolveCall(ast::CallExpr *call);
  bool resolveIndexUse(ast::IndexUse &use, llvm::StringRef what);
  void unknownName(SourceRange at, llvm::StringRef name, bool calls = false);
  std::string didYouMean(llvm::StringRef name, llvm::ArrayRef<ast::Decl::Kind> kinds = {}) const;
  void resolveOutputs();
  void warnAboutUnused();

  //===-- Sizes.cpp: compile-time numbers
  //------------------------------------------------------===//
  void evaluateSizes();
  enum class Progress { None, Running, Failed, Done };
  llvm::DenseMap<const ast::Decl *, Progress> progress;
  /// Names from the outermost size to the one being evaluated.
  std::vector<const ast::Decl *> evaluating;
  bool evaluateDim(ast::Dim *dim);
  bool evaluateConst(ast::Const *constant);
  bool resolveConstantExpr(ast::Expr *e, llvm::StringRef what, bool runTimeAllowed,
                           bool *isRunTime);
  std::optional<ast::Number> evaluate(ast::Expr *e, llvm::StringRef what);
  void evaluateBounds();
  void evaluateInitialValues();
  void checkExtents();

  //===-- Inline.cpp: calls of the file's functions
  //--------------------------------------------===//
  void inlineFunctions();

  //===-- Scopes.cpp: free indices, ranks, places
  //----------------------------------------------===//
  struct Binding {
    ast::Index *index;
    SourceRange range;
  };
  using Scope = std::vector<Binding>;
  void checkScopes();
  void checkScope(ast::Expr *e, const ast::Equation &equation, Scope &scope, bool inWhere);
  void checkRead(ast::RefExpr *ref);
  void bind(const ast::IndexUse &use, ast::Expr *reduction, Scope &scope);

  //===-- Types.cpp: real, integer, boolean
  //----------------------------------------------------===//
  void checkTypes();
  void typeEquation(ast::Equation *equation);
  /// Sets the types of `e` and all below it, and reports what does not fit.
  ast::Type typeOf(ast::Expr *e);
  ast::Type typeOfRef(ast::RefExpr *ref);
  ast::Type typeOfBinary(ast::BinaryExpr *binary);
  ast::Type typeOfCall(ast::CallExpr *call);
  ast::Type typeOfMap(ast::MapExpr *map);
  /// Types `e` and reports it if it is a boolean; `who` names the taker: "'+'".
  ast::Type number(ast::Expr *e, llvm::StringRef who);
  void boolean(ast::Expr *e, llvm::StringRef who);
  void checkOutputTypes();

  //===-- Domains.cpp: `where`
  //-----------------------------------------------------------------===//
  void attachDomains();
  void attachDomain(ast::Equation *equation);
  bool checkCondition(ast::Expr *condition);
  bool checkConditionTerm(ast::Expr *term);

  //===-- Dependencies.cpp: states, directions, cycles, order
  //----------------------------------===//
  void findTimeDim();
  void checkDependencies();
  void computeBatch();
  void findNoStep();

  //===-- DomainReads.cpp: restricted definitions are read inside their domains
  //------------------===//
  void checkDomainReads();

  //===-- Messages
  //-----------------------------------------------------------------------------===//
  /// Reports an error at an expression; if it was inlined, at the call, with a note at the
  /// function.
  Diagnostic &errorAt(const ast::Expr *e, std::string message);
  Diagnostic &errorAt(const ast::Expr *e, SourceRange part, std::string message);
  friend class Inliner;
  friend class DependencyChecker;
  friend class DomainReadChecker;
};

/// `S[t,i,j]` as the left side was written.
std::string leftSide(const SourceFile &source, const ast::Equation &equation);
/// The conjuncts of a condition: its operands under `and`, in order.
void splitConjuncts(ast::Expr *condition, std::vector<ast::Expr *> &conjuncts);
/// The indices that `e` names outside the reductions that bind them, in order of occurrence.
std::vector<ast::Index *> freeIndices(const ast::Expr *e);

} // namespace seqmix
