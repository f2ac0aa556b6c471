//===- SampleKernels.h - kernels written by hand ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TEST_LIBRARY_SAMPLEKERNELS_H
#define SEQMIX_TEST_LIBRARY_SAMPLEKERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void sampleScan8Shared(const int64_t *frame);
void sampleScan8Forward(const int64_t *frame);
void sampleScan5Shared(const int64_t *frame);
void sampleScan5Forward(const int64_t *frame);
void sampleScanSummary(const int64_t *frame);
void sampleCopyForward(const int64_t *frame);

#ifdef __cplusplus
}
#endif

#endif // SEQMIX_TEST_LIBRARY_SAMPLEKERNELS_H
