//===- MathFunctions.cpp - elementary functions compiled for a test -------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/MathFunctions.h"

#include "compiler/cpu/MathExpand.h"
#include "fmt/format.h"
#include <cmath>
#include <limits>
#include <map>
#include <mutex>

namespace seqmix::test {

using Wide = long double;

namespace {

constexpr Wide rootHalf = 0.707106781186547524400844362104849039L;

Wide sign(Wide x) { return x > 0 ? 1 : x < 0 ? -1 : x; }
Wide sigmoid(Wide x) { return 1 / (1 + expl(-x)); }
Wide softplus(Wide x) { return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x)); }
Wide logSigmoid(Wide x) { return -softplus(-x); }
Wide silu(Wide x) { return std::isinf(x) && x < 0 ? 0 : x / (1 + expl(-x)); }
Wide relu(Wide x) { return x < 0 ? 0 : x; }
Wide gelu(Wide x) { return std::isinf(x) && x < 0 ? 0 : x * erfcl(-x * rootHalf) / 2; }
Wide negate(Wide x) { return -x; }
Wide reciprocalRoot(Wide x) { return 1 / sqrtl(x); }
Wide add(Wide a, Wide b) { return a + b; }
Wide subtract(Wide a, Wide b) { return a - b; }
Wide multiply(Wide a, Wide b) { return a * b; }
Wide divide(Wide a, Wide b) { return a / b; }
Wide smaller(Wide a, Wide b) { return a < b ? a : b; }
Wide larger(Wide a, Wide b) { return a > b ? a : b; }
Wide logAddExp(Wide a, Wide b) {
  return a == b ? a + logl(2) : larger(a, b) + log1pl(expl(-fabsl(a - b)));
}
Wide absolute(Wide x) { return fabsl(x); }
Wide exponential(Wide x) { return expl(x); }
Wide logarithm(Wide x) { return logl(x); }
Wide logarithm1p(Wide x) { return log1pl(x); }
Wide exponentialM1(Wide x) { return expm1l(x); }
Wide root(Wide x) { return sqrtl(x); }
Wide roundDown(Wide x) { return floorl(x); }
Wide hyperbolicTangent(Wide x) { return tanhl(x); }
Wide errorFunction(Wide x) { return erfl(x); }
Wide sine(Wide x) { return sinl(x); }
Wide cosine(Wide x) { return cosl(x); }
Wide power(Wide x, Wide y) { return powl(x, y); }

MathFunction unary(const char *name, Wide (*reference)(Wide), double ulpsF32, double ulpsF64) {
  return {name, 1, reference, nullptr, ulpsF32, ulpsF64};
}
MathFunction binary(const char *name, Wide (*reference)(Wide, Wide), double ulpsF32,
                    double ulpsF64) {
  return {name, 2, nullptr, reference, ulpsF32, ulpsF64};
}

std::string source(const MathConfig &config) {
  std::string element = config.f64 ? "f64" : "f32";
  std::string type = config.lanes ? fmt::format("vector<{}x{}>", config.lanes, element) : element;
  std::string text;
  for (auto &function : mathFunctions())
    text += blockFunction(
        function.name, element, config.lanes,
        function.arguments == 1
            ? fmt::format("%r = seq.unary <{0}> %x : ({1}) -> {1}", function.name, type)
            : fmt::format("%r = seq.binary <{}> %x, %y : {}", function.name, type));
  return text;
}

} // namespace

std::string MathConfig::name() const {
  return fmt::format("{}_{}_{}", f64 ? "f64" : "f32",
                     lanes ? fmt::format("{}lanes", lanes) : "scalar",
                     level == MathLevel::Avx512 ? "avx512"
                     : level == MathLevel::Avx2 ? "avx2"
                                                : "sse41");
}

bool MathConfig::runs() const {
  return level == MathLevel::Avx512 ? hostHasAvx512() : level == MathLevel::Sse41 || hostHasAvx2();
}

const std::vector<MathFunction> &mathFunctions() {
  static const std::vector<MathFunction> functions = {
      unary("neg", negate, 0, 0),
      unary("exp", exponential, 1.5, 1.5),
      unary("log", logarithm, 1.5, 1.5),
      unary("log1p", logarithm1p, 2, 2),
      unary("expm1", exponentialM1, 2, 2.5),
      unary("sqrt", root, 0.5, 0.51),
      unary("rsqrt", reciprocalRoot, 1.5, 1.5),
      unary("abs", absolute, 0, 0),
      unary("sign", sign, 0, 0),
      unary("floor", roundDown, 0, 0),
      unary("sigmoid", sigmoid, 3, 3),
      unary("logsigmoid", logSigmoid, 4, 4),
      unary("silu", silu, 3, 3),
      unary("softplus", softplus, 4, 4),
      unary("tanh", hyperbolicTangent, 5, 4),
      unary("relu", relu, 0, 0),
      unary("gelu", gelu, 5, 7),
      unary("erf", errorFunction, 3, 3),
      unary("sin", sine, 2, 2),
      unary("cos", cosine, 2, 2),
      binary("add", add, 0.5, 0.51),
      binary("sub", subtract, 0.5, 0.51),
      binary("mul", multiply, 0.5, 0.51),
      binary("div", divide, 0.5, 0.51),
      binary("min", smaller, 0, 0),
      binary("max", larger, 0, 0),
      binary("logaddexp", logAddExp, 4, 4),
      binary("pow", power, 6, 24),
      // References of their own in the tests: the result may jump.
      binary("floordiv", nullptr, 0, 0),
      binary("mod", nullptr, 0, 0),
  };
  return functions;
}

std::string blockFunction(const std::string &name, const std::string &element, int lanes,
                          const std::string &body) {
  std::string memref = fmt::format("memref<{}x{}>", blockSize, element);
  std::string load =
      lanes ? fmt::format("vector.load %{{}}[%i] : {}, vector<{}x{}>", memref, lanes, element)
            : fmt::format("memref.load %{{}}[%i] : {}", memref);
  std::string store =
      lanes ? fmt::format("vector.store %r, %out[%i] : {}, vector<{}x{}>", memref, lanes, element)
            : fmt::format("memref.store %r, %out[%i] : {}", memref);
  return fmt::format(R"mlir(
func.func @{0}(%a: {1} {{llvm.noalias}}, %b: {1} {{llvm.noalias}}, %out: {1} {{llvm.noalias}}) {{
  %c0 = arith.constant 0 : index
  %step = arith.constant {2} : index
  %end = arith.constant {3} : index
  scf.for %i = %c0 to %end step %step {{
    %x = {4}
    %y = {5}
    {6}
    {7}
  }}
  return
}}
)mlir",
                     name, memref, lanes ? lanes : 1, blockSize,
                     fmt::format(fmt::runtime(load), "a"), fmt::format(fmt::runtime(load), "b"),
                     body, store);
}

CompiledMath::CompiledMath(const MathConfig &config) : context(makeJitContext()) {
  static std::once_flag once;
  std::call_once(once, cpu::registerExpandMathPass);
  auto module = parseModule(*context, source(config));
  JitOptions options;
  options.target = config.level == MathLevel::Avx512 ? JitTarget::Host
                   : config.level == MathLevel::Avx2 ? JitTarget::Avx2
                                                     : JitTarget::Sse41;
  options.passes = fmt::format("seq-expand-math{{avx512={} fma={}}}",
                               config.level == MathLevel::Avx512, config.level != MathLevel::Sse41);
  jit = llvm::cantFail(JitModule::compile(*module, options));
}

CompiledMath &CompiledMath::get(const MathConfig &config) {
  static std::map<std::string, std::unique_ptr<CompiledMath>> compiled;
  auto &entry = compiled[config.name()];
  if (!entry)
    entry.reset(new CompiledMath(config));
  return *entry;
}

} // namespace seqmix::test
