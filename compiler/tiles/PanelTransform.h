//===- PanelTransform.h - Fourier transforms of panels --------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A panel has one vector a row; each lane is transformed by itself. Two rows, 2n and 2n + 1, are
// one complex number z_n, so that a convolution of 2m real rows takes transforms of m numbers.
//
// A row holds `width` features at each of lanes / width positions that follow each other, so that
// few features fill the lanes, too. As polynomials over the positions, X(z) is the sum of
// z^p X_p(z^phases) with X_p what lane p holds: the lanes are transformed by themselves all the
// same, and the product of two of them goes to lane p + q, or to p + q - phases with a factor
// y = z^phases, the unit root that the frequency stands for.
//
// A block of size s and number b holds residues modulo x^s - exp(-2 pi i angle(b)); one step makes
// four blocks of a quarter of that. The angle depends on the number alone: its digits to the base
// 4, mirrored at the point. So the factors of all steps are one table, the results stand in
// mirrored order, and as products are taken element by element nothing is ever reordered. Blocks
// are walked depth first, and those that fit the first-level cache are finished before the next.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_PANELTRANSFORM_H
#define SEQMIX_COMPILER_TILES_PANELTRANSFORM_H

#include "compiler/tiles/Kernel.h"

namespace seqmix {

class PanelTransform {
public:
  /// The transform of the least size that holds `needed` positions of `width` features, a power of
  /// two; known at run time. `tables` is memory for so many elements as `tableElements` says.
  PanelTransform(Kernel &kernel, mlir::Value needed, int64_t width, mlir::Value tables);

  /// Complex numbers of a panel, its positions, and the logarithm of the size to the base 2.
  mlir::Value size, positions, doublings;
  /// Positions of a row.
  int64_t phases;

  void emitTables();
  /// A panel to its transform, and back without the factor 1 / size.
  void emitForward(mlir::Value panel);
  void emitInverse(mlir::Value panel);
  /// The transform of a panel as `spectrum`, scaled, with which others are multiplied: 4 rows for
  /// each of size / 2 + 1 numbers.
  void emitSpectrum(mlir::Value panel, mlir::Value spectrum);
  /// Replaces the transform of a panel by that of its rows' cyclic convolution with a spectrum's.
  void emitProduct(mlir::Value panel, mlir::Value spectrum);

  /// Elements of the tables for each token, when `needed` is less than twice as many. Rows around
  /// the sequence's have room for the rest.
  static constexpr int64_t kTokenTables = 10;

private:
  static constexpr int64_t kTables = kTokenTables, kTablePadding = 17;

  /// A vector of complex numbers.
  struct Complex {
    mlir::Value re, im;
  };
  /// Real parts; imaginary ones follow.
  enum Table { Factor = 0, Square = 2, Cube = 4, Half = 6, Root = 8 };
  using Body = llvm::function_ref<void(mlir::Value)>;
  using Next = llvm::function_ref<mlir::Value(mlir::Value)>;

  mlir::Value constant(int64_t value) { return kernel.constant(value); }
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, int64_t b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  mlir::Value quotient(mlir::Value a, mlir::Value b);
  mlir::Value less(mlir::Value a, mlir::Value b);
  /// Runs `body` for from, next(from), ... while `holds`.
  void repeat(mlir::Value from, Next holds, Next next, Body body);
  /// Calls `body` for the first number of each part.
  void forParts(Body body);

  Complex load(mlir::Value panel, mlir::Value number);
  void store(Complex value, mlir::Value panel, mlir::Value number);
  mlir::Value fused(mlir::Value a, mlir::Value b, mlir::Value c);
  Complex plus(Complex a, Complex b);
  Complex minus(Complex a, Complex b);
  /// a + i b and a - i b.
  Complex plusTurned(Complex a, Complex b);
  Complex minusTurned(Complex a, Complex b);
  Complex times(Complex a, Complex b);
  Complex timesConjugate(Complex a, Complex b);
  Complex timesPlus(Complex a, Complex b, Complex sum);
  Complex scaled(Complex a, mlir::Value by);

  Complex factor(Table table, mlir::Value number);
  mlir::Value tableAt(int64_t table);
  /// Fills a table (and the next two with its squares and cubes) for `count` numbers that follow
  /// `number`, from place `at` on, with exp(-2 pi i turns(number)).
  void fillTable(Table table, mlir::Value at, mlir::Value number, mlir::Value count, Next turns,
                 bool powers);
  /// The digits of vectors of numbers to the base 4, mirrored at the point, as f64.
  mlir::Value mirrored(mlir::Value numbers);
  mlir::Value wide(double value);

  /// One step over the block of number `block`, which starts at number `first`.
  void emitStep(mlir::Value panel, mlir::Value first, mlir::Value blockSize, mlir::Value block,
                bool inverse);
  /// The steps over all blocks of one size in a part.
  void emitSteps(mlir::Value panel, mlir::Value first, mlir::Value blockSize, bool inverse);
  void emitButterfly(mlir::Value panel, llvm::ArrayRef<mlir::Value> places,
                     llvm::ArrayRef<Complex> factors, bool inverse);
  llvm::SmallVector<Complex> factorsOf(mlir::Value block);
  /// The last step of a part, whose blocks have 4 or 2 numbers.
  void emitLast(mlir::Value panel, mlir::Value first, bool inverse);

  /// Values at two opposite numbers, and the polynomials of the lanes at roots y and -y that they
  /// make: twice the sum of what even rows give and odd rows times y, and the difference.
  struct Pair {
    Complex own, opposite;
  };
  struct Roots {
    Complex at, atNegative;
  };
  Roots rootsOf(Pair values, Complex y);
  Pair valuesOf(Roots roots, Complex y);
  /// The unit root of a slot, the frequency of its first number.
  Complex rootOf(mlir::Value slot) { return factor(Root, slot); }
  /// The products of the lanes' polynomials with those of a spectrum at a root y.
  Complex timesSpectrum(Complex value, Complex y, mlir::Value spectrum, mlir::Value number);
  /// Elements of a spectrum's row at one of its positions, in all positions.
  mlir::Value spread(mlir::Value spectrum, mlir::Value row, int64_t position);
  /// Calls `body` for the first of each run of numbers that are paired with those of the opposite
  /// frequencies: run .. run * 5 / 2 with 4 * run - 1 downwards.
  void forRuns(Body body);
  mlir::Value slotOf(mlir::Value run);
  void forPairs(
      llvm::function_ref<void(mlir::Value slot, mlir::Value number, mlir::Value opposite)> body);
  /// Calls `body` for those that are their own opposites, frequencies 0 and size / 2.
  void
  forSelfPaired(llvm::function_ref<void(mlir::Value slot, mlir::Value number, Complex root)> body);

  Kernel &kernel;
  mlir::OpBuilder &builder;
  mlir::Location loc;
  int64_t width; // features of a position
  mlir::Value tables;
  mlir::Value isOdd; // the size is 2 * 4^k
  mlir::Value part;  // numbers that are worked on at a time
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_PANELTRANSFORM_H
