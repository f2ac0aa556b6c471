//===- TilesInPlaceTest.cpp - rows that stay in the caller's memory ------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/TilesSupport.h"

#include "runtime/Frame.h"
#include "gtest/gtest.h"

using namespace seqmix;
using namespace seqmix::test;

namespace {

/// y[t,e,d] = x[t,e,d] + z[t,e], in tasks of 32 of 48 elements of d.
constexpr llvm::StringLiteral kText = R"mlir(
seq.mixer @add compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @E <fixed> 2
  seq.dim @D <fixed> 48
  seq.tensor @x <input> [@T, @E, @D] per [#seq.batch<@B, 1>] : f32
  seq.tensor @z <input> [@T, @E] per [#seq.batch<@B, 1>] : f32
  seq.define @y [@T, @E, @D] as ["t", "e", "d"] {
  ^bb0(%t: index, %e: index, %d: index):
    %0 = seq.read @x[%t, %e, %d] : f64
    %1 = seq.read @z[%t, %e] : f64
    %2 = seq.binary <add> %0, %1 : f64
    seq.yield %2 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 8 split @D by 32 {
    seq.buffer @x <rows> order [0, 1]
    seq.buffer @z <rows> order [0]
    seq.buffer @y <rows> order [0, 1]
    seq.pass <forward> {
      seq.gather @x
      seq.gather @z
      seq.eval @y lanes 2
      seq.scatter @y
    }
  }
}
)mlir";

/// Whether the features of a row of a whole part are contiguous decides where they are read and
/// written; the last part has no room for whole vectors of the next one's elements.
TEST(TilesInPlace, OnlyWhereRowsStandAsTheBuffer) {
  KernelHarness kernel(kText);
  struct Strides {
    int64_t token, e, d;
  };
  for (Strides in : {Strides{70, 32, 1}, Strides{100, 50, 1}, Strides{200, 1, 4}})
    for (Strides out : {Strides{64, 32, 1}, Strides{99, 49, 1}, Strides{300, 100, 2}})
      for (int64_t tokens : {0, 1, 8, 19})
        for (int64_t begin : {0, 32}) {
          int64_t elements = begin == 0 ? 32 : 16;
          // A part of the split dim with e rows of 32 apart holds 32 elements at most.
          if (begin > 0 && (in.e == 32 || out.e == 32))
            continue;
          auto size = [&](Strides s) { return (tokens + 1) * s.token + s.e + 48 * s.d; };
          auto reals = randomReals(size(in), -1, 1, 1);
          std::vector<float> x(reals.begin(), reals.end()), z(2 * tokens + 2);
          for (size_t i = 0; i < z.size(); ++i)
            z[i] = static_cast<float>(i);
          std::vector<float> y(size(out), 77), expected = y;
          for (int64_t t = 0; t < tokens; ++t)
            for (int64_t e = 0; e < 2; ++e)
              for (int64_t d = begin; d < begin + elements; ++d)
                expected[t * out.token + e * out.e + d * out.d] =
                    x[t * in.token + e * in.e + d * in.d] + z[2 * t + e];
          kernel.tensor("x", x.data(), {in.token, in.e, in.d});
          kernel.tensor("z", z.data(), {2, 1});
          kernel.output("y", y.data(), {out.token, out.e, out.d});
          kernel.slot(SEQ_FRAME_SPLIT_BEGIN, begin);
          kernel.slot(SEQ_FRAME_SPLIT_COUNT, elements);
          kernel.run(tokens);
          ASSERT_EQ(y, expected) << in.token << " " << out.token << " " << tokens << " " << begin;
        }
}

TEST(TilesInPlace, CopiesOnlyUnlessUsable) {
  KernelHarness kernel(kText);
  // One choice of where the rows begin for x and one for y; z has rows of two elements, which are
  // padded.
  size_t choices = 0;
  for (size_t at = 0; (at = kernel.tiles().find("arith.select", at)) != std::string::npos; ++at)
    choices += kernel.tiles().substr(at, 200).find("!llvm.ptr") < 120;
  EXPECT_EQ(choices, 2U);
}

} // namespace
