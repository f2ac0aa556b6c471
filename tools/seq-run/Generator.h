//===- Generator.h - random mixers -------------------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Writes well-typed mixers of any shape that the language allows for recurrences, as text. They are
// kept numerically tame (transitions mostly contract, nonlinear functions are bounded), so that
// what differs from the oracle by more than rounding is an error of the compiler.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_GENERATOR_H
#define SEQMIX_TOOLS_SEQRUN_GENERATOR_H

#include "tools/seq-run/Draw.h"

#include "llvm/ADT/SmallVector.h"

#include <string>
#include <vector>

namespace seqmix::run {

/// The text of the `number`-th random mixer of a seed; its name is `name`.
std::string randomMixer(uint64_t seed, uint64_t number, const std::string &name);

//===----------------------------------------------------------------------===//
// Parts, shared by the files Generator*.cpp
//===----------------------------------------------------------------------===//

/// A feature dim with the names that run over it.
struct GeneratedDim {
  std::string name;
  int64_t size = 1;
  llvm::SmallVector<std::string, 2> indices;
  bool isWindow = false; ///< short, for sums over earlier tokens
};

/// Something that equations can read.
struct GeneratedValue {
  enum Origin { Input, Param, Definition, State };
  enum Class { Real, Fraction, Negative, Integer, Boolean };
  std::string name;
  std::vector<unsigned> dims; ///< feature dims, in order
  bool overTokens = true;
  Origin origin = Input;
  Class cls = Real;
  bool backward = false;    ///< a state that reads t+1
  bool isReady = true;      ///< false for a state before its equation: only its past may be read
  bool isUnbounded = false; ///< a state or a sum that grows with the tokens
};

using DimList = std::vector<unsigned>;

/// What is bound where an expression stands: the name of an index for each dim, or none.
struct GeneratedScope {
  bool overTokens = true;
  std::vector<std::string> index;
  DimList dims() const {
    DimList bound;
    for (unsigned d = 0; d < index.size(); ++d)
      if (!index[d].empty())
        bound.push_back(d);
    return bound;
  }
};

class Generator {
public:
  Generator(uint64_t seed, uint64_t number, std::string name);
  std::string run();

private:
  using Value = GeneratedValue;
  using Scope = GeneratedScope;

  // Generator.cpp: declarations, sizes, the frame.
  void chooseDims();
  DimList chooseDimList(unsigned rank, int64_t most);
  int64_t elements(const DimList &list) const;
  Scope scopeOf(const DimList &list, bool overTokens = true) const;
  std::string newName(const char *stem);
  Value addInput(const DimList &list, Value::Class cls, bool overTokens = true);
  Value addParam(const DimList &list, Value::Class cls);
  Value define(const DimList &list, const std::string &rhs, bool overTokens = true,
               const std::string &where = "");
  std::string batchSuffix();
  std::string leftSide(const std::string &name, const DimList &list, bool overTokens,
                       const Scope &scope) const;
  void equation(const std::string &lhs, const std::string &rhs, const std::string &where = "");
  std::string text() const;

  // GeneratorExpr.cpp: expressions. Each is in brackets where it is not a name, number or call.
  std::string read(const Value &value, const Scope &scope, const std::string &time = "t") const;
  std::string atom(const Scope &scope);
  std::string pastOf(const Value &value, const Scope &scope);
  std::string unit(const Scope &scope, int depth);
  std::string bounded(const Scope &scope, int depth);
  std::string fraction(const Scope &scope, int depth);
  std::string negative(const Scope &scope);
  std::string condition(const Scope &scope, int depth);
  std::string reduction(const Scope &scope, int depth);
  std::string freshRead(const DimList &list, const Scope &scope, Value::Class cls = Value::Real);
  std::string normalised(const std::string &operand, unsigned dim);
  std::string number(double low, double high);
  std::string root(unsigned dim) const; ///< K^-0.5
  bool bind(Scope &scope, unsigned dim, std::string &index) const;
  void addPreliminaries();
  void addWindow();

  // GeneratorStates.cpp, GeneratorCoupled.cpp: groups of states.
  static const char *past(const Value &state) { return state.backward ? "t+1" : "t-1"; }
  struct Decay {
    std::string text; ///< empty: none
    bool isNegative = false;
  };
  void addStates();
  Value newState(const DimList &list, const char *init, bool backward);
  void finish(const Value &state, const std::string &rhs);
  Decay decay(const DimList &list, const Scope &scope, bool separable);
  std::string maybeDefine(const DimList &list, const std::string &rhs, const Scope &scope);
  void matrix(bool backward);
  std::string deltaTerms(const Value &state, unsigned row, unsigned column, const Decay &decay,
                         std::string &base);
  void elementwise(bool backward);
  void selective(bool backward);
  void tropical(bool backward);
  void nonlinearDiagonal(bool backward);
  void nonlinearDense(bool backward);
  void denseLinear(bool backward);
  void rotation(bool backward);
  void momentum(bool backward);
  std::string couplingOf(unsigned row, const Scope &scope, double most);
  void coupledMatrices(bool backward);
  void stabilised(bool backward);
  void matrixNonlinear(bool backward);

  // GeneratorPairs.cpp: reductions over pairs of positions.
  void addPairs();
  void addSeparableSum();
  std::string pairDomain();
  std::string pairScore(const DimList &list);

  // GeneratorOutputs.cpp
  void addOutputs();
  std::string readOut(const Value &state, DimList &left);
  void addOutput(const DimList &list, std::string rhs);

  mutable Stream random;
  std::string name;
  std::vector<GeneratedDim> dims;
  std::vector<std::string> batch;
  std::string groupedBatch; ///< the batch dim that is divided by 2 in places, or empty
  std::vector<Value> values;
  std::vector<std::string> inputs, params, states, functions, equations, outputs;
  std::vector<std::string> normFunctions; ///< by dim: the name of its normaliser
  unsigned names = 0;
  bool hasPairs = false;
  bool showsExtents = false; ///< an input has all batch dims and the tokens
  bool isBackward = false;   ///< while a group of states that reads t+1 is written
};

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_GENERATOR_H
