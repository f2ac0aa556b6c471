//===- Cpu.c - what this CPU can run, and its floating-point mode -----------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/Call.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <xmmintrin.h>
#endif

typedef struct Feature {
  const char *name;
  uint32_t leaf, subleaf, reg, bit;
} Feature;

static const Feature features[] = {
#define SEQ_CPU_ROW(NAME, TEXT, LEAF, SUBLEAF, REG, BIT) {TEXT, LEAF, SUBLEAF, REG, BIT},
    SEQ_CPU_FEATURES(SEQ_CPU_ROW)
#undef SEQ_CPU_ROW
};

#define BIT(NAME) (UINT64_C(1) << SEQ_CPU_##NAME)

static const uint64_t amxFeatures = BIT(AMXTILE) | BIT(AMXBF16) | BIT(AMXINT8);

#if defined(__x86_64__)
// Which register files the operating system saves: XCR0, 0 when it cannot be asked.
static uint64_t savedState(void) {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27)))
    return 0;
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return ((uint64_t)high << 32) | low;
}

// Linux hands out the tile registers on request, once for all threads of the process.
static bool requestTiles(void) {
  enum { RequestPermission = 0x1023, TileData = 18 };
  return syscall(SYS_arch_prctl, RequestPermission, TileData) == 0;
}

static uint64_t detect(void) {
  uint64_t found = 0;
  for (int i = 0; i < SEQ_CPU_COUNT; ++i) {
    uint32_t r[4];
    const Feature *f = &features[i];
    if (__get_cpuid_count(f->leaf, f->subleaf, &r[0], &r[1], &r[2], &r[3]) &&
        ((r[f->reg] >> f->bit) & 1))
      found |= UINT64_C(1) << i;
  }
  const uint64_t zmm = BIT(AVX512F) | BIT(AVX512DQ) | BIT(AVX512IFMA) | BIT(AVX512CD) |
                       BIT(AVX512BW) | BIT(AVX512VL) | BIT(AVX512VBMI) | BIT(AVX512VBMI2) |
                       BIT(AVX512VNNI) | BIT(AVX512BITALG) | BIT(AVX512VPOPCNTDQ) |
                       BIT(AVX512VP2INTERSECT) | BIT(AVX512FP16) | BIT(AVX512BF16);
  const uint64_t ymm =
      BIT(AVX) | BIT(AVX2) | BIT(FMA) | BIT(F16C) | BIT(VAES) | BIT(VPCLMULQDQ) | BIT(AVXVNNI);
  uint64_t saved = savedState();
  if ((saved & 0x6) != 0x6)
    found &= ~(ymm | zmm);
  if ((saved & 0xe6) != 0xe6)
    found &= ~zmm;
  if ((saved & 0x60000) != 0x60000)
    found &= ~amxFeatures;
  return found;
}
#else
static bool requestTiles(void) { return false; }
static uint64_t detect(void) { return 0; }
#endif

// The features of this CPU; tiles only when `tiles` asks for them, since the request changes the
// process.
static uint64_t cpuFeatures(bool tiles) {
  static _Atomic uint64_t cache;
  const uint64_t known = UINT64_C(1) << 63, asked = UINT64_C(1) << 62;
  uint64_t found = atomic_load_explicit(&cache, memory_order_relaxed);
  if (!(found & known)) {
    found = detect() | known;
    atomic_store_explicit(&cache, found, memory_order_relaxed);
  }
  if (tiles && (found & amxFeatures) && !(found & asked)) {
    if (!requestTiles())
      found &= ~amxFeatures;
    found |= asked;
    atomic_store_explicit(&cache, found, memory_order_relaxed);
  }
  return found;
}

const SeqKernel *seqSelectKernel(const SeqMixer *mixer, const char **missing) {
  *missing = "";
  const char *wanted = getenv("SEQMIX_TARGET");
  for (int32_t i = 0; i < mixer->kernel_count; ++i) {
    const SeqKernel *kernel = &mixer->kernels[i];
    if (wanted && *wanted && strcmp(wanted, kernel->target) != 0)
      continue;
    uint64_t lacking = kernel->features & ~cpuFeatures((kernel->features & amxFeatures) != 0);
    if (!lacking)
      return kernel;
    int first = __builtin_ctzll(lacking);
    *missing = first < SEQ_CPU_COUNT ? features[first].name : "a feature that is not known here";
  }
  return NULL;
}

uint32_t seqSetFloatMode(void) {
#if defined(__x86_64__)
  uint32_t old = _mm_getcsr();
  _mm_setcsr(0x1f80u |
             0x8040u); // all exceptions masked, to nearest; flush to zero, denormals are zero
  return old;
#else
  return 0;
#endif
}

void seqRestoreFloatMode(uint32_t mode) {
#if defined(__x86_64__)
  _mm_setcsr(mode);
#else
  (void)mode;
#endif
}
