//===- SweepPlan.cpp - the scratch memory of pairwise reductions ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/SweepPlan.h"

#include "llvm/ADT/SetVector.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

PairsOp seqmix::findPairs(MixerOp mixer, StringAttr result) {
  for (auto pairs : mixer.getOps<PairsOp>())
    for (auto own : pairs.getOuts().getAsRange<PairResultAttr>())
      if (own.getProduced().getAttr() == result)
        return pairs;
  return {};
}

SmallVector<ReduceOp> seqmix::columnReductions(PairsOp pairs) {
  SmallVector<ReduceOp> found;
  for (auto [number, region] : llvm::enumerate(pairs.getParts())) {
    if (pairs.isFactoredForm(number))
      continue;
    Block &part = region.front();
    Value column = pairs.columnOf(&part);
    for (auto reduce : part.getOps<ReduceOp>()) {
      bool usesColumn = false, usesMore = false;
      llvm::SetVector<Operation *> slice;
      slice.insert(reduce);
      for (size_t next = 0; next < slice.size(); ++next)
        slice[next]->walk([&](Operation *inner) {
          for (Value operand : inner->getOperands()) {
            if (auto argument = dyn_cast<BlockArgument>(operand);
                argument && argument.getOwner() == &part) {
              usesColumn |= argument == column;
              usesMore |= argument.getArgNumber() > pairs.getRows().size();
            } else if (Operation *op = operand.getDefiningOp(); op && op->getBlock() == &part) {
              slice.insert(op);
            }
          }
        });
      if (usesColumn && !usesMore)
        found.push_back(reduce);
    }
  }
  return found;
}

std::optional<std::pair<Operation *, Operation *>> seqmix::quotientOf(ReduceOp op) {
  auto binary = [](Value value, BinaryFn fn) {
    auto own = value.getDefiningOp<BinaryOp>();
    return own && own.getFn() == fn ? own : BinaryOp();
  };
  auto isOne = [](Value value) {
    auto constant = value.getDefiningOp<ConstantOp>();
    auto real = constant ? dyn_cast<FloatAttr>(constant.getValue()) : FloatAttr();
    return real && real.getValueAsDouble() == 1;
  };
  if (op.getKind() != ReduceKind::Sum || !op.getDomain().empty())
    return std::nullopt;
  auto quotient = binary(op.getBody().front().getTerminator()->getOperand(0), BinaryFn::Div);
  auto sum = quotient ? binary(quotient.getRhs(), BinaryFn::Add) : BinaryOp();
  auto product = sum ? binary(sum.getLhs(), BinaryFn::Mul) : BinaryOp();
  auto first = product ? product.getLhs().getDefiningOp<UnaryOp>() : UnaryOp();
  auto second = product ? product.getRhs().getDefiningOp<UnaryOp>() : UnaryOp();
  if (!first || !second || first.getFn() != UnaryFn::Exp || second.getFn() != UnaryFn::Exp ||
      !isOne(sum.getRhs()))
    return std::nullopt;
  return std::pair<Operation *, Operation *>(first, second);
}

// What is below the smallest normal number is lost: times the other exponential it stays far below
// 1, to which the product is added. Products of two divisors, and a numerator, are finite.
double seqmix::largestExponential(Type real) { return real.isF64() ? 0x1p+860 : 0x1p+86; }
double seqmix::largestDivisor(Type real) { return real.isF64() ? 0x1p+200 : 0x1p+40; }
double seqmix::largestScaledDivisor(Type real) { return real.isF64() ? 0x1p+480 : 0x1p+60; }
// Smaller numerators are nothing beside the largest.
double seqmix::largestScale(Type real) { return real.isF64() ? 0x1p+64 : 0x1p+30; }

namespace {
/// What a value of a part depends on.
struct Dependence {
  llvm::SetVector<Value> indices;
  SmallVector<ReadOp> reads;
};

Dependence dependenceOf(Value value) {
  Dependence result;
  llvm::SetVector<Operation *> slice;
  auto add = [&](Value operand) {
    if (Operation *op = operand.getDefiningOp())
      slice.insert(op);
    else
      result.indices.insert(operand);
  };
  add(value);
  for (size_t next = 0; next < slice.size(); ++next)
    slice[next]->walk([&, whole = slice[next]](Operation *op) {
      if (auto read = dyn_cast<ReadOp>(op))
        result.reads.push_back(read);
      for (Value operand : op->getOperands())
        if (op == whole || !whole->isAncestor(operand.getParentBlock()->getParentOp()))
          add(operand);
    });
  return result;
}

class Planner {
public:
  Planner(const Layout &layout, SweepPlan &plan) : layout(layout), plan(plan) {}

  void run() {
    int64_t real = layout.real.getIntOrFloatBitWidth() / 8;
    int64_t width = plan.width(), panels = plan.panels();
    llvm::SetVector<StringAttr> rows, columns;
    collect(rows, columns);
    for (StringAttr name : rows)
      plan.rows.push_back(operand(name, panels * width, plan.allRows() + 1));
    for (StringAttr name : columns)
      plan.columns.push_back(operand(name, plan.tile, 1));
    findExponentials();
    if (plan.op.getScore()) {
      plan.scoreOffset = place(plan.tile * width * real);
      int64_t maxima = std::max(panels * width, plan.narrowRows() * plan.lanes);
      plan.shiftOffset = place(maxima * real);
      plan.maxOffset = place(maxima * real);
    }
    for (auto result : plan.op.getOuts().getAsRange<PairResultAttr>()) {
      const SymbolInfo &info = layout.symbol(result.getProduced().getAttr());
      bool hasSums = result.getKind() != PairKind::ScoreMax && result.getKind() != PairKind::Each;
      int64_t features = 1;
      if (hasSums)
        for (int64_t size : plan.featureSizes(info))
          features *= size;
      if (result.getKind() == PairKind::Places)
        features *= 2; // the values, then where they stand
      plan.features.push_back(features);
      if (result.getKind() == PairKind::Each && plan.eachOffset < 0)
        plan.eachOffset = place(plan.tile * width * real);
      if (result.getKind() == PairKind::Places && plan.heapOffset < 0)
        plan.heapOffset = place(kRows * width * real);
      int64_t sums =
          std::max(panels * features * width, plan.narrowRows() * plan.narrowFeatures(info));
      plan.accumulatorOffsets.push_back(hasSums ? place(sums * real) : -1);
      if (result.getWeight() < 0 || result.getValue() < 0 ||
          plan.weightOffsets.contains(result.getWeight()))
        continue;
      bool takesScores = plan.weightOffsets.empty() && plan.scoreOffset >= 0;
      plan.weightOffsets[result.getWeight()] =
          takesScores ? plan.scoreOffset : place(plan.tile * width * real);
    }
    if (!plan.narrow)
      return;
    for (ReduceOp reduce : columnReductions(plan.op))
      plan.innerOffsets[reduce] = place(plan.narrowRows() * plan.tile * real);
  }

private:
  /// Packs the exponentials of factored forms whose rows are lanes.
  void findExponentials() {
    auto forms = plan.op.getFactored();
    if (!forms || !plan.positionLanes)
      return;
    plan.bounded = true;
    SmallVector<SweepExponential> found;
    SmallVector<SweepSum> sums;
    bool isPacked = true;
    for (auto form : forms->getAsRange<FactoredPartAttr>()) {
      plan.bounded &= form.getBounded();
      Block *part = plan.op.getPart(form.getPart());
      part->walk([&](ReduceOp op) {
        auto quotient = quotientOf(op);
        if (!quotient)
          return;
        for (Operation *each : {quotient->first, quotient->second})
          isPacked &= addExponential(each, part, found);
        Value top =
            op.getBody().front().getTerminator()->getOperand(0).getDefiningOp()->getOperand(0);
        Dependence numerator = dependenceOf(top);
        if (!numerator.indices.contains(plan.op.rowOf(part)) &&
            !numerator.indices.contains(plan.op.columnOf(part)))
          sums.push_back(sumOf(op, top, numerator));
      });
    }
    if (!isPacked || found.empty())
      return;
    int64_t real = layout.real.getIntOrFloatBitWidth() / 8;
    for (SweepExponential &each : found) {
      int64_t positions = each.ofColumn ? plan.tile : plan.panels() * plan.width();
      each.offset = place(positions * each.elements * real);
    }
    for (auto [number, sum] : llvm::enumerate(sums)) {
      scaleExponential(sum, number, found);
      sum.offset = place(sum.elements * real);
      sum.largestOffset = place(real);
    }
    plan.largestOffset = place((plan.panels() + 2) * plan.lanes * real);
    plan.exponentials = found;
    plan.sums = sums;
  }

  /// Indices of a value as dims of a packed array; positions are none of them.
  template <typename Packed> void addFeatures(Packed &packed, const Dependence &dependence) {
    auto mixer = plan.op->getParentOfType<MixerOp>();
    for (Value index : dependence.indices) {
      auto argument = cast<BlockArgument>(index);
      Block *block = argument.getOwner();
      auto reduce = dyn_cast<ReduceOp>(block->getParentOp());
      if (!reduce && (index == plan.op.rowOf(block) || index == plan.op.columnOf(block)))
        continue;
      ArrayAttr dims = reduce ? reduce.getDims() : plan.op.getRows();
      packed.features.push_back(index);
      packed.sizes.push_back(
          fixedSize(mixer, cast<FlatSymbolRefAttr>(dims[argument.getArgNumber()])));
    }
    packed.strides.assign(packed.sizes.size(), 0);
    for (int64_t dim = packed.sizes.size() - 1; dim >= 0; --dim) {
      packed.strides[dim] = packed.elements;
      packed.elements *= packed.sizes[dim];
    }
  }

  SweepSum sumOf(ReduceOp op, Value numerator, const Dependence &dependence) {
    SweepSum sum;
    sum.op = op;
    sum.numerator = numerator;
    addFeatures(sum, dependence);
    return sum;
  }

  /// Has a sum's exponential of rows hold its numerators if that has their indices and is its own.
  static void scaleExponential(SweepSum &sum, int64_t number,
                               MutableArrayRef<SweepExponential> all) {
    auto [first, second] = *quotientOf(sum.op);
    for (SweepExponential &each : all)
      if ((each.op == first || each.op == second) && !each.ofColumn && each.op->hasOneUse() &&
          each.op->getUsers().begin()->hasOneUse() && llvm::all_of(sum.features, [&](Value index) {
            return llvm::is_contained(each.features, index);
          })) {
        each.sum = number;
        sum.scaled = true;
      }
  }

  /// False where something that it reads at its position is not packed.
  bool addExponential(Operation *op, Block *part, SmallVectorImpl<SweepExponential> &found) {
    if (llvm::any_of(found, [&](const SweepExponential &each) { return each.op == op; }))
      return true;
    Value row = plan.op.rowOf(part), column = plan.op.columnOf(part);
    Dependence own = dependenceOf(op->getResult(0));
    SweepExponential result;
    result.op = op;
    result.ofColumn = own.indices.contains(column);
    if (result.ofColumn == own.indices.contains(row))
      return false;
    for (ReadOp read : own.reads) {
      auto name = read.getSourceAttr().getAttr();
      auto &side = result.ofColumn ? plan.columns : plan.rows;
      if (layout.symbol(name).perToken &&
          llvm::none_of(side, [&](const SweepOperand &operand) { return operand.name == name; }))
        return false;
    }
    addFeatures(result, own);
    found.push_back(std::move(result));
    return true;
  }

  /// Symbols over one position that is t or s itself; all others are read where they stand.
  void collect(llvm::SetVector<StringAttr> &rows, llvm::SetVector<StringAttr> &columns) {
    for (Region &region : plan.op.getParts()) {
      Block &part = region.front();
      region.walk([&](ReadOp read) {
        auto name = read.getSourceAttr().getAttr();
        const SymbolInfo &info = layout.symbol(name);
        if (!info.perToken || llvm::any_of(info.sizes, [](int64_t size) { return size < 0; }))
          return;
        auto position = dyn_cast<AffineDimExpr>(read.getMap().getResult(0));
        if (!position)
          return;
        Value at = read.getOperands()[position.getPosition()];
        if (at == plan.op.columnOf(&part))
          columns.insert(name);
        else if (plan.positionLanes && at == plan.op.rowOf(&part))
          rows.insert(name);
      });
    }
  }

  SweepOperand operand(StringAttr name, int64_t positions, int64_t ranges) {
    const SymbolInfo &info = layout.symbol(name);
    SweepOperand result;
    result.name = name;
    result.kind = info.kind;
    result.strides.assign(info.sizes.size(), 0);
    for (int64_t dim = info.sizes.size() - 1; dim >= 0; --dim) {
      result.strides[dim] = result.elements;
      result.elements *= info.sizes[dim];
    }
    int64_t bytes = info.kind == ValueKind::Real ? layout.real.getIntOrFloatBitWidth() / 8 : 4;
    result.offset = place(positions * result.elements * bytes);
    if (info.kind == ValueKind::Integer && info.sizes.empty())
      result.rangeOffset = place(ranges * 2 * 4);
    return result;
  }

  int64_t place(int64_t bytes) {
    int64_t offset = plan.bytes;
    // Vectors run past the end of what is no multiple of them.
    plan.bytes += llvm::alignTo(bytes, 64) + 64;
    return offset;
  }

  const Layout &layout;
  SweepPlan &plan;
};
} // namespace

int64_t SweepPlan::narrowFeatures(const SymbolInfo &info) const {
  if (info.sizes.empty())
    return lanes;
  int64_t elements = llvm::alignTo(info.sizes.back(), lanes);
  for (int64_t size : ArrayRef(info.sizes).drop_back())
    elements *= size;
  return elements;
}

SweepPlan seqmix::planSweep(const Layout &layout, MixerOp mixer, SweepOp op) {
  SweepPlan plan;
  plan.op = findPairs(mixer, op.getOfAttr().getAttr());
  plan.tile = op.getTile();
  plan.vectors = op.getVectors();
  plan.lanes = layout.lanes;
  plan.laneRow = op.getLanes();
  ArrayAttr rows = plan.op.getRows();
  plan.positionLanes = plan.op.getRowDim() && plan.laneRow == 0;
  plan.fixedRows = rows.size() - (plan.op.getRowDim() ? 1 : 0);
  if (plan.positionLanes) {
    plan.laneCount = layout.chunk;
  } else {
    if (!rows.empty())
      plan.laneCount = fixedSize(mixer, cast<FlatSymbolRefAttr>(rows[plan.laneRow]));
    // Panels end where what is padded to whole vectors does.
    int64_t whole = llvm::divideCeil(plan.laneCount, plan.lanes);
    while (whole % plan.vectors)
      --plan.vectors;
  }
  plan.narrow =
      plan.positionLanes && rows.size() == 1 && plan.vectors > 1 &&
      llvm::none_of(plan.op.getOuts().getAsRange<PairResultAttr>(), [](PairResultAttr result) {
        return result.getKind() == PairKind::Each || result.getKind() == PairKind::Places;
      });
  plan.chunk = layout.chunk;
  Planner(layout, plan).run();
  int64_t next = 0;
  for (int64_t features : plan.features) {
    plan.partialOffsets.push_back(next);
    next += features;
  }
  plan.partialOffsets.push_back(next);
  return plan;
}
