//===- AffineBlockTest.cpp - the block form against one token at a time ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//

#include "compiler/tiles/AffineBlockLayout.h"
#include "test/unit/AffineHarness.h"

#include "gtest/gtest.h"
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

using namespace seqmix;
using namespace seqmix::test;

namespace {

constexpr int64_t maxRows = 19;
const double nan = std::numeric_limits<double>::quiet_NaN();

mlir::MLIRContext &context() {
  static std::unique_ptr<mlir::MLIRContext> context = makeJitContext();
  return *context;
}

/// The definition, in double, on the values that the arena holds.
struct Oracle {
  const AffineBlockSpec &spec;
  std::vector<std::vector<double>> states;  // by component: rows x cols
  std::vector<std::vector<double>> results; // by read, then by read of elements: over its features

  explicit Oracle(const AffineBlockSpec &spec)
      : spec(spec), states(spec.components, std::vector<double>(spec.rows * spec.cols)) {}

  void token(const AffineProgram &program, int64_t t) {
    const int64_t rows = spec.rows, cols = spec.cols;
    auto at = [&](const RowsBuffer &buffer, int64_t feature) {
      return program.get(buffer.at(t, feature));
    };
    std::vector<std::vector<double>> u(spec.reads.size(), std::vector<double>(cols, 0.0));
    auto read = [&](bool before) {
      for (size_t x = 0; x < u.size(); ++x)
        if (spec.reads[x].before == before)
          for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < cols; ++j)
              for (int64_t a = 0; a < spec.components; ++a)
                if (spec.reads[x].of[a])
                  u[x][j] += at(program.reads[x].rows[a], i) * states[a][i * cols + j];
    };
    std::vector<std::vector<double>> y;
    for (const AffineElementRead &element : spec.elements)
      y.emplace_back(element.columns ? rows : cols, 0.0);
    auto readElements = [&](bool before) {
      const int64_t columns = llvm::alignTo(cols, spec.lanes);
      for (size_t e = 0; e < y.size(); ++e)
        for (int64_t a = 0; a < spec.components; ++a)
          for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < cols; ++j)
              if (const AffineElementRead &element = spec.elements[e];
                  element.before == before && element.of[a])
                y[e][element.columns ? i : j] +=
                    at(program.elementReads[e].weights[a], element.elements ? i * columns + j : j) *
                    states[a][i * cols + j];
    };
    read(true);
    readElements(true);
    std::vector<std::vector<double>> w(spec.updates.size(), std::vector<double>(cols, 0.0));
    for (size_t m = 0; m < w.size(); ++m)
      for (size_t k = 0; k < spec.updates[m].terms.size(); ++k) {
        const AffineTerm &term = spec.updates[m].terms[k];
        const AffineTermData &from = program.updates[m].terms[k];
        for (int64_t j = 0; j < cols; ++j)
          w[m][j] += (term.coef ? at(from.coef, j) : 1.0) *
                     (term.read >= 0 ? u[term.read][j] : at(from.right, j));
      }
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < cols; ++j) {
        std::vector<double> before;
        for (auto &state : states)
          before.push_back(state[i * cols + j]);
        for (int64_t a = 0; a < spec.components; ++a) {
          double &s = states[a][i * cols + j];
          if (spec.rowDecay == RowDecay::Coupled) {
            s = 0;
            for (int64_t b = 0; b < spec.components; ++b)
              if (const int64_t entry = a * spec.components + b; spec.coupling[entry])
                s += at(program.coupling[entry], i) * before[b];
          } else if (spec.rowDecay != RowDecay::None) {
            s *= at(program.rowDecay, i);
          }
          if (spec.colDecay)
            s *= at(program.colDecay, j);
          for (size_t m = 0; m < w.size(); ++m)
            if (spec.updates[m].of[a])
              s += at(program.updates[m].lefts[a], i) * w[m][j];
        }
      }
    read(false);
    readElements(false);
    results = u;
    results.insert(results.end(), y.begin(), y.end());
  }
};

class Random {
public:
  explicit Random(uint64_t seed) : engine(seed) {}
  int64_t below(int64_t n) { return std::uniform_int_distribution<int64_t>(0, n - 1)(engine); }
  bool chance(double p) { return uniform() < p; }
  double uniform() { return std::uniform_real_distribution<double>(0, 1)(engine); }
  double normal() { return std::normal_distribution<double>()(engine); }
  template <typename T> T of(std::initializer_list<T> choices) {
    return *(choices.begin() + below(choices.size()));
  }
  /// What trips a form that divides or takes logarithms.
  double decay() {
    if (chance(0.6))
      return 1 - 0.3 * uniform();
    return of({0.0, 1.0, -0.3, 1e-30, std::exp(-20.0), 1.1, -1.0});
  }

  /// An element of a matrix over components: of these, powers of the matrix stay of one size.
  double coupling() {
    return chance(0.6) ? 1.4 * (uniform() - 0.5) : of({0.0, 1.0, -1.0, 1.5, 1e-30});
  }

private:
  std::mt19937_64 engine;
};

/// Runs chunks of several lengths and compares results and state after each.
void check(const AffineBlockSpec &spec, const AffineLayoutOptions &options, uint64_t seed,
           JitTarget target = JitTarget::Host) {
  Random random(seed);
  AffineProgram program(spec, maxRows, options);
  program.compile(context(), target);
  for (int64_t k = 0; k < program.size(); ++k)
    program.set(k, nan);

  auto fill = [&](const RowsBuffer &buffer, int64_t rows, auto value) {
    if (buffer.offset < 0)
      return;
    for (int64_t t = 0; t < maxRows; ++t)
      for (int64_t f = 0; f < buffer.padded; ++f)
        if (buffer.rowStride != 0 || t == 0)
          program.set(buffer.at(t, f), t < rows && f < buffer.features ? value() : nan);
  };
  Oracle oracle(spec);
  for (int64_t a = 0; a < spec.components; ++a)
    for (int64_t i = 0; i < spec.rows; ++i)
      for (int64_t j = 0; j < spec.cols; ++j) {
        program.set(program.stateAt(i, j, a), random.normal());
        oracle.states[a][i * spec.cols + j] = program.get(program.stateAt(i, j, a));
      }

  // Between the rows of a carry stand elements of somebody else.
  const bool isCarry = options.state != StateForm::Panels && options.state != StateForm::Plain;
  constexpr double foreign = 12345;
  std::vector<int64_t> gaps;
  const bool colsFirst =
      options.state == StateForm::ColsFirst || options.state == StateForm::StepCols;
  for (int64_t a = 0; isCarry && a < spec.components; ++a)
    for (int64_t outer = 0; outer < (colsFirst ? spec.cols : spec.rows); ++outer)
      for (int64_t k = 0; k < 3; ++k)
        gaps.push_back(k + (colsFirst ? program.stateAt(spec.rows, outer, a)
                                      : program.stateAt(outer, spec.cols, a)));
  for (int64_t gap : gaps)
    program.set(gap, foreign);

  // Errors are relative to the largest value so far: one token's result may be all cancellation.
  std::vector<double> mostResult(spec.reads.size() + spec.elements.size(), 1e-20);
  double mostState = 1e-20;
  const double scale = 1 / std::sqrt(static_cast<double>(spec.rows));
  const std::vector<int64_t> chunks = isStep(options.state) ? std::vector<int64_t>{1, 1, 1, 1}
                                                            : std::vector<int64_t>{3, 19, 0, 1, 16};
  for (int64_t rows : chunks) {
    auto factor = [&] { return random.normal() * scale; };
    auto decay = [&] { return random.decay(); };
    fill(program.rowDecay, rows, decay);
    for (const RowsBuffer &entry : program.coupling)
      fill(entry, rows, [&] { return random.coupling(); });
    fill(program.colDecay, rows, decay);
    for (AffineUpdateData &update : program.updates) {
      for (const RowsBuffer &left : update.lefts)
        fill(left, rows, factor);
      for (AffineTermData &term : update.terms) {
        fill(term.coef, rows, [&] { return random.uniform() - 0.5; });
        fill(term.right, rows, [&] { return random.normal(); });
      }
    }
    for (AffineReadData &read : program.reads) {
      for (const RowsBuffer &row : read.rows)
        fill(row, rows, factor);
      fill(read.result, 0, factor);
    }
    for (size_t e = 0; e < spec.elements.size(); ++e) {
      AffineElementData &data = program.elementReads[e];
      const int64_t columns = llvm::alignTo(spec.cols, spec.lanes);
      for (const RowsBuffer &weight : data.weights) {
        fill(weight, rows, factor);
        for (int64_t t = 0; spec.elements[e].elements && weight.offset >= 0 && t < maxRows; ++t)
          for (int64_t i = 0; i < spec.rows; ++i)
            for (int64_t j = spec.cols; j < columns; ++j)
              program.set(weight.at(t, i * columns + j), nan);
      }
      fill(data.result, 0, factor);
    }
    for (int64_t k = program.scratchOffset; k < program.size(); ++k)
      program.set(k, nan);

    program.run(rows);

    std::vector<RowsBuffer> results;
    for (const AffineReadData &read : program.reads)
      results.push_back(read.result);
    for (const AffineElementData &read : program.elementReads)
      results.push_back(read.result);
    std::vector<std::vector<double>> expected(results.size());
    for (int64_t step = 0; step < rows; ++step) {
      const int64_t t = spec.descending ? rows - 1 - step : step;
      oracle.token(program, t);
      for (size_t x = 0; x < expected.size(); ++x)
        expected[x].resize(rows * oracle.results[x].size());
      for (size_t x = 0; x < expected.size(); ++x)
        std::copy(oracle.results[x].begin(), oracle.results[x].end(),
                  expected[x].begin() + t * oracle.results[x].size());
    }
    const double tolerance = spec.element.isF64() ? 1e-13 : 2e-6;
    for (size_t x = 0; x < expected.size(); ++x) {
      const RowsBuffer &result = results[x];
      if (result.offset < 0)
        continue;
      double &most = mostResult[x], error = 0;
      for (int64_t t = 0; t < rows; ++t)
        for (int64_t j = 0; j < result.features; ++j) {
          const double want = expected[x][t * result.features + j];
          const double off = std::abs(program.get(result.at(t, j)) - want);
          most = std::max(most, std::abs(want));
          error = std::isnan(off) ? std::numeric_limits<double>::infinity() : std::max(error, off);
        }
      ASSERT_LE(error, tolerance * most) << "read " << x << " of " << rows << " rows";
      for (int64_t k = result.at(rows, 0); k < result.at(maxRows, 0); ++k)
        ASSERT_TRUE(std::isnan(program.get(k))) << "a result beyond the last row";
    }
    double &most = mostState, error = 0;
    for (int64_t a = 0; a < spec.components; ++a)
      for (int64_t i = 0; i < spec.rows; ++i)
        for (int64_t j = 0; j < spec.cols; ++j) {
          double &want = oracle.states[a][i * spec.cols + j];
          const double got = program.get(program.stateAt(i, j, a)), off = std::abs(got - want);
          most = std::max(most, std::abs(want));
          error = std::isnan(off) ? std::numeric_limits<double>::infinity() : std::max(error, off);
          want = got; // errors do not add up over the chunks
        }
    ASSERT_LE(error, tolerance * most) << "state after " << rows << " rows";
    for (int64_t gap : gaps)
      ASSERT_EQ(program.get(gap), foreign) << "a write between the rows of the carry";
  }
}

AffineBlockSpec specOf(int64_t rows, int64_t cols, bool f64 = false) {
  AffineBlockSpec spec;
  spec.rows = rows;
  spec.cols = cols;
  if (f64)
    spec.element = mlir::Float64Type::get(&context());
  else
    spec.element = mlir::Float32Type::get(&context());
  spec.lanes = f64 ? 8 : 16;
  if (!hostHasAvx512())
    spec.lanes /= 2, spec.registers = 16;
  return spec;
}

std::string describe(const AffineBlockSpec &spec, const AffineLayoutOptions &options) {
  std::string text = std::to_string(spec.rows) + "x" + std::to_string(spec.cols);
  text += spec.element.isF64() ? " f64" : " f32";
  text += " lanes " + std::to_string(spec.lanes) + " block " + std::to_string(spec.block);
  text += " panel " + std::to_string(spec.panel) + " registers " + std::to_string(spec.registers);
  text += " row decay " + std::to_string(static_cast<int>(spec.rowDecay));
  text += spec.colDecay ? " column decay" : "";
  text += spec.descending ? " descending" : "";
  text += " state " + std::to_string(static_cast<int>(options.state));
  auto ones = [](const auto &bits) {
    std::string digits = " ";
    for (bool bit : bits)
      digits += bit ? "1" : "0";
    return digits;
  };
  if (spec.components > 1)
    text += " coupling" + ones(spec.coupling);
  for (const AffineRead &read : spec.reads)
    text += std::string(" read ") + (read.before ? "before" : "after") +
            (read.result ? "" : " only") + ones(read.of);
  for (const AffineElementRead &read : spec.elements)
    text += std::string(read.columns ? " columns" : " rows") +
            (read.elements ? read.perToken ? " elements" : " fixed elements" : "") +
            (read.before ? " before" : " after") + ones(read.of);
  for (const AffineUpdate &update : spec.updates) {
    text += " update" + ones(update.of);
    for (const AffineTerm &term : update.terms)
      text += std::string(term.coef ? " coef" : " ") + "*" + std::to_string(term.read);
  }
  return text;
}

/// Any spec of the canonical form, each feature with a fair chance.
std::pair<AffineBlockSpec, AffineLayoutOptions> anySpec(Random &random) {
  const auto [rows, cols] = random.of<std::pair<int64_t, int64_t>>(
      {{5, 3}, {16, 24}, {64, 64}, {128, 80}, {1, 17}, {33, 1}, {48, 100}});
  AffineBlockSpec spec = specOf(rows, cols, random.chance(0.3));
  if (random.chance(0.4))
    spec.lanes = spec.element.isF64() ? random.of<int64_t>({2, 4}) : random.of<int64_t>({4, 8});
  spec.registers = random.of<int64_t>({16, 32});
  spec.rowDecay = random.of({RowDecay::None, RowDecay::Scalar, RowDecay::PerRow, RowDecay::PerRow});
  spec.colDecay = random.chance(0.4);
  spec.descending = random.chance(0.3);
  for (int64_t n = 1 + random.below(3); n > 0; --n)
    spec.reads.push_back({random.chance(0.5), true});
  for (int64_t n = 1 + random.below(2); n > 0; --n) {
    AffineUpdate update;
    for (int64_t k = 1 + random.below(3); k > 0; --k) {
      AffineTerm term;
      const int64_t read = random.below(spec.reads.size());
      if (random.chance(0.5) && spec.reads[read].before)
        term.read = read;
      term.coef = term.read >= 0 || random.chance(0.5);
      update.terms.push_back(term);
    }
    spec.updates.push_back(update);
  }
  for (AffineRead &read : spec.reads)
    read.result = !read.before || random.chance(0.5);
  spec.block = random.of<int64_t>({1, 2, 4, 4, 4, 8});
  spec.panel = random.of<int64_t>({1, 2, 2, 3});
  AffineLayoutOptions options;
  options.state =
      random.of({StateForm::RowsFirst, StateForm::ColsFirst, StateForm::Panels, StateForm::Plain});
  if (random.chance(0.3))
    options.constantOverFeatures = random.below(64);
  options.vectorCoefs = random.chance(0.3) ? random.below(8) : 0;
  return {spec, options};
}

/// More on demand: SEQMIX_AFFINE_SEEDS=1000.
int anyCount() {
  int count = 48;
  const char *text = std::getenv("SEQMIX_AFFINE_SEEDS");
  if (text && llvm::StringRef(text).getAsInteger(10, count))
    llvm::report_fatal_error("SEQMIX_AFFINE_SEEDS is no number", /*gen_crash_diag=*/false);
  return count;
}

class AnyAffine : public testing::TestWithParam<int> {};

TEST_P(AnyAffine, AgreesWithItsDefinition) {
  Random random(GetParam() * 7919 + 1);
  const auto [spec, options] = anySpec(random);
  SCOPED_TRACE(describe(spec, options));
  check(spec, options, GetParam());
}
/// Every way to hold a state, at a shape that is ragged in both directions and one that is not.
TEST(AffineBlock, AgreesForEveryFormOfTheState) {
  for (auto [rows, cols] : {std::pair<int64_t, int64_t>{64, 64}, {19, 37}})
    for (StateForm form : {StateForm::RowsFirst, StateForm::ColsFirst, StateForm::Panels,
                           StateForm::Plain, StateForm::StepRows, StateForm::StepCols}) {
      AffineBlockSpec spec = specOf(rows, cols);
      spec.rowDecay = RowDecay::PerRow;
      spec.updates.push_back({{{true, -1}, {true, 0}}});
      spec.reads = {{true, false}, {false, true}};
      AffineLayoutOptions options;
      options.state = form;
      SCOPED_TRACE(describe(spec, options));
      check(chooseBlock(spec), options, 5);
    }
}

/// Where only the last state counts.
TEST(AffineBlock, AgreesWithoutReads) {
  for (RowDecay decay : {RowDecay::None, RowDecay::Scalar, RowDecay::PerRow})
    for (bool colDecay : {false, true})
      for (int64_t block : {1, 4}) {
        AffineBlockSpec spec = specOf(19, 37);
        spec.rowDecay = decay;
        spec.colDecay = colDecay;
        spec.updates.push_back({{{true, -1}}});
        spec.updates.push_back({{{false, -1}}});
        spec.block = block;
        SCOPED_TRACE(describe(spec, {}));
        check(spec, {}, 7);
        check(chooseBlock(spec), {}, 8);
      }
}

TEST(AffineBlock, RunsWithHalfTheRegisters) {
  if (!hostHasAvx2())
    GTEST_SKIP() << "no AVX2";
  for (bool f64 : {false, true}) {
    AffineBlockSpec spec = specOf(48, 40, f64);
    spec.lanes = f64 ? 4 : 8;
    spec.registers = 16;
    spec.rowDecay = RowDecay::Scalar;
    spec.colDecay = true;
    spec.updates.push_back({{{true, -1}, {true, 0}}});
    spec.updates.push_back({{{false, -1}}});
    spec.reads = {{true, true}, {false, true}};
    check(chooseBlock(spec), {}, 6, JitTarget::Avx2);
  }
}

/// What the measurements of the benchmark say, as far as it does not depend on the machine.
TEST(AffineBlock, ChoosesBlocksThatFitTheRegisters) {
  for (int64_t registers : {16, 32})
    for (int64_t size : {16, 64, 128})
      for (bool solve : {false, true})
        for (RowDecay decay : {RowDecay::None, RowDecay::Scalar, RowDecay::PerRow}) {
          AffineBlockSpec spec = specOf(size, size);
          spec.registers = registers;
          spec.rowDecay = decay;
          spec.updates.push_back({{{false, -1}}});
          spec.reads = {{false, true}};
          if (solve) {
            spec.updates[0].terms.push_back({true, 1});
            spec.reads.push_back({true, false});
          }
          const AffineBlockSpec chosen = chooseBlock(spec);
          SCOPED_TRACE(describe(chosen, {}));
          const int64_t sums = chosen.reads.size() * chosen.block * chosen.panel;
          EXPECT_LE(sums + chosen.panel + 2, registers);
          EXPECT_LE(chosen.panel * chosen.lanes, size);
          if (size >= 64)
            EXPECT_GE(chosen.block, 2); // a block saves loads and stores of the state
        }
}

/// Coupled states: any matrices over the components, any components of reads and updates.
class AnyCoupled : public testing::TestWithParam<int> {};

TEST_P(AnyCoupled, AgreesWithItsDefinition) {
  Random random(GetParam() * 6007 + 3);
  auto [spec, options] = anySpec(random);
  spec.rowDecay = RowDecay::Coupled;
  spec.components = random.of<int64_t>({2, 2, 3, 5});
  const double density = random.of({0.4, 0.7, 1.0});
  for (int64_t k = 0; k < spec.components * spec.components; ++k)
    spec.coupling.push_back(random.chance(density));
  auto some = [&] {
    AffineComponents of;
    for (int64_t a = 0; a < spec.components; ++a)
      of.push_back(random.chance(0.6));
    of[random.below(spec.components)] = true;
    return of;
  };
  for (AffineRead &read : spec.reads)
    read.of = some();
  for (AffineUpdate &update : spec.updates)
    update.of = some();
  if (random.chance(0.2))
    options.state = StateForm::StepRows;
  options.scalarCoupling = random.chance(0.5) ? random.below(1024) : 0;
  SCOPED_TRACE(describe(spec, options));
  check(spec, options, GetParam());
  check(chooseBlock(spec), options, GetParam());
}

TEST(AffineBlock, CoupledStatesAgreeWithoutReads) {
  AffineBlockSpec spec = specOf(19, 37);
  spec.rowDecay = RowDecay::Coupled;
  spec.components = 3;
  spec.coupling = {true, false, true, true, false, false, false, true, true};
  spec.updates.push_back({{{true, -1}}, {true, false, true}});
  for (int64_t block : {1, 4}) {
    spec.block = block;
    check(spec, {}, 7);
  }
}

/// A state that follows another one: what the zeros of the matrices leave away.
TEST(AffineBlock, CoupledStatesKeepTheirZeros) {
  AffineBlockSpec spec = specOf(64, 64);
  spec.rowDecay = RowDecay::Coupled;
  spec.components = 2;
  spec.coupling = {true, false, true, true};
  spec.updates.push_back({{{false, -1}}, {true, false}});
  spec.reads = {{true, true, {true, false}}, {false, true, {false, true}}};
  spec.block = 4;
  const AffineBlockLayout layout(spec);
  EXPECT_FALSE(layout.hasBlockDecay(0, 1));
  EXPECT_TRUE(layout.hasBlockDecay(1, 0));
  // The first sees nothing of the second; the last token's update is not yet in the second.
  EXPECT_FALSE(layout.hasScaledRead(0, 3, 1));
  EXPECT_TRUE(layout.hasScaledRead(1, 0, 0));
  EXPECT_TRUE(layout.hasScaledLeft(0, 2, 1));
  EXPECT_FALSE(layout.hasScaledLeft(0, 3, 1));
  check(spec, {}, 11);
}

/// Reads of elements beside all else that there is.
class AnyElements : public testing::TestWithParam<int> {};

TEST_P(AnyElements, AgreeWithTheirDefinition) {
  Random random(GetParam() * 4001 + 5);
  auto [spec, options] = anySpec(random);
  if (random.chance(0.3))
    spec.reads.clear();
  for (AffineUpdate &update : spec.updates)
    for (AffineTerm &term : update.terms)
      if (spec.reads.empty())
        term.read = -1;
  if (random.chance(0.4)) {
    spec.rowDecay = RowDecay::Coupled;
    spec.components = 2;
    spec.coupling = {true, random.chance(0.5), random.chance(0.5), true};
    for (AffineRead &read : spec.reads)
      read.of = random.of<AffineComponents>({{true, true}, {false, true}});
    for (AffineUpdate &update : spec.updates)
      update.of = random.of<AffineComponents>({{true, true}, {true, false}});
  }
  for (int64_t n = 1 + random.below(2); n > 0; --n) {
    AffineElementRead read{random.chance(0.6), false, random.chance(0.5), random.chance(0.3)};
    read.elements = !read.columns || random.chance(0.3);
    if (spec.components == 2)
      read.of = random.of<AffineComponents>({{true, true}, {true, false}});
    spec.elements.push_back(read);
  }
  if (spec.cols > 3 && random.chance(0.2)) // four results of one column may all be cancellation
    options.state = StateForm::StepRows;
  SCOPED_TRACE(describe(spec, options));
  check(spec, options, GetParam());
  check(chooseBlock(spec), options, GetParam());
}

TEST(AffineBlock, ReadsElementsWithHalfTheRegisters) {
  if (!hostHasAvx2())
    GTEST_SKIP() << "no AVX2";
  for (bool f64 : {false, true})
    for (RowDecay decay : {RowDecay::Scalar, RowDecay::PerRow}) {
      AffineBlockSpec spec = specOf(45, 43, f64);
      spec.lanes = f64 ? 4 : 8;
      spec.registers = 16;
      spec.rowDecay = decay;
      spec.colDecay = f64;
      spec.updates.push_back({{{true, -1}, {true, 0}}});
      spec.reads = {{true, true}, {false, true}};
      spec.elements = {{true, false, true, false}, {false, true, false, true}};
      check(chooseBlock(spec), {}, 6, JitTarget::Avx2);
    }
}

INSTANTIATE_TEST_SUITE_P(Elements, AnyElements, testing::Range(0, anyCount()));
INSTANTIATE_TEST_SUITE_P(Coupled, AnyCoupled, testing::Range(0, anyCount()));
INSTANTIATE_TEST_SUITE_P(Random, AnyAffine, testing::Range(0, anyCount()));

} // namespace
