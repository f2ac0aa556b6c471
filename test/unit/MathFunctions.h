//===- MathFunctions.h - elementary functions compiled for a test ---------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TEST_UNIT_MATHFUNCTIONS_H
#define SEQMIX_TEST_UNIT_MATHFUNCTIONS_H

#include "test/unit/JitSupport.h"
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace seqmix::test {

/// Elements of one call of a compiled function; a multiple of every lane count in use.
inline constexpr int64_t blockSize = 3840;

enum class MathLevel { Avx512, Avx2, Sse41 };

/// How the functions are compiled. `lanes` 0 means scalars.
struct MathConfig {
  bool f64;
  int lanes;
  MathLevel level;

  std::string name() const;
  /// Whether this machine can run it.
  bool runs() const;
};

/// A function of one or two arguments, with its reference in extended precision and the error
/// allowed in ulps.
struct MathFunction {
  const char *name;
  int arguments;
  long double (*unary)(long double);
  long double (*binary)(long double, long double);
  double ulpsF32, ulpsF64;
};

/// All functions of reals.
const std::vector<MathFunction> &mathFunctions();

/// All functions of one configuration, compiled; made once.
class CompiledMath {
public:
  static CompiledMath &get(const MathConfig &config);

  /// result[i] = function(a[i], b[i]) for blockSize elements. `b` is ignored by functions of one
  /// argument.
  template <typename T> void run(const std::string &function, const T *a, const T *b, T *result) {
    jit->get<void(const T *, const T *, T *)>(function)(a, b, result);
  }
  /// The compiled function, for f32 or f64 pointers.
  void *address(const std::string &function) {
    return reinterpret_cast<void *>(jit->get<void()>(function));
  }

private:
  explicit CompiledMath(const MathConfig &config);
  std::unique_ptr<mlir::MLIRContext> context;
  std::unique_ptr<JitModule> jit;
};

/// A function `name` over blocks whose body turns %x and %y (of type `type`) into %r.
std::string blockFunction(const std::string &name, const std::string &element, int lanes,
                          const std::string &body);

} // namespace seqmix::test

#endif // SEQMIX_TEST_UNIT_MATHFUNCTIONS_H
