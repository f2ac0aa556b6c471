//===- LaneBlock.h - the memory that a block of threads works on --------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_KERNELS_LANEBLOCK_H
#define SEQMIX_COMPILER_GPU_KERNELS_LANEBLOCK_H

#include "compiler/library/Library.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"

namespace seqmix::gpu {

/// An integer: constant + token * t + lane * l + group * g + rest, where t is the token's number in
/// the call, l the place of a lane along its dim and g that of a thread in its group.
struct Place {
  int64_t constant = 0, token = 0, lane = 0;
  mlir::Value rest;  // what is known at run time only: an i64, or a tile of them; or null
  int64_t lanes = 0; // places of the dim that l is along; 0 without l
  int64_t group = 0;
  int64_t rows = 0; // the end of the integers for all of the group's registers; 0 without g

  static Place of(int64_t constant) { return {constant, 0, 0, {}}; }
  static Place ofLane(int64_t lanes) { return {0, 0, 1, {}, lanes}; }
  /// The row of a dim that a thread of a group has in one of its registers.
  static Place ofRow(int64_t number, int64_t rows, int64_t threads) {
    return {number * threads, 0, 0, {}, 0, 1, rows};
  }
  bool isConstant() const { return !token && !lane && !group && !rest; }
  bool isLane() const { return !constant && !token && lane == 1 && !group && !rest; }
  bool isRow() const { return !token && !lane && group == 1 && !rest; }
};

/// How the elements of a mixer are divided: one lane for each place of a fixed dim. Lanes of one
/// block may be along several dims, one for each symbol. Tiles are of lanes, or of lanes and group.
struct LaneShape {
  llvm::SmallVector<int32_t> dims; ///< numbers in the plan
  int64_t size = 0;                ///< places of the longest
  int64_t lanes = 0;               ///< of a block
  int64_t blocks = 0;              ///< that share the dim
  int64_t threads = 0;             ///< of a block: each has as many lanes as the others
  /// Threads of a warp that have one lane in common. They divide the rows of other dims, one for
  /// each symbol: thread g of n has rows g, n + g and so on.
  int64_t group = 1;
  llvm::SmallVector<int32_t> rowDims = {}; ///< numbers in the plan
};

/// An array as a block sees it.
struct LaneArray {
  mlir::Value base; ///< of the batch element's first element, in the sequence's first token
  llvm::SmallVector<mlir::Value> strides; ///< in elements, by slot
  SeqDType dtype = SEQ_F32;
  mlir::Value isThere; ///< whether the caller has given it; null: always
  mlir::Value
      isWritten; ///< whether this block is the one that writes what several share; null: always
};

/// A real, or a tile of them, as another type: f64 inputs may stand beside arithmetic in f32.
mlir::Value convertReal(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value value,
                        mlir::Type element);

/// A block's part of a call: which batch element, which lanes, which tokens; and where its elements
/// stand. What is the same for all tokens is made in front of the first loop.
class LaneBlock {
public:
  LaneBlock(const MixerPlan &plan, const LaneShape &shape, mlir::LLVM::LLVMFuncOp kernel,
            mlir::Type real, int32_t regions = 0);

  /// The arguments of the kernel, for its launch, with so many regions of the workspace.
  static std::vector<SeqArgument> arguments(const MixerPlan &plan, int32_t regions = 0);
  /// The types of these arguments and the bytes of the frame.
  static mlir::LLVM::LLVMFunctionType functionType(mlir::MLIRContext *context,
                                                   const MixerPlan &plan, int32_t regions = 0);
  static int64_t frameSlots(const MixerPlan &plan);
  /// Says that an argument is the frame, by value.
  static void markFrame(mlir::LLVM::LLVMFuncOp kernel, unsigned argument, const MixerPlan &plan);

  mlir::OpBuilder builder;
  mlir::Location loc;
  const MixerPlan &plan;
  const LaneShape shape;
  mlir::Type real; ///< f32 or f64

  mlir::Value tokens;    ///< of the sequence
  mlir::Value first;     ///< of those that the block walks, counted in the direction of the walk
  mlir::Value end;       ///< behind the last one, likewise
  mlir::Value isEnding;  ///< whether it makes the carry behind the sequence; null: always
  mlir::Value firstLane; ///< of the block, i64

  const LaneArray &tensor(int32_t number);
  const LaneArray &carryIn(int32_t component);
  const LaneArray &carryOut(int32_t component);

  /// An element, or one a lane: in the type of computation, i64 or i1. `places` by slot; `token` is
  /// the value of t in them. Zero where `exists` (if not null) does not hold.
  mlir::Value load(const LaneArray &array, llvm::ArrayRef<Place> places, mlir::Value token,
                   mlir::Value exists = {});
  /// Stores it; a value that is the same for all lanes is written once.
  void store(const LaneArray &array, llvm::ArrayRef<Place> places, mlir::Value token,
             mlir::Value value);

  /// A pointer to a region of the workspace, null where the schedule has none.
  mlir::Value workspace(int32_t region) { return argument(SEQ_ARGUMENT_WORKSPACE, region); }
  /// A region in which a launch keeps values for later ones: of each batch element and, where they
  /// are of tokens, of each token, as many as `extents` say.
  /// Or of each place of another run-time dim, whose number `places` is.
  LaneArray kept(int32_t region, SeqDType dtype, bool isOfTokens, llvm::ArrayRef<int64_t> extents,
                 int32_t places = -1);
  /// The bytes of such a region.
  static AmountPlan keptBytes(const MixerPlan &plan, SeqDType dtype, bool isOfTokens,
                              llvm::ArrayRef<int64_t> extents, int32_t places = -1);
  static AmountPlan keptBytes(const MixerPlan &plan, int64_t bytes, bool isOfTokens);
  /// The row of a sequence's first token in such a region: of packed sequences these are all tokens
  /// for each element of the other batch dims, else those of each batch element.
  mlir::Value keptRow();
  /// The extent of a run-time dim for a sequence of so many tokens, those of earlier calls
  /// included.
  mlir::Value extentOf(int32_t dim, mlir::Value length);
  /// A number of the call (SeqDeviceSlot).
  mlir::Value frameSlot(int64_t slot);
  /// The number of the block's batch element among all.
  mlir::Value batchElement();
  /// The sequence's first token in packed arrays, else zero; null without a batch dim to pack.
  mlir::Value sequenceBegin() const { return begin; }

  /// The tokens of earlier calls, i64.
  mlir::Value position();
  bool readsPosition() const { return sequencePosition && !plan.startsAtZero; }
  /// Adds the call's tokens to the sequence's position, at the end of the last launch of a call,
  /// which all blocks reach. Where blocks have read it, the last one of its sequence to come here
  /// does that: they count themselves in the upper half of the position.
  void storePosition();

  /// Moves the builder in front of the loops, until the guard ends.
  void enterFront();
  /// Says that a loop has begun, perhaps in front of those that are known.
  void noteLoop(mlir::Operation *loop);
  /// The first op that depends on tokens.
  mlir::Operation *firstLoop = nullptr;

  mlir::Type storageType(SeqDType dtype);
  mlir::Value isGiven(mlir::Value pointer);
  mlir::Value conjunction(mlir::Value a, mlir::Value b); ///< where null holds always
  mlir::Value i64(int64_t value);
  mlir::Value zero(mlir::Type type);
  mlir::RankedTensorType tileOf(mlir::Type element) const;
  mlir::Value splat(mlir::Value scalar);
  mlir::Value places();      ///< each lane's place along the dim, i64
  mlir::Value groupPlaces(); ///< each thread's place in its group, i64
  /// Whether a row exists, for each thread; null where all have it.
  mlir::Value rowExists(const Place &row);
  /// A row of shared memory, an element a lane.
  mlir::Value sharedRow(mlir::Type element);

private:
  mlir::Value argument(int32_t kind, int32_t index);
  /// The row of a sequence's first place of a run-time dim in a region.
  mlir::Value keptPlace(int32_t dim);
  void findTask();
  void findSequence();
  void countIn();
  mlir::Value batchIndex(int32_t dim) const { return batchIndices[dim]; }
  LaneArray makeArray(mlir::Value base, llvm::ArrayRef<AxisPlan> axes, int64_t firstSlot,
                      SeqDType dtype, bool isOfTokens);
  /// An access of elements: where the first is, and what comes along lanes and along the group.
  struct Access {
    mlir::Value at;
    mlir::Value laneStride, rowStride; ///< null where elements are the same
    mlir::Value lanes;                 ///< that exist; null: all
    int64_t size = 0, rows = 0;        ///< places along the lanes, and along the group
  };
  Access address(const LaneArray &array, llvm::ArrayRef<Place> places, mlir::Value token);
  mlir::Value loadTile(const Access &access, mlir::Type element);
  void storeTile(const Access &access, mlir::Value value);
  mlir::Value lanesThatExist(int64_t size, mlir::Value condition);
  mlir::Value isFirstOfLanes();
  mlir::Value widen(mlir::Value value, SeqDType dtype);
  mlir::Value narrow(mlir::Value value, SeqDType dtype);
  mlir::LLVM::LLVMFuncOp kernel;
  int32_t regions;
  mlir::Value begin; ///< of the sequence in packed arrays; null when there is no batch dim to pack
  llvm::SmallVector<mlir::Value> batchIndices; ///< by dim
  llvm::DenseMap<int64_t, mlir::Value> slots;
  llvm::DenseMap<int32_t, LaneArray> tensors, ins, outs;
  mlir::Value lanePlaces, threadPlaces, existing, sequencePosition;
};

/// Places of a run-time dim that are left free behind those of each packed sequence, such that each
/// begins where the dim's extent for all tokens in front of it says: zero where the tokens do not
/// enter the extent. Nothing where it is not linear in them but for rounding.
std::optional<int64_t> freePlaces(const MixerPlan &plan, int32_t dim);

/// The attribute of a kernel that says its form in words, for explanations.
inline constexpr llvm::StringLiteral formName = "form";

/// A kernel with the arguments of all launches, without its body.
mlir::LLVM::LLVMFuncOp makeKernel(mlir::gpu::GPUModuleOp module, mlir::Location loc,
                                  llvm::StringRef name, const MixerPlan &plan, int32_t warps,
                                  int32_t regions = 0);
/// For kernels of long straight code: what is summed up is not to be moved behind it.
void keepOrder(mlir::LLVM::LLVMFuncOp kernel);

/// The launch of such a kernel: blocks for the parts of the shape's dim and all batch elements.
LaunchPlan launchOf(const MixerPlan &plan, const LaneShape &shape, int32_t threads,
                    int32_t regions = 0);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_KERNELS_LANEBLOCK_H
