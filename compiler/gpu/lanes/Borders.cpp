//===- Borders.cpp - what segments of a sequence leave for each other --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/Borders.h"

#include "dialect/Carry.h"
#include "runtime/Frame.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace seqmix::gpu {

//===----------------------------------------------------------------------===//
// The layout
//===----------------------------------------------------------------------===//

int64_t BorderPart::elements() const {
  int64_t count = 1;
  for (int64_t extent : extents)
    count *= extent;
  return count;
}

static BorderPart placePart(const MixerPlan &plan, const ComponentPlan &component, int64_t &end) {
  BorderPart part;
  part.dtype = component.dtype;
  for (const AxisPlan &axis : component.axes) {
    if (axis.slot < 0)
      continue;
    if (axis.slot >= static_cast<int32_t>(part.extents.size()))
      part.extents.resize(axis.slot + 1, 1);
    part.extents[axis.slot] = axis.dim < 0                ? axis.size
                              : axis.dim == plan.tokenDim ? component.window
                                                          : plan.dims[axis.dim].size;
  }
  part.strides.resize(part.extents.size());
  int64_t stride = 1;
  for (int64_t slot = static_cast<int64_t>(part.extents.size()) - 1; slot >= 0; --slot) {
    part.strides[slot] = stride;
    stride *= part.extents[slot];
  }
  part.offset = end;
  end += llvm::alignTo(stride * (component.dtype == SEQ_F64 ? 8 : 4), 8);
  return part;
}

Borders::Borders(seq::MixerOp mixer, const MixerPlan &plan, const SummaryPlan &summary)
    : plan(plan), summary(summary) {
  for (const ComponentPlan &component : summary.mixer.components)
    if (component.kind == SEQ_CARRY_STATE)
      states.push_back(placePart(summary.mixer, component, recordBytes));
  headBytes = 8; // the number of the last segment
  for (auto [number, component] : llvm::enumerate(seq::carryComponents(mixer)))
    if (component.kind == seq::CarryComponent::Window)
      windows.push_back({static_cast<int32_t>(number), component.of.getAttr(),
                         placePart(plan, plan.components[number], headBytes)});
}

std::vector<AmountPlan> Borders::regions() const {
  std::vector<AmountPlan> result(kRegions);
  for (AmountPlan &region : result)
    for (auto [number, dim] : llvm::enumerate(plan.dims))
      if (dim.kind == SEQ_DIM_BATCH)
        region.factors.push_back({SEQ_FACTOR_DIM, static_cast<int32_t>(number), 1});
  result[kBorders].number = recordBytes;
  result[kBorders].factors.push_back({SEQ_FACTOR_SEGMENTS, 0, 1});
  result[kHeads].number = headBytes;
  return result;
}

int32_t Borders::stateNamed(StringRef name) const {
  for (size_t number = 0; number < states.size(); ++number)
    if (summary.mixer.components[number].name == name)
      return static_cast<int32_t>(number);
  return -1;
}

Value Borders::record(LaneBlock &block, Value element, Value count, Value segment) const {
  OpBuilder &builder = block.builder;
  Value own = arith::AddIOp::create(
      builder, block.loc, arith::MulIOp::create(builder, block.loc, element, count), segment);
  Value offset = arith::MulIOp::create(builder, block.loc, own, block.i64(recordBytes));
  Value all = block.workspace(kBorders);
  return LLVM::GEPOp::create(builder, block.loc, all.getType(), builder.getI8Type(), all,
                             ArrayRef<LLVM::GEPArg>{offset});
}

LaneArray Borders::arrayOf(LaneBlock &block, Value record, const BorderPart &part) {
  LaneArray array;
  array.base =
      LLVM::GEPOp::create(block.builder, block.loc, record.getType(), block.builder.getI8Type(),
                          record, ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(part.offset)});
  array.dtype = part.dtype;
  for (int64_t stride : part.strides)
    array.strides.push_back(block.i64(stride));
  return array;
}

//===----------------------------------------------------------------------===//
// The segment of a block
//===----------------------------------------------------------------------===//

LaneSegment::LaneSegment(const Borders &borders, LaneBlock &block, LaneExpr *expr, bool isSummary,
                         seq::Direction direction)
    : borders(borders), block(block), expr(expr), builder(block.builder), isSummary(isSummary),
      step(direction == seq::Direction::Forward ? 1 : -1) {
  Value z = NVVM::BlockIdZOp::create(builder, block.loc, builder.getI32Type());
  number = arith::ExtUIOp::create(builder, block.loc, builder.getI64Type(), z);
  count = block.frameSlot(SEQ_DEVICE_SEGMENTS);
  isFirst = compare(arith::CmpIPredicate::eq, number, block.i64(0));
  isCut = compare(arith::CmpIPredicate::ugt, count, block.i64(1));
  element = block.batchElement();
  Value heads = block.workspace(Borders::kHeads);
  Value offset = arith::MulIOp::create(builder, block.loc, element, block.i64(borders.headBytes));
  head = LLVM::GEPOp::create(builder, block.loc, heads.getType(), builder.getI8Type(), heads,
                             ArrayRef<LLVM::GEPArg>{offset});
  findTokens();
}

Value LaneSegment::compare(arith::CmpIPredicate predicate, Value a, Value b) {
  return arith::CmpIOp::create(builder, block.loc, predicate, a, b);
}

void LaneSegment::findTokens() {
  Location loc = block.loc;
  auto begin = [&](Value segment) -> Value {
    Value before = arith::MulIOp::create(builder, loc, segment, block.tokens);
    return arith::DivUIOp::create(builder, loc, before, count);
  };
  block.first = begin(number);
  Value next = arith::AddIOp::create(builder, loc, number, block.i64(1));
  block.end = begin(next);
  Value last = arith::SubIOp::create(builder, loc, count, block.i64(1));
  if (isSummary) {
    // The last segment's states go nowhere.
    Value isLast = compare(arith::CmpIPredicate::eq, number, last);
    block.end = arith::SelectOp::create(builder, loc, isLast, block.first, block.end);
    return;
  }
  LaneArray array;
  array.base = head;
  array.dtype = SEQ_I32;
  Value noted = block.load(array, {}, Value(), isCut); // 0, the only one, where nothing is cut
  block.isEnding = compare(arith::CmpIPredicate::eq, number, noted);
  Value isBehind = compare(arith::CmpIPredicate::ugt, number, noted);
  block.end = arith::SelectOp::create(builder, loc, block.isEnding, block.tokens, block.end);
  block.end = arith::SelectOp::create(builder, loc, isBehind, block.first, block.end);
}

Value LaneSegment::record(Value segment) { return borders.record(block, element, count, segment); }

LaneArray LaneSegment::select(const LaneArray &cut, const LaneArray &whole) {
  LaneArray array = cut;
  auto choose = [&](Value a, Value b) -> Value {
    return arith::SelectOp::create(builder, block.loc, isCut, a, b);
  };
  array.base = choose(cut.base, whole.base);
  for (auto [own, other] : llvm::zip_equal(array.strides, whole.strides))
    own = choose(own, other);
  array.isThere = whole.isThere
                      ? arith::OrIOp::create(builder, block.loc, isCut, whole.isThere).getResult()
                      : Value();
  return array;
}

LaneArray LaneSegment::stateInFront(int32_t component) {
  LaneArray carry = block.carryIn(component);
  if (isSummary) {
    carry.isThere = block.conjunction(carry.isThere, isFirst);
    return carry;
  }
  int32_t own = borders.stateNamed(borders.plan.components[component].name);
  return select(arrayOf(record(number), borders.states[own]), carry);
}

Value LaneSegment::initial(Value init) {
  if (!isSummary)
    return init;
  return arith::SelectOp::create(builder, block.loc, isFirst, init, block.zero(init.getType()));
}

double LaneSegment::initialProduct(StringRef name) const {
  int32_t number = borders.stateNamed(name);
  return number < 0 ? 0 : borders.summary.mixer.components[number].init;
}

FailureOr<Value> LaneSegment::inputInFront(const Carried &value, int32_t component,
                                           int64_t firstRow) {
  Value distance = block.i64(value.distance);
  expr->enterToken(block.first, none);
  auto there = expr->inputAt(value.name, value.element, -step * value.distance);
  if (failed(there))
    return failure();
  if (component < 0)
    return there;
  LaneArray window = block.carryIn(component);
  if (!isSummary) {
    auto own = llvm::find_if(borders.windows, [&](const BorderWindow &candidate) {
      return candidate.component == component;
    });
    window = select(arrayOf(head, own->part), window);
  }
  Value isHere = compare(arith::CmpIPredicate::ult, block.first, distance);
  if (firstRow < 0) {
    Value isRow = compare(arith::CmpIPredicate::uge, block.first, block.i64(-firstRow));
    isHere = block.conjunction(isHere, isRow);
  }
  Value carried =
      block.load(window, expr->places(value.name, value.element, Place{firstRow, 1, 0, {}}),
                 block.first, isHere);
  if (getElementTypeOrSelf(there->getType()).isInteger(1))
    carried = compare(arith::CmpIPredicate::ne, carried, block.zero(carried.getType()));
  Value isInput = compare(arith::CmpIPredicate::uge, block.first, distance);
  if (isa<RankedTensorType>(carried.getType()) || isa<RankedTensorType>(there->getType())) {
    carried = block.splat(carried);
    there = block.splat(*there);
    isInput = block.splat(isInput);
  }
  return arith::SelectOp::create(builder, block.loc, isInput, *there, carried).getResult();
}

LaneSegment::Ends LaneSegment::endsOf(int32_t component) {
  Value next = arith::AddIOp::create(builder, block.loc, number, block.i64(1));
  Value own = record(number), behind = record(next);
  Ends ends{arrayOf(own, borders.states[component]), arrayOf(behind, borders.states[component])};
  ends.front.isThere = isFirst;
  ends.behind.isThere = compare(arith::CmpIPredicate::ult, next, count);
  return ends;
}

void LaneSegment::noteLast() {
  LaneArray noted;
  noted.base = head;
  noted.dtype = SEQ_I32;
  noted.isThere = isFirst;
  block.store(noted, {}, Value(), arith::SubIOp::create(builder, block.loc, count, block.i64(1)));
}

void LaneSegment::store(ArrayRef<Carried> carried, ArrayRef<Value> initial, ArrayRef<Value> last) {
  for (auto [value, before, after] : llvm::zip_equal(carried, initial, last)) {
    if (value.distance > 0)
      continue;
    const Ends ends = endsOf(borders.stateNamed(value.name));
    auto places = expr->places(value.name, value.element);
    block.store(ends.front, places, Value(), before);
    block.store(ends.behind, places, Value(), after);
  }
  for (const BorderWindow &own : borders.windows) {
    const LaneArray &window = block.carryIn(own.component);
    LaneArray copy = arrayOf(head, own.part);
    copy.isThere = isFirst;
    for (const LaneElement &at : expr->elementsOf(own.of))
      for (int64_t row = 0; row < own.part.extents[0]; ++row) {
        auto places = expr->places(own.of, at, Place::of(row));
        block.store(copy, places, Value(), block.load(window, places, Value(), isFirst));
      }
  }
  noteLast();
}

} // namespace seqmix::gpu
