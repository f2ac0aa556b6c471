//===- ExpandSolves.cpp - triangular systems, row by row ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/Passes.h"

using namespace mlir;
using namespace mlir::tile;

namespace seqmix {
#define GEN_PASS_DEF_TILEEXPANDSOLVES
#include "compiler/gpu/Passes.h.inc"

namespace {

/// Rows of a basic block.
constexpr int64_t rowsTogether = 4;

class Substitution {
public:
  explicit Substitution(SolveOp op)
      : op(op), builder(op), loc(op.getLoc()),
        type(cast<RankedTensorType>(op.getRights()[0].getType())), rows(type.getDimSize(0)) {}

  void run() {
    findColumns();
    SmallVector<Value> solved(op.getRights());
    addRows(solved, 0);
    for (int64_t first = rowsTogether; first + 1 < rows; first += rowsTogether) {
      if (!op.getWithin()) {
        addRows(solved, first);
        continue;
      }
      Value number = arith::ConstantOp::create(builder, loc, builder.getI64IntegerAttr(first));
      Value exist =
          arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sgt, op.getWithin(), number);
      auto choice = scf::IfOp::create(builder, loc, ValueRange(solved).getTypes(), exist,
                                      /*withElseRegion=*/true);
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToEnd(choice.elseBlock());
      scf::YieldOp::create(builder, loc, solved);
      builder.setInsertionPointToEnd(choice.thenBlock());
      addRows(solved, first);
      scf::YieldOp::create(builder, loc, solved);
      solved.assign(choice.result_begin(), choice.result_end());
    }
    op.replaceAllUsesWith(solved);
    op.erase();
  }

private:
  /// What a row of one right side adds to those of another, by row: in shared memory, each a vector
  /// of its own.
  ///
  /// Behind the matrices: right sides that come later are not in registers meanwhile.
  void findColumns() {
    OpBuilder::InsertionGuard guard(builder);
    Operation *last = nullptr;
    for (Value matrix : op.getMatrices()) {
      Operation *made = matrix.getDefiningOp();
      if (!made || made->getBlock() != op->getBlock()) {
        last = nullptr;
        break;
      }
      if (!last || last->isBeforeInBlock(made))
        last = made;
    }
    if (last)
      builder.setInsertionPointAfter(last);
    auto square = cast<RankedTensorType>(op.getMatrices()[0].getType());
    auto places = square.clone(builder.getI32Type());
    Value zero =
        arith::ConstantOp::create(builder, loc, cast<TypedAttr>(builder.getZeroAttr(square)));
    Value below = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sgt,
                                        IotaOp::create(builder, loc, places, 0),
                                        IotaOp::create(builder, loc, places, 1));
    for (Value matrix : op.getMatrices()) {
      Value strict = arith::SelectOp::create(builder, loc, below, matrix, zero);
      // Through memory, so that a thread has whole rows.
      Value memory = allocate(square.getShape());
      StoreOp::create(builder, loc, strict, memory, /*transposed=*/false);
      Value lines = LoadOp::create(builder, loc, square, memory, /*transposed=*/false);
      SmallVector<Value> &own = columns.emplace_back();
      for (int64_t row = 0; row + 1 < rows; ++row) {
        Value column =
            PickOp::create(builder, loc, vectorOf(square, 0), lines, 1, static_cast<int32_t>(row));
        own.push_back(allocate(rows));
        StoreOp::create(builder, loc, column, own.back(), /*transposed=*/false);
      }
    }
  }

  void addRows(MutableArrayRef<Value> solved, int64_t first) {
    const size_t count = solved.size();
    const int64_t end = std::min(first + rowsTogether, rows - 1);
    for (int64_t row = first; row < end; ++row) {
      SmallVector<Value> own;
      for (Value right : solved) {
        Value line =
            PickOp::create(builder, loc, vectorOf(type, 1), right, 0, static_cast<int32_t>(row));
        own.push_back(BroadcastOp::create(builder, loc, type, line, 0));
      }
      for (size_t to = 0; to < count; ++to)
        for (size_t from = 0; from < count; ++from) {
          Value column = LoadOp::create(builder, loc, vectorOf(type, 0),
                                        columns[to * count + from][row], /*transposed=*/false);
          Value weight = BroadcastOp::create(builder, loc, type, column, 1);
          Value term = arith::MulFOp::create(builder, loc, weight, own[from],
                                             arith::FastMathFlags::contract);
          solved[to] =
              arith::AddFOp::create(builder, loc, solved[to], term, arith::FastMathFlags::contract);
        }
    }
  }

  /// What is left of a tile's shape with one dim.
  static RankedTensorType vectorOf(RankedTensorType tile, unsigned dim) {
    return RankedTensorType::get({tile.getDimSize(dim)}, tile.getElementType());
  }

  Value allocate(ArrayRef<int64_t> shape) {
    const int64_t rowBytes = shape.back() * type.getElementTypeBitWidth() / 8;
    const unsigned swizzle =
        shape.size() < 2 || rowBytes < 32 ? 0 : unsigned(std::min<int64_t>(128, rowBytes));
    return AllocSmemOp::create(
        builder, loc, SmemType::get(op.getContext(), shape, type.getElementType(), swizzle),
        IntegerAttr());
  }

  SolveOp op;
  OpBuilder builder;
  Location loc;
  RankedTensorType type;
  int64_t rows;
  SmallVector<SmallVector<Value>> columns; // by matrix
};

struct TileExpandSolves : impl::TileExpandSolvesBase<TileExpandSolves> {
  using TileExpandSolvesBase::TileExpandSolvesBase;

  void runOnOperation() override {
    SmallVector<SolveOp> solves;
    getOperation()->walk([&](SolveOp op) { solves.push_back(op); });
    for (SolveOp op : solves)
      Substitution(op).run();
  }
};

} // namespace
} // namespace seqmix
