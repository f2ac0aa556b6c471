//===- Program.h - equations in the form in which the oracle runs them -*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_REFERENCE_PROGRAM_H
#define SEQMIX_COMPILER_REFERENCE_PROGRAM_H

#include "dialect/Seq.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallVector.h"

#include <functional>
#include <map>
#include <vector>

namespace seqmix::reference {

/// The numbers that an index over a dim takes.
struct Range {
  int64_t begin = 0;
  int64_t count = 0;
};

/// All elements of a tensor, definition or state for one sequence. Row `n` of a variable over
/// tokens belongs to token `origin + n`: windows and the initial value of a state are rows too.
struct Variable {
  std::vector<double> values;
  llvm::SmallVector<int64_t, 4> extents;
  llvm::SmallVector<int64_t, 4> strides;
  int64_t origin = 0;
  /// The rows that data-dependent reads are clamped to.
  Range rows;

  /// Makes room for the extents, all zero.
  void allocate(llvm::ArrayRef<int64_t> extents);
  /// The contiguous elements of one row.
  llvm::MutableArrayRef<double> row(int64_t number);
};

/// What the closures of a program read and write while one sequence runs.
struct Environment {
  std::vector<double> value;       // by slot
  std::vector<Variable> variables; // by number of the symbol
  std::vector<Range> dims;         // by number of the dim: what equations are computed for
  std::vector<Range> whole;        // and what reductions go over, which have the carried rows, too
  std::vector<int64_t> lengths;    // dims used as numbers
  /// By number of the map: its results for one set of values of what its body uses.
  std::vector<std::map<std::vector<double>, std::vector<double>>> maps;
  /// Every computed real number is changed by up to this part of it, at random.
  double noise = 0;
  uint64_t noiseState = 0;

  double disturbed(double value) { return noise == 0 ? value : value * (1 + noise * nextNoise()); }

private:
  double nextNoise(); ///< uniform in [-1, 1)
};

using Step = std::function<void(Environment &)>;

/// A region: its arguments' slots, its steps in order, and the slot of the value that it yields.
struct Body {
  llvm::SmallVector<unsigned, 4> arguments;
  std::vector<Step> steps;
  unsigned result = 0;

  double run(Environment &env) const {
    for (const Step &step : steps)
      step(env);
    return env.value[result];
  }
};

/// A region over an index space. Without a domain every point belongs to it.
struct Space {
  llvm::SmallVector<unsigned, 4> dims;
  Body body;
  Body domain;
  bool hasDomain = false;
  /// The first dim takes what equations are computed for.
  bool isEquation = false;

  /// Calls `visit` for each point of the domain, the last dim fastest, with the arguments of the
  /// body set. The first dim stays at `*first` where that is given.
  void forEachPoint(Environment &env, const int64_t *first,
                    llvm::function_ref<void(llvm::ArrayRef<int64_t>)> visit) const;
};

/// One `seq.define` or `seq.next`.
struct Equation {
  mlir::Operation *op = nullptr;
  unsigned variable = 0;
  Space space;
  llvm::SmallVector<unsigned, 8> reads; // variables

  /// Computes every point, or those of one token.
  void run(Environment &env, const int64_t *token = nullptr) const;
};

/// A mixer's equations as closures over numbered slots.
class Program {
public:
  explicit Program(mlir::seq::MixerOp mixer);

  unsigned dimNumber(llvm::StringRef name) const { return dimNumbers.at(name.str()); }
  unsigned variableNumber(llvm::StringRef name) const { return variableNumbers.at(name.str()); }
  unsigned dimCount() const { return dimNumbers.size(); }
  unsigned variableCount() const { return variableNumbers.size(); }
  /// Equations in the file's order of execution.
  llvm::ArrayRef<Equation> equations() const { return list; }
  /// Groups of equations that depend on each other, each after what it reads. A group of one that
  /// does not read itself is computed for all tokens at once.
  struct Group {
    llvm::SmallVector<unsigned, 4> members;
    bool isRecurrent = false;
  };
  llvm::ArrayRef<Group> groups() const { return groupList; }
  /// An environment with the constants in their slots; variables and dims are to be set.
  Environment environment() const;

private:
  friend class BodyCompiler;
  void findGroups();

  std::map<std::string, unsigned> dimNumbers, variableNumbers;
  std::vector<Equation> list;
  std::vector<Group> groupList;
  std::vector<double> constants; // initial values of the slots
  unsigned mapCount = 0;
};

} // namespace seqmix::reference

#endif // SEQMIX_COMPILER_REFERENCE_PROGRAM_H
