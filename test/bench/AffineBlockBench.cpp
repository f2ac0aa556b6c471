//===- AffineBlockBench.cpp - speed of the block form on one core ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//
//
// Chunks whose rows and state are in the core's own caches, again and again. `token` is the time of
// a token in the fastest chunk, in seconds: a busy machine makes the mean useless. `peak` is the
// share of the multiply-add peak, measured by the first benchmark, that the definition needs: two
// operations a state element for each read and update; decays come on top.
//
// Names: class/rows x cols/B block/N panel; the blocks that the cost model takes are marked
// `chosen`. The grid around them: --benchmark_filter=grid.
//
//===----------------------------------------------------------------------------------------===//

#include "test/unit/AffineHarness.h"

#include "benchmark/benchmark.h"
#include "fmt/format.h"
#include <chrono>
#include <cmath>
#include <map>
#include <random>

using namespace seqmix;
using namespace seqmix::test;

namespace {

constexpr int64_t chunkRows = 32;

mlir::MLIRContext &context() {
  static std::unique_ptr<mlir::MLIRContext> context = makeJitContext();
  return *context;
}

AffineBlockSpec specOf(int64_t size, RowDecay decay, std::vector<AffineUpdate> updates,
                       std::vector<AffineRead> reads) {
  AffineBlockSpec spec;
  spec.rows = spec.cols = size;
  spec.element = mlir::Float32Type::get(&context());
  spec.lanes = hostHasAvx512() ? 16 : 8;
  spec.registers = hostHasAvx512() ? 32 : 16;
  spec.rowDecay = decay;
  spec.updates.assign(updates.begin(), updates.end());
  spec.reads.assign(reads.begin(), reads.end());
  return spec;
}

/// The classes of transition that mixers are made of.
std::map<std::string, AffineBlockSpec> classes(int64_t size) {
  const AffineUpdate plain{{{false, -1}}}, scaled{{{true, -1}}};
  const AffineUpdate delta{{{true, -1}, {true, 0}}}, fromRead{{{false, 0}}};
  const AffineRead after{false, true}, before{true, false};
  std::map<std::string, AffineBlockSpec> result;
  result["plain"] = specOf(size, RowDecay::None, {plain}, {after});
  result["scalar"] = specOf(size, RowDecay::Scalar, {plain}, {after});
  result["channel"] = specOf(size, RowDecay::PerRow, {plain}, {after});
  result["delta"] = specOf(size, RowDecay::None, {delta}, {before, after});
  result["delta_scalar"] = specOf(size, RowDecay::Scalar, {delta}, {before, after});
  result["delta_channel"] = specOf(size, RowDecay::PerRow, {delta}, {before, after});
  result["rank_one_channel"] = specOf(size, RowDecay::PerRow, {fromRead, plain}, {before, after});
  result["column"] = specOf(size, RowDecay::None, {plain}, {after});
  result["column"].colDecay = true;
  result["momentum"] = specOf(size, RowDecay::Coupled, {{{{false, -1}}, {true, true}}},
                              {{false, true, {false, true}}});
  result["momentum"].coupling = {true, false, true, true};
  result["rotation"] = specOf(size, RowDecay::Coupled, {{{{false, -1}}, {true, false}}},
                              {{false, true, {true, true}}});
  result["rotation"].coupling.assign(4, true);
  for (const char *name : {"momentum", "rotation"})
    result[name].components = 2;
  return result;
}

void fill(AffineProgram &program, const AffineBlockSpec &spec) {
  std::mt19937_64 engine(1);
  std::normal_distribution<double> normal;
  auto put = [&](const RowsBuffer &buffer, auto value) {
    if (buffer.offset >= 0)
      for (int64_t t = 0; t < chunkRows; ++t)
        for (int64_t f = 0; f < buffer.padded; ++f)
          program.set(buffer.at(t, f), value());
  };
  const double scale = 1 / std::sqrt(static_cast<double>(spec.rows));
  auto factor = [&] { return normal(engine) * scale; };
  auto decay = [&] { return 0.9 + 0.1 * std::tanh(std::abs(normal(engine))); };
  put(program.rowDecay, decay);
  put(program.colDecay, decay);
  for (const RowsBuffer &entry : program.coupling)
    put(entry, [&] { return 0.7 * decay(); });
  for (AffineUpdateData &update : program.updates) {
    for (const RowsBuffer &left : update.lefts)
      put(left, factor);
    for (AffineTermData &term : update.terms) {
      put(term.coef, [] { return -0.3; });
      put(term.right, [&] { return normal(engine); });
    }
  }
  for (AffineReadData &read : program.reads)
    for (const RowsBuffer &row : read.rows)
      put(row, factor);
  for (int64_t a = 0; a < spec.components; ++a)
    for (int64_t i = 0; i < spec.rows; ++i)
      for (int64_t j = 0; j < spec.cols; ++j)
        program.set(program.stateAt(i, j, a), 0);
}

double peakFlops = 0;

/// 24 independent chains of multiply-adds in registers.
void measurePeak(benchmark::State &state) {
  const int64_t lanes = hostHasAvx512() ? 16 : 8, chains = hostHasAvx512() ? 24 : 12;
  std::string type = fmt::format("vector<{}xf32>", lanes), arguments, values, body, types;
  for (int64_t k = 0; k < chains; ++k) {
    arguments += fmt::format("{}%a{} = %x", k ? ", " : "", k);
    types += (k ? ", " : "") + type;
    values += fmt::format("{}%b{}", k ? ", " : "", k);
    body += fmt::format("%b{0} = vector.fma %a{0}, %x, %y : {1}\n", k, type);
  }
  std::string text =
      fmt::format("func.func @peak(%p: memref<{0}xf32>, %n: index) {{\n"
                  "%c0 = arith.constant 0 : index\n%c1 = arith.constant 1 : index\n"
                  "%x = vector.load %p[%c0] : memref<{0}xf32>, {1}\n%y = arith.addf %x, %x : {1}\n"
                  "%r:{2} = scf.for %i = %c0 to %n step %c1 iter_args({3}) -> ({4}) {{\n{5}"
                  "scf.yield {6} : {4}\n}}\n",
                  lanes, type, chains, arguments, types, body, values);
  std::string total = "%r#0";
  for (int64_t k = 1; k < chains; ++k) {
    text += fmt::format("%s{} = arith.addf {}, %r#{} : {}\n", k, total, k, type);
    total = fmt::format("%s{}", k);
  }
  text += fmt::format("vector.store {}, %p[%c0] : memref<{}xf32>, {}\nreturn\n}}\n", total, lanes,
                      type);
  auto jit = llvm::cantFail(JitModule::compile(*parseModule(context(), text)));
  auto *run = jit->get<void(float *, int64_t)>("peak");
  alignas(64) float data[16] = {};
  constexpr int64_t steps = 2000;
  double best = 1e9;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    run(data, steps);
    const auto end = std::chrono::steady_clock::now();
    best = std::min(best, std::chrono::duration<double>(end - start).count());
  }
  peakFlops = 2.0 * lanes * chains * steps / best;
  state.counters["flop/s"] = peakFlops;
}

/// Chunks of `rows` tokens; the state stays where it is.
void runChunks(benchmark::State &state, const AffineBlockSpec &spec, int64_t rows, StateForm form) {
  AffineLayoutOptions options;
  options.state = form;
  AffineProgram program(spec, chunkRows, options);
  program.compile(context());
  fill(program, spec);
  FlushDenormals flush;
  double best = 1e9;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    for (int64_t done = 0; done < chunkRows; done += rows)
      program.run(rows);
    const auto end = std::chrono::steady_clock::now();
    best = std::min(best, std::chrono::duration<double>(end - start).count());
  }
  const double elements = static_cast<double>(spec.rows) * spec.cols;
  double passes = 0;
  for (const AffineRead &read : spec.reads)
    passes += llvm::count(read.of, true);
  for (const AffineUpdate &update : spec.updates)
    passes += llvm::count(update.of, true);
  const double flops = 2 * elements * passes;
  state.counters["token"] = best / chunkRows;
  if (peakFlops > 0)
    state.counters["peak"] = flops * chunkRows / best / peakFlops;
}

void registerAll() {
  benchmark::RegisterBenchmark("peak", measurePeak);
  for (int64_t size : {64, 128})
    for (auto &[name, spec] : classes(size)) {
      auto add = [&](const char *kind, const AffineBlockSpec &one, int64_t rows = chunkRows,
                     StateForm form = StateForm::Panels) {
        std::string full = fmt::format("{}/{}/{}x{}/B{}/N{}", kind, name, one.rows, one.cols,
                                       one.block, one.panel);
        benchmark::RegisterBenchmark(full.c_str(), [one, rows, form](benchmark::State &state) {
          runChunks(state, one, rows, form);
        });
      };
      const AffineBlockSpec chosen = chooseBlock(spec);
      add("chosen", chosen);
      add("step-rows", chosen, 1, StateForm::StepRows);
      if (spec.components == 1)
        add("step-cols", chosen, 1, StateForm::StepCols);
      for (int64_t block : {1, 2, 4, 8})
        for (int64_t panel : {1, 2, 4}) {
          AffineBlockSpec one = spec;
          one.block = block;
          one.panel = panel;
          add("grid", one);
        }
    }
}

} // namespace

int main(int argc, char **argv) {
  registerAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
