//===- PairPlaces.cpp - places of the greatest scores ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The columns of a row whose scores are the greatest ones are found by the bits of the least of
// them: of the scores' order-preserving numbers, a pass over all columns counts for each value of
// the next four bits how many are not less. One more pass counts those that are greater than the
// least, and the last one stores places: those of greater scores, and of equal ones the first. All
// passes are one loop, so that scores are the same in each. Nothing is kept of a column.
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairLoop.h"

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/pairs/PairCarry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <limits>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Bits that a pass finds, and places of a list that are made empty at once.
static constexpr int64_t kDigit = 4, kEmptied = 64;

/// Numbers in the order of the scores, as integers without a sign: zero where a pair does not
/// count.
PairValue PairLoop::numbersOf(const PairValue &scores) {
  const Axes pair = {kRow, kColumn};
  const unsigned bits = tiles.real.getIntOrFloatBitWidth();
  Type type = builder.getIntegerType(bits), whole = tiles.typeOf(pair, type);
  auto constant = [&](const APInt &value) {
    return arith::ConstantOp::create(builder, loc,
                                     DenseElementsAttr::get(cast<ShapedType>(whole), value))
        .getResult();
  };
  // Both zeros are one number.
  Value real = tiles.add(scores, tiles.constant(0)).value;
  Value own = arith::BitcastOp::create(builder, loc, whole, real);
  Value none = constant(APInt::getZero(bits));
  Value isNegative = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, own, none);
  Value flipped =
      arith::SelectOp::create(builder, loc, isNegative, constant(APInt::getAllOnes(bits)),
                              constant(APInt::getSignMask(bits)));
  own = arith::XOrIOp::create(builder, loc, own, flipped);
  Value isNumber = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::ORD, real, real);
  Value counts = arith::AndIOp::create(builder, loc, isNumber, tiles.spread(mask, pair));
  return {arith::SelectOp::create(builder, loc, counts, own, none), pair, 0};
}

/// How many columns of a tile a condition holds for.
Value PairLoop::countOf(Value condition) {
  Type i32 = builder.getI32Type();
  Value ones = arith::ExtUIOp::create(builder, loc, tiles.typeOf({kRow, kColumn}, i32), condition);
  auto reduced = tile::ReduceOp::create(builder, loc, TypeRange{tiles.typeOf({kRow}, i32)},
                                        ValueRange{ones}, 1);
  addIntegers(reduced.getBody());
  return reduced.getResult(0);
}

void PairLoop::addIntegers(Region &region) {
  OpBuilder::InsertionGuard guard(builder);
  Block *body = builder.createBlock(&region);
  Type i32 = builder.getI32Type();
  Value a = body->addArgument(i32, loc), b = body->addArgument(i32, loc);
  Value sum = arith::AddIOp::create(builder, loc, a, b);
  tile::YieldOp::create(builder, loc, ValueRange{sum});
}

/// Stores where the columns of the tile that are chosen stand, and counts them on.
void PairLoop::storePlaces(const List &list, Value isGreater, Value isEqual, Value greaterBefore,
                           Value equalBefore) {
  const Axes pair = {kRow, kColumn};
  Type i32 = builder.getI32Type(), whole = tiles.typeOf(pair, i32);
  auto spread = [&](Value value, Axes axes) {
    return tiles.spread({value, std::move(axes), 0}, pair);
  };
  auto number = [&](int64_t value) {
    return tiles.spread(tiles.number(PairValue::index(value)), pair);
  };
  auto rank = [&](Value condition, Value before) -> Value {
    Value ones = arith::ExtUIOp::create(builder, loc, whole, condition);
    auto scan = tile::ScanOp::create(builder, loc, TypeRange{whole}, ValueRange{ones}, 1, false);
    addIntegers(scan.getBody());
    Value all = arith::AddIOp::create(builder, loc, scan.getResult(0), spread(before, {kRow}));
    return minus(all, number(1));
  };
  Value behind =
      arith::AddIOp::create(builder, loc, rank(isEqual, equalBefore), spread(list.greater, {kRow}));
  Value slot =
      arith::SelectOp::create(builder, loc, isGreater, rank(isGreater, greaterBefore), behind);
  Value fits =
      arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, slot, number(list.count));
  Value isChosen = arith::OrIOp::create(builder, loc, isGreater, isEqual);
  Value own =
      tile::IotaOp::create(builder, loc, cast<RankedTensorType>(tiles.typeOf({kRow}, i32)), 0);
  Value rowCount = arith::TruncIOp::create(builder, loc, i32, rows.count);
  Value isRow = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, own,
                                      tiles.spread({rowCount, {}, 0}, {kRow}));
  isChosen = arith::AndIOp::create(builder, loc, isChosen, fits);
  isChosen = arith::AndIOp::create(builder, loc, isChosen, spread(isRow, {kRow}));
  Value stride = arith::TruncIOp::create(builder, loc, i32, list.array.strides[0]);
  Value offset = arith::MulIOp::create(builder, loc, own, tiles.spread({stride, {}, 0}, {kRow}));
  offset = arith::AddIOp::create(builder, loc, spread(offset, {kRow}), slot);
  Value place = tiles.number(PairValue::along(kColumn)).value;
  Value first = arith::MulIOp::create(builder, loc, rows.inCall, list.array.strides[0]);
  Value base = LLVM::GEPOp::create(builder, loc, list.array.base.getType(), i32, list.array.base,
                                   ArrayRef<LLVM::GEPArg>{first});
  tile::ScatterOp::create(builder, loc, spread(place, {kColumn}), base, offset, isChosen);
}

/// The list of each row without any place.
void PairLoop::emptyLists(const List &list) {
  auto loop =
      scf::ForOp::create(builder, loc, block.i64(0), block.i64(list.count), block.i64(kEmptied));
  block.noteLoop(loop);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  const Axis slots = tiles.addSlice(list.count, kEmptied, loop.getInductionVar());
  storeRows(tiles, list.array, {PairValue::along(kRow), PairValue::along(slots)},
            tiles.number(PairValue::index(-1)), rows.inCall, rows.count, kRow);
}

LogicalResult PairLoop::emitPlaces(PairResultAttr result) {
  StringAttr name = result.getProduced().getAttr();
  const KeptValue *kept = groups.find(name);
  if (!kept || (rows.dim && kept->dims[0] != rows.dim))
    return expr.refuse(pairs, "places of the greatest with other rows");
  List list;
  list.array = expr.kept(*kept);
  list.count = expr.sizeOf(kept->dims.getValue().back());
  const size_t slot = rows.dim ? 1 : 0;
  Value before = block.i64(0);
  for (auto [dim, number] : rows.inner) {
    Value own = arith::ExtSIOp::create(builder, loc, builder.getI64Type(), number);
    own = arith::MulIOp::create(builder, loc, own, list.array.strides[slot]);
    before = arith::AddIOp::create(builder, loc, before, own);
    list.array.strides.erase(list.array.strides.begin() + slot);
  }
  if (!rows.inner.empty())
    list.array.base =
        LLVM::GEPOp::create(builder, loc, list.array.base.getType(), builder.getI32Type(),
                            list.array.base, ArrayRef<LLVM::GEPArg>{before});
  if (!rows.dim)
    list.array.strides.insert(list.array.strides.begin(), block.i64(0));
  emptyLists(list);
  tile::BarrierOp::create(builder, loc);

  const unsigned bits = tiles.real.getIntOrFloatBitWidth();
  const int64_t passes = bits / kDigit;
  constexpr int64_t kCounts = (1 << kDigit) - 1;
  Type key = builder.getIntegerType(bits), i32 = builder.getI32Type();
  auto zero = [&](Type element) { return block.zero(tiles.typeOf({kRow}, element)); };
  // The least of those that are chosen, as far as its bits are known, and how many are greater.
  SmallVector<Value> found = {zero(key), zero(i32)};
  auto loop = emitLoop(
      block.i64(0), block.i64(passes + 2), block.i64(1), true, found,
      [&](Value pass, SmallVector<Value> &own) -> LogicalResult {
        auto isPass = [&](arith::CmpIPredicate predicate, int64_t number) -> Value {
          return arith::CmpIOp::create(builder, loc, predicate, pass, block.i64(number));
        };
        Value isLast = isPass(arith::CmpIPredicate::eq, passes + 1);
        Value left = greatest(minus(block.i64(passes - 1), pass), block.i64(0));
        Value shift = arith::MulIOp::create(builder, loc, left, block.i64(kDigit));
        if (bits < 64)
          shift = arith::TruncIOp::create(builder, loc, key, shift);
        // The least with each value of the next bits.
        auto withDigit = [&](int64_t digit) -> Value {
          Value more = arith::ShLIOp::create(
              builder, loc,
              arith::ConstantOp::create(builder, loc, builder.getIntegerAttr(key, digit)), shift);
          return arith::AddIOp::create(builder, loc, own[0], tiles.spread({more, {}, 0}, {kRow}));
        };
        list.greater = own[1];
        SmallVector<Value> counts(kCounts, zero(i32));
        auto inTile = [&](SmallVector<Value> &carried) -> LogicalResult {
          const Axes pair = {kRow, kColumn};
          auto score = expr.body(*pairs.getPart(result.getValue()), ofPair());
          if (failed(score))
            return failure();
          Value numbers = numbersOf({tiles.spread(*score, pair), pair, 0}).value;
          auto compare = [&](arith::CmpIPredicate predicate, Value least) -> Value {
            return arith::CmpIOp::create(builder, loc, predicate, numbers,
                                         tiles.spread({least, {kRow}, 0}, pair));
          };
          SmallVector<Type> types;
          for (Value one : carried)
            types.push_back(one.getType());
          auto choice = scf::IfOp::create(builder, loc, types, isLast, /*withElse=*/true);
          OpBuilder::InsertionGuard guard(builder);
          auto counted = [&](Value before, Value condition) -> Value {
            return arith::AddIOp::create(builder, loc, before, countOf(condition));
          };
          builder.setInsertionPointToStart(choice.thenBlock());
          Value isGreater = compare(arith::CmpIPredicate::ugt, own[0]);
          Value isEqual = compare(arith::CmpIPredicate::eq, own[0]);
          Value counts = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, numbers,
                                               block.zero(numbers.getType()));
          isEqual = arith::AndIOp::create(builder, loc, isEqual, counts);
          storePlaces(list, isGreater, isEqual, carried[0], carried[1]);
          SmallVector<Value> after(carried);
          after[0] = counted(carried[0], isGreater);
          after[1] = counted(carried[1], isEqual);
          scf::YieldOp::create(builder, loc, after);
          builder.setInsertionPointToStart(choice.elseBlock());
          for (int64_t digit = 1; digit <= kCounts; ++digit)
            after[digit - 1] =
                counted(carried[digit - 1], compare(arith::CmpIPredicate::uge, withDigit(digit)));
          scf::YieldOp::create(builder, loc, after);
          carried.assign(choice.result_begin(), choice.result_end());
          return success();
        };
        if (failed(emitRuns(counts, inTile)))
          return failure();
        // Behind all bits nothing is found.
        Value wanted = arith::SelectOp::create(
            builder, loc, isPass(arith::CmpIPredicate::slt, passes),
            tiles.number(PairValue::index(list.count)).value,
            tiles.number(PairValue::index(std::numeric_limits<int32_t>::max())).value);
        Value least = own[0];
        for (int64_t digit = 1; digit <= kCounts; ++digit) {
          Value isEnough =
              arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sge, counts[digit - 1],
                                    tiles.spread({wanted, {}, 0}, {kRow}));
          least = arith::SelectOp::create(builder, loc, isEnough, withDigit(digit), least);
        }
        own[1] = arith::SelectOp::create(builder, loc, isPass(arith::CmpIPredicate::eq, passes),
                                         counts[0], own[1]);
        own[0] = least;
        return success();
      });
  if (failed(loop))
    return failure();
  expr.leaveLoop();
  // Behind it the block reads its own rows.
  tile::BarrierOp::create(builder, loc);
  return success();
}

} // namespace seqmix::gpu
