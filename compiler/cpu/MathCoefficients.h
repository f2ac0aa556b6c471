//===- MathCoefficients.h - polynomials of the elementary functions ------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Written by tools/fit-math.py, which says what each array approximates. Ascending powers.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_CPU_MATHCOEFFICIENTS_H
#define SEQMIX_COMPILER_CPU_MATHCOEFFICIENTS_H

namespace seqmix::cpu::coefficients {

// f32
/// Weighted error 5.5e-14.
inline constexpr float ln2F32[] = {0x1.62e4000000000p-1f, 0x1.7f7d1c0000000p-20f};
/// Weighted error 4.2e-16.
inline constexpr float log2eF32[] = {0x1.7154760000000p+0f, 0x1.4ae0c00000000p-26f};
/// Weighted error 8.5e-32.
inline constexpr float halfPiF32[] = {0x1.921fb60000000p+0f, -0x1.777a5c0000000p-25f,
                                      -0x1.ee59da0000000p-50f, 0x1.98a2e00000000p-77f};
/// Weighted error 4.4e-9.
inline constexpr float expTailF32[] = {0x1.fffffc0000000p-2f, 0x1.5554900000000p-3f,
                                       0x1.5558f40000000p-5f, 0x1.123a6a0000000p-7f,
                                       0x1.6a23500000000p-10f};
/// Weighted error 1.7e-9.
inline constexpr float expStepF32[] = {0x1.00022a0000000p-1f, 0x1.55559c0000000p-3f};
/// Weighted error 6.4e-9.
inline constexpr float logTailF32[] = {
    0x1.5555540000000p-2f, -0x1.0002260000000p-2f, 0x1.99a0080000000p-3f, -0x1.5472440000000p-3f,
    0x1.22da1c0000000p-3f, -0x1.0d853e0000000p-3f, 0x1.055b6e0000000p-3f, -0x1.38b5940000000p-4f};
/// Weighted error 3.0e-8.
inline constexpr float log1pUnitF32[] = {
    0x1.9f323e0000000p-1f, -0x1.2773a60000000p-2f, 0x1.0f95b80000000p-3f, -0x1.153f9a0000000p-4f,
    0x1.2bea320000000p-5f, -0x1.510b840000000p-6f, 0x1.846bce0000000p-7f, -0x1.b9e8ac0000000p-8f,
    0x1.0521980000000p-8f, -0x1.aad00e0000000p-9f, 0x1.0a1c260000000p-9f};
/// Weighted error 3.2e-8.
inline constexpr float tanhF32Numerator[] = {
    0x1.0000000000000p+0f,   0x1.0bdf6a0000000p-3f,  0x1.9636820000000p-9f,  0x1.7495800000000p-17f,
    -0x1.57eb8a0000000p-26f, 0x1.c76a100000000p-35f, -0x1.728bba0000000p-44f};
/// Weighted error 3.2e-8.
inline constexpr float tanhF32Denominator[] = {0x1.0000000000000p+0f, 0x1.db45060000000p-2f,
                                               0x1.9104300000000p-6f, 0x1.0a3fa40000000p-12f};
/// Weighted error 5.0e-11.
inline constexpr float atanhTailF32[] = {0x1.5555540000000p-1f, 0x1.999c260000000p-2f,
                                         0x1.23d3e00000000p-2f, 0x1.f13ae80000000p-3f};
/// Weighted error 7.5e-9.
inline constexpr float sinTailF32[] = {-0x1.55553a0000000p-3f, 0x1.1103120000000p-7f,
                                       -0x1.97f0c40000000p-13f};
/// Weighted error 2.5e-10.
inline constexpr float cosTailF32[] = {0x1.5555440000000p-5f, -0x1.6c08820000000p-10f,
                                       0x1.98e3c00000000p-16f};
/// Weighted error 2.8e-9.
inline constexpr float erfSmallF32[] = {0x1.06eba80000000p-3f,  -0x1.8127400000000p-2f,
                                        0x1.ce2d740000000p-4f,  -0x1.b804500000000p-6f,
                                        0x1.54833e0000000p-8f,  -0x1.a99dd60000000p-11f,
                                        0x1.69d8600000000p-14f, -0x1.25839e0000000p-19f};
/// Weighted error 4.1e-8.
inline constexpr float erfcScaledF32[] = {
    0x1.0586720000000p+0f,   -0x1.5fd3860000000p-1f, 0x1.1e2dd60000000p-2f, -0x1.2a885e0000000p-5f,
    -0x1.6057b20000000p-6f,  0x1.a882d80000000p-8f,  0x1.9144ac0000000p-9f, -0x1.b6fec20000000p-11f,
    -0x1.36ea320000000p-11f, 0x1.b904d60000000p-15f, 0x1.304ffa0000000p-14f};

// f64
/// Weighted error 1.9e-31.
inline constexpr double ln2F64[] = {0x1.62e42fefa4000p-1, -0x1.8432a1b0e2634p-43};
/// Weighted error 1.1e-33.
inline constexpr double log2eF64[] = {0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56};
/// Weighted error 0.0.
inline constexpr double halfPiF64[] = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54,
                                       -0x1.f1976b7ed9000p-110};
/// Weighted error 9.5e-18.
inline constexpr double expTailF64[] = {
    0x1.000000000000ap-1,  0x1.55555555554f9p-3,  0x1.55555555507f0p-5,  0x1.1111111127e89p-7,
    0x1.6c16c1844b142p-10, 0x1.a01a0129b389dp-13, 0x1.a01999ad9977ap-16, 0x1.71df262cc7895p-19,
    0x1.28adce9de91aap-22, 0x1.ad7f0300eb45ap-26};
/// Weighted error 4.7e-18.
inline constexpr double atanhUnitF64[] = {
    0x1.5555555555556p-1, 0x1.999999999955dp-2, 0x1.24924924c1d85p-2, 0x1.c71c71a5de9e7p-3,
    0x1.745d1e02f7739p-3, 0x1.3b12d5db8d3ffp-3, 0x1.1123459c3624ap-3, 0x1.dfe2a8af3b572p-4,
    0x1.c16f9fd12305cp-4, 0x1.1e7c4815c965dp-4, 0x1.51419ac238e76p-3};
/// Weighted error 5.8e-19.
inline constexpr double atanhTailF64[] = {
    0x1.5555555555555p-1, 0x1.9999999999dfep-2, 0x1.249249242b514p-2, 0x1.c71c7258eaa26p-3,
    0x1.745cde3b9f561p-3, 0x1.3b20aa874519bp-3, 0x1.0f5ce0735fc27p-3, 0x1.0f623b817ad80p-3};
/// Weighted error 6.1e-18.
inline constexpr double sinTailF64[] = {
    -0x1.5555555555555p-3,  0x1.11111111110ffp-7,  -0x1.a01a01a016babp-13, 0x1.71de3a50e372ap-19,
    -0x1.ae644fc88c843p-26, 0x1.611eea6cccdfdp-33, -0x1.a9e2509ebafebp-41};
/// Weighted error 1.2e-18.
inline constexpr double cosTailF64[] = {
    0x1.5555555555555p-5,  -0x1.6c16c16c16c03p-10, 0x1.a01a01a017322p-16, -0x1.27e4fb74583b7p-22,
    0x1.1eed8af088b14p-29, -0x1.93917261c6a62p-37, 0x1.aa0914d7c3d49p-45};
/// Weighted error 1.1e-17.
inline constexpr double erfSmallF64[] = {
    0x1.06eba8214db69p-3,  -0x1.812746b0379e7p-2,  0x1.ce2f21a042bddp-4,  -0x1.b82ce3128899bp-6,
    0x1.565bcd0e64ab7p-8,  -0x1.c02db3fed8f6cp-11, 0x1.f9a326bfb7324p-14, -0x1.f4d255e14a37ep-17,
    0x1.b9e64d080df82p-20, -0x1.5f6d6b5501a5bp-23, 0x1.fc41174f03f2bp-27, -0x1.4e55cdbb56bf3p-30,
    0x1.7ecbfde64a2c4p-34, -0x1.2929032021226p-38};
/// Weighted error 7.7e-17.
inline constexpr double erfcScaledF64[] = {
    0x1.18932bf08e154p+0,   -0x1.f3fe31ecb49bfp-1,  0x1.8be202d26c707p-1,   -0x1.14eacb1ad033bp-1,
    0x1.52cac2371009ap-2,   -0x1.645fd8a4bc150p-3,  0x1.38dbd2c8e7da4p-4,   -0x1.b00c052c346edp-6,
    0x1.908f471e832f6p-8,   -0x1.269b522a02117p-12, -0x1.dd2841bc1d95ap-12, 0x1.72cda85b23b9bp-13,
    -0x1.e7f3b287fc844p-19, -0x1.3c6ef4ba7f6fdp-16, 0x1.3b1e2564df229p-18,  0x1.7e581dd4c283ap-20,
    -0x1.c7bd102e02945p-21, -0x1.46a74eccac5cfp-24, 0x1.12b685bb65af0p-23,  0x1.fae3f16ecc759p-30,
    -0x1.3e17d2fd7040ep-26, -0x1.c955be8f4f546p-31, 0x1.1ce0c969c628fp-29,  0x1.bdfd8e40ff480p-32};
/// Weighted error 3.0e-8.
inline constexpr float expTableF32[] = {
    0x1.0000000000000p+0f, 0x1.0b55860000000p+0f, 0x1.172b840000000p+0f, 0x1.2387a60000000p+0f,
    0x1.306fe00000000p+0f, 0x1.3dea640000000p+0f, 0x1.4bfdae0000000p+0f, 0x1.5ab07e0000000p+0f,
    0x1.6a09e60000000p+0f, 0x1.7a11480000000p+0f, 0x1.8ace540000000p+0f, 0x1.9c49180000000p+0f,
    0x1.ae89fa0000000p+0f, 0x1.c199be0000000p+0f, 0x1.d5818e0000000p+0f, 0x1.ea4afa0000000p+0f};

} // namespace seqmix::cpu::coefficients

#endif // SEQMIX_COMPILER_CPU_MATHCOEFFICIENTS_H
