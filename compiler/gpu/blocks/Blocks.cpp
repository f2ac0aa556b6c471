//===- Blocks.cpp - matrix states in blocks of tokens on tensor cores --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/blocks/Blocks.h"

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/blocks/BlockTiles.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/MathExtras.h"

#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {
namespace {

/// Tokens of a chunk: half of what fills the tensor cores best, as fragments are in registers.
constexpr int64_t kTokens = 32;
/// Columns of the state that a block of threads has, a warp for 16 of them.
constexpr int64_t kMostColumns = 64, kColumnsOfWarp = 16;
/// Rows: half of them are the registers of a thread that hold the state.
constexpr int64_t kMostRows = 128;

class BlockLowering {
public:
  BlockLowering(MixerOp mixer, const MixerPlan &plan, std::string &reason)
      : mixer(mixer), plan(plan), reason(reason) {}

  std::optional<LaunchPlan> run(mlir::gpu::GPUModuleOp module, StringRef name) {
    if (failed(check()))
      return std::nullopt;
    const auto warps = static_cast<int32_t>(shape.threads / 32);
    LLVM::LLVMFuncOp kernel = makeKernel(module, mixer.getLoc(), name, plan, warps);
    LaneBlock own(plan, shape, kernel, mixer.getCompute());
    BlockExpr values(mixer, own);
    BlockTiles making(own, values);
    block = &own;
    expr = &values;
    tiles = &making;
    if (failed(emit())) {
      reason = values.reason;
      kernel.erase();
      return std::nullopt;
    }
    std::string words = fmt::format("chunks of {} tokens, {} columns of {} a block, tensor cores",
                                    kTokens, shape.lanes, plan.dims[shape.dims.front()].name);
    kernel->setAttr(formName, StringAttr::get(mixer.getContext(), words));
    return launchOf(plan, shape, 32 * warps);
  }

private:
  MixerOp mixer;
  const MixerPlan &plan;
  std::string &reason;
  AffineOp affine;
  StateOp state;
  int64_t rowCount = 0;
  LaneShape shape;
  LaneBlock *block = nullptr;
  BlockExpr *expr = nullptr;
  BlockTiles *tiles = nullptr;
  BlockAxis tokenAxis, rowAxis, columnAxis;
  bool hasDecay = false, decaysByRow = false, readsState = false;

  LogicalResult refuse(const Twine &what) {
    reason = what.str();
    return failure();
  }

  //===--- what the form takes ----------------------------------------------===//

  LogicalResult check() {
    if (!mixer.getCompute().isF32())
      return refuse("tensor cores compute in f32");
    for (Operation &op : mixer.getBody().front()) {
      if (isa<DimOp, TensorOp, ProducedOp, DefineOp, OutputOp>(op))
        continue;
      if (auto own = dyn_cast<AffineOp>(op); own && !affine)
        affine = own;
      else if (auto own = dyn_cast<StateOp>(op); own && !state)
        state = own;
      else
        return refuse("more than one recurrence");
    }
    if (!affine || !state)
      return refuse("no affine recurrence of a matrix");
    if (affine.getDirection() != Direction::Forward)
      return refuse("a backward recurrence");
    if (!affine.outerDims().empty() || affine.componentCount() != 1 || affine.getCoupling() ||
        affine.getRows().size() != 1 || affine.getCols().size() != 1)
      return refuse("a state that is no single matrix");
    if (affine.getColDecay())
      return refuse("a decay for each column");
    for (const CarryComponent &component : carryComponents(mixer))
      if (component.kind != CarryComponent::State)
        return refuse("earlier tokens of inputs in the carry");
    for (auto read : affine.getReads().getAsRange<RowReadAttr>())
      if (read.getKind() != ReadKind::Rows)
        return refuse("a read of elements");
    return checkDims();
  }

  StringAttr dimOf(int64_t number) {
    return cast<FlatSymbolRefAttr>(state.getDims()[number]).getAttr();
  }

  LogicalResult checkDims() {
    tokenAxis.dim = tokenDimOf(mixer).getAttr();
    rowAxis.dim = dimOf(affine.getRows()[0]);
    columnAxis.dim = dimOf(affine.getCols()[0]);
    if (auto decay = affine.getRowDecayAttr()) {
      hasDecay = true;
      for (auto dim : chunk::dimsOf(chunk::lookup(mixer, decay)).getAsRange<FlatSymbolRefAttr>())
        decaysByRow |= dim.getAttr() != tokenAxis.dim;
    }
    for (auto update : affine.getUpdates().getAsRange<UpdateAttr>())
      for (TermAttr term : update.getTerms()) {
        readsState |= term.getRead() >= 0;
        if (term.getRead() >= 0 && term.getCoef() &&
            llvm::any_of(
                chunk::dimsOf(chunk::lookup(mixer, term.getCoef())).getAsRange<FlatSymbolRefAttr>(),
                [&](FlatSymbolRefAttr dim) { return dim.getAttr() != tokenAxis.dim; }))
          return refuse("a transition with a factor for each column");
      }
    MLIRContext *context = mixer.getContext();
    for (auto output : mixer.getOps<OutputOp>()) {
      Operation *source = chunk::lookup(mixer, output.getSourceAttr());
      auto wanted = ArrayAttr::get(
          context, {FlatSymbolRefAttr::get(tokenAxis.dim), FlatSymbolRefAttr::get(columnAxis.dim)});
      if (isa<StateOp>(source) || chunk::dimsOf(source) != wanted)
        return refuse("an output that is not over the tokens and columns");
    }
    for (auto [number, dim] : llvm::enumerate(plan.dims)) {
      if (dim.name == rowAxis.dim)
        rowCount = dim.size;
      if (dim.name != columnAxis.dim)
        continue;
      shape.dims = {static_cast<int32_t>(number)};
      shape.size = dim.size;
      shape.lanes = std::clamp<int64_t>(llvm::PowerOf2Ceil(dim.size), kColumnsOfWarp, kMostColumns);
      shape.blocks = llvm::divideCeil(dim.size, shape.lanes);
      shape.threads = 32 * (shape.lanes / kColumnsOfWarp);
    }
    rowAxis.size = std::max<int64_t>(llvm::PowerOf2Ceil(rowCount), 16);
    columnAxis.size = shape.lanes;
    tokenAxis.size = kTokens;
    if (rowAxis.size > kMostRows)
      return refuse("a state of more than 128 rows");
    return success();
  }

  OpBuilder &builder() { return block->builder; }

  //===--- factors ----------------------------------------------------------===//

  struct Read {
    StringAttr factor, result; ///< no result: for updates only
    bool isBefore = false;
    Parts query;               ///< tokens by rows, in shared memory
    Value share;               ///< of the earlier state, columns by tokens
    SmallVector<Value> scores; ///< by update, tokens by tokens
  };
  struct Update {
    StringAttr factor;
    SmallVector<TermAttr> terms;
    Parts left, right; ///< tokens by rows and by columns, in shared memory
    Parts decayed;     ///< the left one with decays up to where groups of tokens meet
    bool isSolved() const {
      return llvm::any_of(terms, [](TermAttr term) { return term.getRead() >= 0; });
    }
    Value own,
        share; ///< of one that is solved for: f32 in shared memory, what others add nothing to
  };
  SmallVector<Read> reads;
  SmallVector<Update> updates;

  /// The state before a chunk, columns by rows: in registers, or in shared memory.
  Value inRegisters, parked;
  Value currentState() { return parked ? tiles->load(parked) : inRegisters; }

  /// Parts that stand for a factor as it is stored, or for any values.
  unsigned partsOf(StringAttr symbol) const { return expr->storedAs(symbol) == SEQ_BF16 ? 1 : 2; }

  void findFactors() {
    for (auto attr : affine.getReads().getAsRange<RowReadAttr>()) {
      Read &read = reads.emplace_back();
      read.factor = attr.getRow().front().getSymbol().getAttr();
      if (attr.getResult())
        read.result = attr.getResult().getAttr();
      read.isBefore = attr.getBefore();
      read.query = tiles->allocate(tokenAxis.size, rowAxis.size, partsOf(read.factor));
    }
    for (auto attr : affine.getUpdates().getAsRange<UpdateAttr>()) {
      Update &update = updates.emplace_back();
      update.factor = attr.getLefts().front().getSymbol().getAttr();
      update.terms.assign(attr.getTerms().begin(), attr.getTerms().end());
      update.left = tiles->allocate(tokenAxis.size, rowAxis.size, partsOf(update.factor));
      const bool isOne =
          update.terms.size() == 1 && update.terms[0].getRight() && !update.terms[0].getCoef();
      update.right = tiles->allocate(tokenAxis.size, columnAxis.size,
                                     isOne ? partsOf(update.terms[0].getRight().getAttr()) : 2);
      if (update.isSolved()) {
        update.own = tiles->allocate({tokenAxis, columnAxis});
        update.share = tiles->allocate({tokenAxis, columnAxis});
      }
    }
  }

  /// A factor of all tokens to shared memory, zero where there is no token or place.
  LogicalResult storeFactor(Value tile, const BlockFrame &frame, ArrayRef<Value> shared) {
    if (!tile)
      return failure();
    const auto parts = static_cast<unsigned>(shared.size());
    tiles->store(tiles->split(expr->mask(tile, frame, 0), parts), shared);
    return success();
  }

  /// The sum of an update's terms that read nothing, or null for an error.
  Value evaluateRight(const Update &update, const BlockFrame &frame) {
    Value sum;
    for (TermAttr term : update.terms) {
      if (term.getRead() >= 0)
        continue;
      Value value = expr->evaluate(term.getRight().getAttr(), frame);
      if (value && term.getCoef()) {
        Value coefficient = expr->evaluate(term.getCoef().getAttr(), frame);
        value = coefficient ? tiles->multiply(coefficient, value) : Value();
      }
      if (!value)
        return {};
      sum = sum ? tiles->add(sum, value) : value;
    }
    return sum ? sum : tiles->zeros(frame);
  }

  LogicalResult storeFactors() {
    const BlockFrame rows = {tokenAxis, rowAxis}, columns = {tokenAxis, columnAxis};
    for (Read &read : reads)
      if (failed(storeFactor(expr->evaluate(read.factor, rows), rows, read.query)))
        return failure();
    for (Update &update : updates)
      if (failed(storeFactor(expr->evaluate(update.factor, rows), rows, update.left)) ||
          failed(storeRight(update, columns)))
        return failure();
    return success();
  }

  LogicalResult storeRight(const Update &update, const BlockFrame &columns) {
    Value right = evaluateRight(update, columns);
    if (!update.isSolved())
      return storeFactor(right, columns, update.right);
    if (!right)
      return failure();
    tiles->store(expr->mask(right, columns, 0), update.own);
    return success();
  }

  /// A factor of all tokens times decays, in shared memory. It is loaded anew each time rather than
  /// kept in registers.
  Parts withDecays(ArrayRef<Value> factor, Value decays) {
    Parts result = tiles->allocate(tokenAxis.size, rowAxis.size, 2);
    Value tile = tiles->join(tiles->load(factor, /*transposed=*/false));
    tiles->store(tiles->split(tiles->multiply(tile, decays)), result);
    return result;
  }

  //===--- decays -----------------------------------------------------------===//

  using Products = BlockTiles::Products;
  static Value chosen(const Products &products, bool isBefore) {
    return isBefore ? products.without : products.with;
  }

  /// Of this chunk, where they are the same for all rows. Products that are `with` the own decay
  /// are for the state after its update.
  struct Decays {
    Products between; ///< [t, s] of the tokens behind s up to t
    Products upTo;    ///< [t]
    Value behind;     ///< [s]
    Value all;        ///< [row]
  };
  Decays decays;
  /// Those of rows are in shared memory, tokens by rows, and products of them are made where they
  /// are needed, as they are many.
  Value rowDecays;
  Products productsOfRows(int64_t group, bool reverse) {
    return tiles->products(tiles->load(rowDecays), {tokenAxis, rowAxis}, group, reverse);
  }

  Value last(Value tile) { return tiles->pick(tile, 0, tokenAxis.size - 1); }

  LogicalResult makeDecays() {
    if (!hasDecay)
      return success();
    const BlockFrame tokens = {tokenAxis}, pairs = {tokenAxis, tokenAxis},
                     rows = {tokenAxis, rowAxis}, frame = decaysByRow ? rows : tokens;
    Value own = expr->evaluate(affine.getRowDecayAttr().getAttr(), frame);
    if (!own)
      return failure();
    own = expr->mask(own, frame, 1);
    if (decaysByRow) {
      rowDecays = tiles->allocate(rows);
      tiles->store(own, rowDecays);
      return success();
    }
    decays.upTo = tiles->products(own, frame, 0, false);
    Value isLater =
        tiles->compare(arith::CmpIPredicate::sgt, tiles->places(pairs, 0), tiles->places(pairs, 1));
    Value later = tiles->select(isLater, tiles->broadcast(own, 1, pairs), 1);
    decays.between = tiles->products(later, pairs, 0, false);
    decays.behind = last(decays.between.with);
    decays.all = last(tiles->broadcast(decays.upTo.with, 1, rows));
    return success();
  }

  //===--- a chunk ----------------------------------------------------------===//

  Value score(ArrayRef<Value> query, ArrayRef<Value> left) {
    return tiles->dot(tiles->load(query, false), tiles->load(left, /*transposed=*/true),
                      tiles->zeros({tokenAxis, tokenAxis}));
  }

  /// The products of the tokens' factors, with the decays between them.
  void emitScores() {
    const BlockFrame pairs = {tokenAxis, tokenAxis};
    for (Read &read : reads) {
      read.scores.clear();
      for (Update &update : updates) {
        Value scores = score(read.query, update.left);
        if (hasDecay && !decaysByRow)
          scores = tiles->multiply(scores, chosen(decays.between, read.isBefore));
        read.scores.push_back(scores);
      }
    }
    // Decays of rows go into both factors: two tokens in neighbouring groups meet where the later
    // one's begins, and every pair is in neighbouring groups of one size.
    for (int64_t group = 1; decaysByRow && group < tokenAxis.size; group *= 2) {
      const Products before = productsOfRows(group, /*reverse=*/true);
      for (Update &update : updates)
        update.decayed = withDecays(update.left, before.without);
      const Products after = productsOfRows(group, false);
      for (Read &read : reads) {
        const Parts query = withDecays(read.query, chosen(after, read.isBefore));
        for (auto [update, scores] : llvm::zip_equal(updates, read.scores)) {
          Value apart = arith::XOrIOp::create(builder(), block->loc, tiles->places(pairs, 0),
                                              tiles->places(pairs, 1));
          Value isFar = tiles->compare(arith::CmpIPredicate::sge, apart,
                                       tiles->integer(static_cast<int32_t>(group), apart));
          scores = arith::SelectOp::create(builder(), block->loc, isFar,
                                           score(query, update.decayed), scores);
        }
      }
    }
    // Chosen, not multiplied by zero: what is left out need not be finite.
    for (Read &read : reads)
      for (Value &scores : read.scores)
        scores = tiles->select(
            tiles->compare(read.isBefore ? arith::CmpIPredicate::sgt : arith::CmpIPredicate::sge,
                           tiles->places(pairs, 0), tiles->places(pairs, 1)),
            scores, 0);
  }

  /// What a read has of the state before this chunk.
  Value shareOf(Read &read) {
    if (read.share)
      return read.share;
    const BlockFrame results = {columnAxis, tokenAxis};
    const Parts query =
        decaysByRow ? withDecays(read.query, chosen(productsOfRows(0, false), read.isBefore))
                    : read.query;
    read.share = tiles->dot(tiles->split(currentState()), tiles->load(query, /*transposed=*/true),
                            tiles->zeros(results));
    if (hasDecay && !decaysByRow)
      read.share = tiles->multiply(
          read.share, tiles->broadcast(chosen(decays.upTo, read.isBefore), 0, results));
    return read.share;
  }

  Value emitRead(Read &read) {
    Value sum = shareOf(read);
    for (auto [update, scores] : llvm::zip_equal(updates, read.scores))
      sum = tiles->dot(tiles->load(update.right, /*transposed=*/true),
                       tiles->transpose(tiles->split(scores)), sum);
    return sum;
  }

  //===--- updates that read the state --------------------------------------===//

  /// The sum over an update's reads of coefficients times `what` of the read; null for none or an
  /// error.
  Value sumReads(const Update &update, const BlockFrame &frame,
                 llvm::function_ref<Value(Read &)> what, bool &isGood) {
    Value sum;
    for (TermAttr term : update.terms) {
      if (term.getRead() < 0)
        continue;
      Value value = what(reads[term.getRead()]);
      if (term.getCoef()) {
        Value coefficient = expr->evaluate(term.getCoef().getAttr(), frame);
        isGood &= bool(coefficient);
        if (!coefficient)
          return {};
        value = tiles->multiply(coefficient, value);
      }
      sum = sum ? tiles->add(sum, value) : value;
    }
    return sum;
  }

  /// The right factors of updates with reads of the state before each token: those of tokens in
  /// order, by substitution in f32, each added to all later ones at once.
  LogicalResult solveUpdates() {
    const BlockFrame columns = {tokenAxis, columnAxis}, results = {columnAxis, tokenAxis},
                     pairs = {tokenAxis, tokenAxis}, tokens = {tokenAxis};
    if (llvm::none_of(updates, [](const Update &update) { return update.isSolved(); }))
      return success();
    bool isGood = true;
    // What a token's factor in an update adds to later tokens' in another one, by token: each a
    // column of a matrix.
    std::map<std::pair<size_t, size_t>, SmallVector<Value>> added;
    for (auto [to, update] : llvm::enumerate(updates)) {
      if (!update.isSolved())
        continue;
      Value share = sumReads(update, results, [&](Read &read) { return shareOf(read); }, isGood);
      if (!isGood)
        return failure();
      tiles->store(share, update.share, /*transposed=*/true);
      for (size_t from = 0; from < updates.size(); ++from) {
        Value weights =
            sumReads(update, pairs, [&](Read &read) { return read.scores[from]; }, isGood);
        if (!isGood)
          return failure();
        Value matrix = tiles->allocate(pairs);
        tiles->store(weights, matrix);
        Value rows = tiles->load(matrix);
        for (int64_t token = 0; token + 1 < tokenAxis.size; ++token) {
          Value column = tiles->allocate(tokens);
          tiles->store(tiles->pick(rows, 1, token), column);
          added[{from, to}].push_back(column);
        }
      }
    }
    SmallVector<Value> rights;
    for (const Update &update : updates)
      rights.push_back(update.isSolved()
                           ? tiles->add(tiles->load(update.own), tiles->load(update.share))
                           : tiles->join(tiles->load(update.right, false)));
    for (int64_t token = 0; token + 1 < tokenAxis.size; ++token) {
      SmallVector<Value> own;
      for (Value right : rights)
        own.push_back(tiles->broadcast(tiles->pick(right, 0, token), 0, columns));
      for (auto &[ends, weights] : added) {
        Value weight = tiles->broadcast(tiles->load(weights[token]), 1, columns);
        rights[ends.second] =
            tiles->add(rights[ends.second], tiles->multiply(weight, own[ends.first]));
      }
    }
    for (auto [update, right] : llvm::zip_equal(updates, rights))
      if (update.isSolved() && failed(storeFactor(right, columns, update.right)))
        return failure();
    return success();
  }

  Value emitUpdates() {
    Value before = currentState();
    Value behind;
    if (hasDecay) {
      Value all = decaysByRow ? last(productsOfRows(0, false).with) : decays.all;
      before = tiles->multiply(before, tiles->broadcast(all, 0, {columnAxis, rowAxis}));
    }
    if (decaysByRow)
      behind = productsOfRows(0, /*reverse=*/true).without;
    for (const Update &update : updates) {
      Parts right = tiles->load(update.right, /*transposed=*/true);
      if (hasDecay && !decaysByRow)
        right = tiles->split(tiles->multiply(
            tiles->join(right), tiles->broadcast(decays.behind, 0, {columnAxis, tokenAxis})));
      const Parts left = decaysByRow ? withDecays(update.left, behind) : update.left;
      before = tiles->dot(right, tiles->load(left, false), before);
    }
    return before;
  }

  LogicalResult storeOutputs() {
    const BlockFrame frame = {columnAxis, tokenAxis};
    const auto inputs = static_cast<int32_t>(llvm::range_size(mixer.getOps<TensorOp>()));
    for (auto [number, output] : llvm::enumerate(mixer.getOps<OutputOp>())) {
      Value tile = expr->evaluate(output.getSourceAttr().getAttr(), frame);
      if (!tile)
        return failure();
      const LaneArray &array = block->tensor(inputs + static_cast<int32_t>(number));
      SmallVector<Value> strides;
      Value base = expr->address(array, {1, 0}, {0, 0}, frame, strides);
      expr->store(tile, array, base, strides, frame);
    }
    return success();
  }

  FailureOr<Value> emitChunk() {
    findFactors();
    if (failed(makeDecays()) || failed(storeFactors()))
      return failure();
    emitScores();
    if (failed(solveUpdates()))
      return failure();
    for (Read &read : reads)
      if (read.result)
        expr->bind(read.result, emitRead(read));
    if (failed(storeOutputs()))
      return failure();
    return emitUpdates();
  }

  //===--- the kernel -------------------------------------------------------===//

  /// The axis in frames of states of each of the state's dims.
  SmallVector<int> stateAxes() {
    SmallVector<int> axes(2);
    axes[affine.getRows()[0]] = 1;
    axes[affine.getCols()[0]] = 0;
    return axes;
  }

  Value loadState(const BlockFrame &frame) {
    const LaneArray &array = block->carryIn(0);
    SmallVector<Value> strides;
    Value base = expr->address(array, stateAxes(), {0, 0}, frame, strides);
    Value tile = expr->load(array, base, strides, frame);
    const double init = plan.components[0].init;
    if (init == 0)
      return tile;
    Value other = expr->mask(expr->constant(init, tile.getType()), frame, 0);
    Value isThere = expr->splat(array.isThere, BlockExpr::tileType(frame, builder().getI1Type()));
    return arith::SelectOp::create(builder(), block->loc, isThere, tile, other);
  }

  void storeState(Value tile, const BlockFrame &frame) {
    const LaneArray &array = block->carryOut(0);
    SmallVector<Value> strides;
    Value base = expr->address(array, stateAxes(), {0, 0}, frame, strides);
    expr->store(tile, array, base, strides, frame);
  }

  LogicalResult emit() {
    Location loc = block->loc;
    columnAxis.first = block->firstLane;
    if (shape.size != shape.lanes * shape.blocks)
      columnAxis.exists =
          arith::SubIOp::create(builder(), loc, block->i64(shape.size), block->firstLane);
    if (rowCount != rowAxis.size)
      rowAxis.exists = block->i64(rowCount);
    const BlockFrame states = {columnAxis, rowAxis};
    // Beside decays of rows, or values to be solved for, the state has no room in registers.
    SmallVector<Value> carried = {loadState(states)};
    if (decaysByRow || readsState) {
      parked = tiles->allocate(states);
      tiles->store(carried.pop_back_val(), parked);
    }
    auto loop = scf::ForOp::create(builder(), loc, block->i64(0), block->tokens,
                                   block->i64(tokenAxis.size), carried);
    block->firstLoop = loop;
    builder().setInsertionPointToStart(loop.getBody());
    if (!parked)
      inRegisters = loop.getRegionIterArg(0);
    tokenAxis.first = loop.getInductionVar();
    tokenAxis.exists = arith::SubIOp::create(builder(), loc, block->tokens, tokenAxis.first);
    auto after = emitChunk();
    if (failed(after))
      return failure();
    if (parked)
      tiles->store(*after, parked);
    else
      scf::YieldOp::create(builder(), loc, *after);
    builder().setInsertionPointAfter(loop);
    storeState(parked ? tiles->load(parked) : loop.getResult(0), states);
    block->storePosition();
    LLVM::ReturnOp::create(builder(), loc, ValueRange());
    return success();
  }
};

} // namespace

std::optional<LaunchPlan> emitBlockKernel(MixerOp mixer, const MixerPlan &plan,
                                          mlir::gpu::GPUModuleOp module, StringRef name,
                                          std::string &reason) {
  return BlockLowering(mixer, plan, reason).run(module, name);
}

} // namespace seqmix::gpu
