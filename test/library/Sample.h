//===- Sample.h - the plan of a library of hand-written kernels -------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TEST_LIBRARY_SAMPLE_H
#define SEQMIX_TEST_LIBRARY_SAMPLE_H

#include "compiler/library/Library.h"

namespace seqmix {

/// The mixers of SampleKernels.c: `scan` at K = 8 and K = 5, and `copy`.
LibraryPlan samplePlan();

/// The mixer `decay` for GPUs, with the PTX of kernels that do nothing: for tests of calls on a
/// fake driver.
LibraryPlan deviceSamplePlan();

} // namespace seqmix

#endif // SEQMIX_TEST_LIBRARY_SAMPLE_H
