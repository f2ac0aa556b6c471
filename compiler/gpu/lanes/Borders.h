//===- Borders.h - what segments of a sequence leave for each other -----*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A call whose blocks do not fill a GPU cuts its sequences into n segments, in three launches.
//
//   1. The summary's kernel: segment 0 runs from the states in front of the sequence, all others
//      but the last from zero, with the products of their transitions.
//   2. The scan: one border of a sequence after the other, the states there follow from those at
//      the border before. An element of a state is a thread's.
//   3. The mixer's kernel: each segment from the states in front of it.
//
// As on the CPU (runtime/Segments.c), a product that is large or no number is not used. The scan
// notes the first segment of a sequence that has one, and the block of that segment then goes on to
// the end of the sequence, while those behind it do nothing: nobody waits for anything.
//
// Segment z of T tokens begins at z T / n, rounded down, counted in the direction of the walk. A
// short sequence of a packed call has segments without tokens, whose summary changes nothing.
//
// The workspace has two regions. Borders: for each batch element and segment a record, the states
// in front of it and the products of the segment before. Heads: for each batch element the last
// segment that runs, and the windows in front of the sequence, as the carry that is read may stand
// where the one behind is written.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_LANES_BORDERS_H
#define SEQMIX_COMPILER_GPU_LANES_BORDERS_H

#include "compiler/gpu/lanes/LaneExpr.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace seqmix::gpu {

/// Where a component stands in a record.
struct BorderPart {
  int64_t offset = 0; ///< bytes
  SeqDType dtype = SEQ_F32;
  llvm::SmallVector<int64_t> extents, strides; ///< by slot, in elements
  int64_t elements() const;
};

struct BorderWindow {
  int32_t component; ///< of the mixer
  mlir::StringAttr of;
  BorderPart part;
};

/// The layout of the regions for one mixer.
struct Borders {
  Borders(mlir::seq::MixerOp mixer, const MixerPlan &plan, const SummaryPlan &summary);

  const MixerPlan &plan;
  const SummaryPlan &summary;
  std::vector<BorderPart> states;         ///< by component of the summary
  std::vector<BorderWindow> windows;      ///< of the mixer
  int64_t recordBytes = 0, headBytes = 0; ///< of a border, of a batch element
  std::vector<AmountPlan> regions() const;
  /// In a kernel: a segment's record, of so many of a batch element; and what of it a part is.
  mlir::Value record(LaneBlock &block, mlir::Value element, mlir::Value count,
                     mlir::Value segment) const;
  static LaneArray arrayOf(LaneBlock &block, mlir::Value record, const BorderPart &part);

  /// The summary's component for one of the mixer's, by their names; -1 if there is none.
  int32_t stateNamed(llvm::StringRef name) const;

  enum Region { kBorders = 0, kHeads = 1, kRegions = 2 };
};

/// A block of the first or third launch: which segment it has. The kernel of the third launch is
/// that of calls in one piece, too, which have one segment and no regions.
class LaneSegment {
public:
  /// Sets which tokens the block walks. `expr` is for what the sequential form carries.
  LaneSegment(const Borders &borders, LaneBlock &block, LaneExpr *expr, bool isSummary,
              mlir::seq::Direction direction);

  /// The states that the walk starts from, by the mixer's component: the array, and what they are
  /// where it is not there.
  LaneArray stateInFront(int32_t component);
  mlir::Value initial(mlir::Value init);
  /// What a product starts from, by its name.
  double initialProduct(llvm::StringRef name) const;
  /// What an input was so many tokens before the first one of the walk: in the tensor, else in its
  /// window (a component of the mixer, or -1), in which that of the sequence's first token is
  /// `firstRow`.
  mlir::FailureOr<mlir::Value> inputInFront(const Carried &value, int32_t component,
                                            int64_t firstRow);
  /// The summary's end: leaves states and products for the next segment, and what stands in front
  /// of the sequence for the third launch.
  void store(llvm::ArrayRef<Carried> carried, llvm::ArrayRef<mlir::Value> initial,
             llvm::ArrayRef<mlir::Value> last);

  /// A component of the summary in front of the first segment, and behind this one: arrays that are
  /// there where the block has to write them.
  struct Ends {
    LaneArray front, behind;
  };
  Ends endsOf(int32_t component);
  /// Notes that all segments run; the scan may change it.
  void noteLast();
  mlir::Value isFirstSegment() const { return isFirst; }

private:
  LaneArray arrayOf(mlir::Value base, const BorderPart &part) {
    return Borders::arrayOf(block, base, part);
  }
  mlir::Value record(mlir::Value segment);
  LaneArray select(const LaneArray &cut, const LaneArray &whole);
  mlir::Value compare(mlir::arith::CmpIPredicate predicate, mlir::Value a, mlir::Value b);
  void findTokens();

  const Borders &borders;
  LaneBlock &block;
  LaneExpr *expr;
  mlir::OpBuilder &builder;
  const bool isSummary;
  const int64_t step;
  const std::map<Carried, mlir::Value> none;
  mlir::Value number, count; ///< of the segment, and how many there are
  mlir::Value isCut, isFirst;
  mlir::Value element, head; ///< batch element and its head
};

/// Adds the kernel of the second launch and says how it is launched.
LaunchPlan emitBorderScan(const Borders &borders, mlir::gpu::GPUModuleOp module, mlir::Location loc,
                          llvm::StringRef name);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_LANES_BORDERS_H
