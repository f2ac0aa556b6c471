//===- Pairs.cpp - reductions over pairs of positions ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/Pairs.h"

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/pairs/PairCarry.h"
#include "compiler/gpu/pairs/PairLoop.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"

#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {
namespace {

/// A block's rows: 16 for each warp.
constexpr int32_t kWarps = 4;
constexpr int64_t kRows = 16 * kWarps;
/// Columns of a tile. Each warp has what they are multiplied with in registers, so many of a thread
/// at most.
constexpr int64_t kLeastColumns = 16, kMostColumns = 64, kFactorRegisters = 48;
/// Bytes of a row of features up to which the registers of a multiprocessor are enough for three
/// blocks.
constexpr int64_t kBytesOfThreeBlocks = 128;

class PairLowering {
public:
  PairLowering(MixerOp mixer, const MixerPlan &plan, mlir::gpu::GPUModuleOp module, StringRef name,
               int32_t first)
      : mixer(mixer), plan(plan), module(module), name(name), first(first) {}

  FailureOr<std::vector<LaunchPlan>> run() {
    if (failed(check()) || failed(emitForward()))
      return failure();
    if (failed(emitCarryKernels(mixer, plan, module, name, first, launches)))
      return failure();
    return std::move(launches);
  }

private:
  MixerOp mixer;
  const MixerPlan &plan;
  mlir::gpu::GPUModuleOp module;
  StringRef name;
  int32_t first;
  std::vector<LaunchPlan> launches;

  LogicalResult refuse(Operation *op, const Twine &what) {
    return emitError(op->getLoc()) << "not lowered for CUDA yet: " << what;
  }

  LogicalResult check() {
    for (Operation &op : mixer.getBody().front()) {
      if (isa<StateOp, AffineOp>(op))
        return refuse(&op, "recurrences beside reductions over pairs of positions");
      if (isa<ConvolutionOp>(op))
        return refuse(&op, "convolutions");
      auto pairs = dyn_cast<PairsOp>(op);
      if (!pairs)
        continue;
      if (pairs.getRows().size() != 1 || pairs.getRowDim() != tokenDimOf(mixer))
        return refuse(pairs, "reductions over pairs whose rows are not the tokens alone");
    }
    for (const CarryComponent &component : carryComponents(mixer))
      if (component.kind != CarryComponent::Rows)
        return refuse(mixer, "windows of earlier tokens beside pairs of positions");
    for (const DimPlan &dim : plan.dims)
      if (!dim.by.empty())
        return refuse(mixer, "dims whose extent follows from that of others");
    return success();
  }

  LogicalResult emitForward() {
    LLVM::LLVMFuncOp kernel =
        makeKernel(module, mixer.getLoc(), (name + "_forward").str(), plan, kWarps);
    const LaneShape shape{{0}, 32, 32, 1, 32 * kWarps};
    LaneBlock block(plan, shape, kernel, mixer.getCompute());
    OpBuilder &builder = block.builder;
    const int64_t order = isStoredWide() ? 3 : 2;
    const int64_t bytes = block.real.isF64() ? 8 : order == 3 ? 6 : 2;
    const int64_t columns = columnsOfTile(bytes);
    if (mostFeatures() * bytes <= kBytesOfThreeBlocks)
      kernel->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), block.builder.getI32IntegerAttr(3));
    PairTiles tiles(block, kRows, columns);
    PairProducts products(tiles, order);

    // Blocks with the most columns in front of them begin first.
    PairRows rows;
    rows.dim = tokenDimOf(mixer);
    auto wide = [&](Value number) -> Value {
      return arith::ExtUIOp::create(builder, block.loc, builder.getI64Type(), number);
    };
    Type i32 = builder.getI32Type();
    Value count = wide(NVVM::GridDimZOp::create(builder, block.loc, i32));
    Value own = wide(NVVM::BlockIdZOp::create(builder, block.loc, i32));
    own = arith::SubIOp::create(builder, block.loc, count, own);
    own = arith::SubIOp::create(builder, block.loc, own, block.i64(1));
    rows.inCall = arith::MulIOp::create(builder, block.loc, own, block.i64(kRows));
    Value left = arith::SubIOp::create(builder, block.loc, block.tokens, rows.inCall);
    rows.count = arith::MaxSIOp::create(builder, block.loc, left, block.i64(0));
    Value position = positionOf(block);
    rows.length = arith::AddIOp::create(builder, block.loc, position, block.tokens);
    Value firstRow = arith::AddIOp::create(builder, block.loc, position, rows.inCall);
    tiles.firstRow = arith::TruncIOp::create(builder, block.loc, i32, firstRow);

    PairExpr expr(mixer, tiles, products, rows);
    PairLoop loop(mixer, expr, tiles, rows, position);
    for (auto pairs : mixer.getOps<PairsOp>())
      if (failed(loop.emit(pairs)))
        return failure();
    if (failed(emitOutputs(expr, tiles, rows)))
      return failure();
    LLVM::ReturnOp::create(builder, block.loc, ValueRange());
    // Bounds of columns may be quotients.
    RewritePatternSet patterns(mixer.getContext());
    arith::populateCeilFloorDivExpandOpsPatterns(patterns);
    walkAndApplyPatterns(kernel, std::move(patterns));

    kernel->setAttr(
        formName,
        StringAttr::get(mixer.getContext(), fmt::format("a block for {} rows walks their columns, "
                                                        "{} at a time, on tensor cores",
                                                        kRows, columns)));
    LaunchPlan launch = launchOf(plan, shape, 32 * kWarps);
    launch.kernel = first++;
    launch.grid[2].factors.push_back({SEQ_FACTOR_DIM, plan.tokenDim, kRows});
    launches.push_back(std::move(launch));
    return success();
  }

  /// Whether results are stored in more than 16 bits.
  bool isStoredWide() const {
    return llvm::any_of(plan.tensors, [](const TensorPlan &tensor) {
      return tensor.role == SEQ_ROLE_OUTPUT && (tensor.dtype == SEQ_F32 || tensor.dtype == SEQ_F64);
    });
  }

  /// Of sums, padded.
  int64_t mostFeatures() {
    int64_t features = 1;
    auto note = [&](ArrayAttr dims) {
      for (auto dim : dims.getAsRange<FlatSymbolRefAttr>())
        if (auto size = cast<DimOp>(chunk::lookup(mixer, dim)).getSize())
          features = std::max(features, static_cast<int64_t>(*size));
    };
    for (auto pairs : mixer.getOps<PairsOp>()) {
      pairs.walk([&](ReduceOp reduce) { note(reduce.getDims()); });
      for (auto result : pairs.getOuts().getAsRange<PairResultAttr>())
        note(chunk::dimsOf(chunk::lookup(mixer, result.getProduced())));
    }
    return static_cast<int64_t>(llvm::PowerOf2Ceil(static_cast<uint64_t>(features)));
  }

  int64_t columnsOfTile(int64_t bytes) {
    const int64_t columns = kFactorRegisters * 32 * 4 / (mostFeatures() * bytes);
    return std::clamp(static_cast<int64_t>(llvm::bit_floor(static_cast<uint64_t>(columns))),
                      kLeastColumns, kMostColumns);
  }

  LogicalResult emitOutputs(PairExpr &expr, PairTiles &tiles, const PairRows &rows) {
    const auto inputs = static_cast<int32_t>(llvm::range_size(mixer.getOps<TensorOp>()));
    for (auto [number, output] : llvm::enumerate(mixer.getOps<OutputOp>())) {
      const int32_t tensor = inputs + static_cast<int32_t>(number);
      Operation *source = chunk::lookup(mixer, output.getSourceAttr());
      ArrayAttr dims = chunk::dimsOf(source);
      if (dims.empty() || dims[0] != rows.dim)
        return refuse(output, "an output without tokens");
      ArrayRef<Attribute> features = dims.getValue().drop_front();
      for (Attribute dim : features)
        if (expr.sizeOf(dim) < 0)
          return refuse(output, "an output for every pair of positions");
      auto status = forEachRowOfFeatures(
          output, expr, tiles, features, [&](ArrayRef<PairValue> places) -> LogicalResult {
            SmallVector<PairValue> all = {PairValue::along(kRow)};
            llvm::append_range(all, places);
            auto value = expr.symbol(output, output.getSourceAttr().getAttr(), all);
            if (failed(value))
              return failure();
            PairValue own = value->value ? *value : tiles.number(*value);
            storeRows(tiles, tiles.block.tensor(tensor), all, own, rows.inCall, rows.count, kRow);
            return success();
          });
      if (failed(status))
        return failure();
    }
    return success();
  }
};

} // namespace

bool hasPairs(MixerOp mixer) { return !mixer.getOps<PairsOp>().empty(); }

FailureOr<std::vector<LaunchPlan>> emitPairKernels(MixerOp mixer, const MixerPlan &plan,
                                                   mlir::gpu::GPUModuleOp module, StringRef name,
                                                   int32_t first) {
  return PairLowering(mixer, plan, module, name, first).run();
}

} // namespace seqmix::gpu
