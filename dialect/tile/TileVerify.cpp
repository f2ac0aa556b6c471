//===- TileVerify.cpp - constraints of the tile dialect ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The numbers are those of SPEC.md; each has a test of its number.
//
//===----------------------------------------------------------------------===//

#include "dialect/tile/Tile.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::tile;

namespace {

bool areTileSizes(ArrayRef<int64_t> shape) {
  return (shape.size() == 1 || shape.size() == 2) &&
         llvm::all_of(shape, [](int64_t size) { return size > 0 && llvm::isPowerOf2_64(size); });
}

bool isUniform(ValueRange values) {
  return llvm::all_of(values.getTypes(), [&](Type type) {
    auto tile = dyn_cast<RankedTensorType>(type);
    auto first = dyn_cast<RankedTensorType>(values[0].getType());
    if (!tile || !first)
      return !tile && !first;
    return tile.getShape() == first.getShape() && tile.getEncoding() == first.getEncoding();
  });
}

} // namespace

//===----------------------------------------------------------------------===//
// Kernels, layouts and types
//===----------------------------------------------------------------------===//

LogicalResult TileDialect::verifyOperationAttribute(Operation *op, NamedAttribute attribute) {
  if (attribute.getName() != warpsName)
    return success();
  // c1
  auto warps = dyn_cast<IntegerAttr>(attribute.getValue());
  if (!isa<LLVM::LLVMFuncOp>(op) || !warps || !warps.getType().isInteger(32) ||
      warps.getInt() < 1 || warps.getInt() > 32 || !llvm::isPowerOf2_64(warps.getInt()))
    return op->emitOpError() << "has " << warpsName
                             << ", which is a power of two up to 32 and stands on an llvm.func";
  // c6
  const unsigned warpBits = llvm::Log2_64(warps.getInt());
  WalkResult walk = op->walk([&](Operation *inner) {
    for (Type type : inner->getResultTypes())
      if (std::optional<Layout> layout = layoutOf(type); layout && layout->warpBits() != warpBits) {
        inner->emitOpError() << "has a layout for " << (1U << layout->warpBits())
                             << " warps in a kernel with " << warps.getInt();
        return WalkResult::interrupt();
      }
    return WalkResult::advance();
  });
  return failure(walk.wasInterrupted());
}

LogicalResult LayoutAttr::verify(function_ref<InFlightDiagnostic()> emitError, unsigned rank,
                                 ArrayRef<int64_t> registers, ArrayRef<int64_t> lanes,
                                 ArrayRef<int64_t> warps) {
  for (ArrayRef<int64_t> numbers : {registers, lanes, warps})
    if (rank == 0 || numbers.size() % rank != 0)
      return emitError() << "all bases have equally many coordinates";
  return success();
}

LogicalResult LayoutAttr::verifyEncoding(ArrayRef<int64_t> shape, Type,
                                         function_ref<InFlightDiagnostic()> emitError) const {
  // c2
  if (!areTileSizes(shape))
    return emitError() << "a tile with a layout has one or two dims that are powers of two";
  // c3
  if (getRank() != shape.size() || getLanes().size() != size_t(getRank()) * Layout::laneBits)
    return emitError() << "a layout has " << Layout::laneBits
                       << " bases of lanes, and coordinates as the tile has dims";
  // c4
  auto isBase = [&](const Coordinates &base) {
    for (auto [number, size] : llvm::zip_equal(base, shape))
      if (number < 0 || number >= size)
        return false;
    return true;
  };
  auto groups = bases();
  for (const auto &group : groups)
    if (!llvm::all_of(group, isBase))
      return emitError() << "a base of the layout is outside of the tile";
  const Layout layout = on(shape);
  uint32_t seen = 0;
  for (auto [bit, element] : llvm::enumerate(layout.map().bits())) {
    if (llvm::popcount(element) > 1 || (seen & element) ||
        (!element && bit < layout.registerBits()))
      return emitError()
             << "bases of a layout are different bits of coordinates, or zero for copies";
    seen |= element;
  }
  if (llvm::popcount(seen) != int(layout.elementBits()))
    return emitError() << "the layout has no place for some elements";
  return success();
}

LogicalResult SmemType::verify(function_ref<InFlightDiagnostic()> emitError,
                               ArrayRef<int64_t> shape, Type element, unsigned swizzle) {
  // c5
  if (!areTileSizes(shape) || !element.isIntOrFloat() || element.getIntOrFloatBitWidth() % 8 != 0)
    return emitError() << "a tile in shared memory has one or two dims that are powers of two and "
                          "elements of whole bytes";
  if (swizzle != 0 && swizzle != 32 && swizzle != 64 && swizzle != 128)
    return emitError() << "a swizzle is of 0, 32, 64 or 128 bytes";
  if (swizzle > shape.back() * element.getIntOrFloatBitWidth() / 8)
    return emitError() << "a row is shorter than its swizzle";
  return success();
}

//===----------------------------------------------------------------------===//
// Global memory
//===----------------------------------------------------------------------===//

template <typename Op> static LogicalResult checkAccess(Op op, ArrayRef<int64_t> shape) {
  // c7
  if (op.getStaticStrides().size() != shape.size() || op.getStaticExtents().size() != shape.size())
    return op.emitOpError("has a stride and an extent for each dim of its tile");
  for (auto [extent, size] : llvm::zip_equal(op.getStaticExtents(), shape))
    if (!ShapedType::isDynamic(extent) && (extent < 1 || extent > size))
      return op.emitOpError("has constant extents from one up to those of the tile");
  return success();
}

LogicalResult LoadGlobalOp::verify() { return checkAccess(*this, getType().getShape()); }
LogicalResult StoreGlobalOp::verify() {
  return checkAccess(*this, getValue().getType().getShape());
}

LogicalResult GatherOp::verify() {
  // c21
  auto offsets = getOffsets().getType(), exists = getExists().getType(), result = getType();
  Type number = offsets.getElementType();
  if (!(number.isInteger(32) || number.isInteger(64)) || !exists.getElementType().isInteger(1) ||
      offsets.getShape() != result.getShape() || exists.getShape() != result.getShape() ||
      layoutOf(offsets) != layoutOf(result) || layoutOf(exists) != layoutOf(result))
    return emitOpError(
        "has offsets in i32 or i64, conditions in i1 and a result of one shape and layout");
  return success();
}

LogicalResult ScatterOp::verify() {
  // c23
  auto offsets = getOffsets().getType(), exists = getExists().getType(),
       value = getValue().getType();
  Type number = offsets.getElementType();
  if (!(number.isInteger(32) || number.isInteger(64)) || !exists.getElementType().isInteger(1) ||
      offsets.getShape() != value.getShape() || exists.getShape() != value.getShape() ||
      layoutOf(offsets) != layoutOf(value) || layoutOf(exists) != layoutOf(value))
    return emitOpError(
        "has a value, offsets in i32 or i64 and conditions in i1 of one shape and layout");
  return success();
}

LogicalResult CopyAsyncOp::verify() {
  SmemType tile = getTile().getType();
  if (failed(checkAccess(*this, tile.getShape())))
    return failure();
  // c8
  if (getAlign() == 0)
    return success(); // element by element
  const int64_t extent = getStaticExtents().back();
  if (getStaticStrides().back() != 1 || ShapedType::isDynamic(extent) ||
      extent * tile.elementBytes() % 16 != 0 || getAlign() % 16 != 0)
    return emitOpError("copies rows of multiples of 16 bytes that are aligned to 16 bytes and "
                       "whose elements follow each other");
  return success();
}

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

LogicalResult AllocSmemOp::verify() {
  // c9
  if (getOffset() && *getOffset() % std::max(128U, 8 * getType().getSwizzle()) != 0)
    return emitOpError("has an offset that its swizzle does not allow");
  return success();
}

static LogicalResult checkShared(Operation *op, RankedTensorType tile, SmemType shared,
                                 bool transposed) {
  // c10
  SmallVector<int64_t> shape(shared.getShape());
  if (transposed)
    std::reverse(shape.begin(), shape.end());
  if (tile.getShape() != ArrayRef(shape) || tile.getElementType() != shared.getElementType())
    return op->emitOpError("is between tiles of the same shape and elements");
  return success();
}

LogicalResult LoadOp::verify() {
  if (!getPart())
    return checkShared(*this, getType(), getTile().getType(), getTransposed());
  // c10
  SmallVector<int64_t> shape(getType().getShape());
  if (getTransposed())
    std::reverse(shape.begin(), shape.end());
  const SmemType shared = getTile().getType();
  if (shape.size() != 2 || shared.getShape().size() != 2 || shape[1] != shared.getShape()[1] ||
      shape[0] > shared.getShape()[0] || shape[0] % 8 != 0 ||
      getType().getElementType() != shared.getElementType())
    return emitOpError("loads a part of a matrix: some of its rows, of a multiple of eight");
  return success();
}
LogicalResult StoreOp::verify() {
  return checkShared(*this, getValue().getType(), getTile().getType(), getTransposed());
}

LogicalResult LoadElementOp::verify() {
  // c10
  if (getTile().getType().getShape().size() != 1 ||
      getTile().getType().getElementType() != getType())
    return emitOpError("loads an element of a vector");
  return success();
}

LogicalResult LoadLineOp::verify() {
  // c10
  SmemType shared = getTile().getType();
  if (shared.getShape().size() != 2 || shared.getSwizzle() != 0 ||
      getType().getShape() != shared.getShape().drop_front() ||
      getType().getElementType() != shared.getElementType())
    return emitOpError("loads a line of a matrix without a swizzle");
  return success();
}

//===----------------------------------------------------------------------===//
// Registers
//===----------------------------------------------------------------------===//

LogicalResult DotOp::verify() {
  // c11
  RankedTensorType a = getA().getType(), b = getB().getType(), sum = getSum().getType();
  Type element = a.getElementType();
  if (a.getRank() != 2 || b.getRank() != 2 || sum.getRank() != 2 ||
      a.getDimSize(1) != b.getDimSize(0) || sum.getDimSize(0) != a.getDimSize(0) ||
      sum.getDimSize(1) != b.getDimSize(1))
    return emitOpError("has matrices whose shapes do not fit");
  const bool isShort = element.isBF16() || element.isF16();
  if (!(isShort || element.isF32() || element.isF64()) || b.getElementType() != element ||
      !(element.isF64() ? sum.getElementType().isF64() : sum.getElementType().isF32()))
    return emitOpError("has factors in bf16, f16 or f32 and sums in f32, or all in f64");
  if (a.getDimSize(0) < 16 || b.getDimSize(1) < 8 || a.getDimSize(1) < (isShort ? 16 : 8))
    return emitOpError("is smaller than what the tensor cores multiply");
  // c12
  std::optional<Layout> layoutA = layoutOf(a), layoutB = layoutOf(b), sums = layoutOf(sum);
  if (!layoutA && !layoutB && !sums)
    return success();
  auto factors =
      sums ? operandLayouts(*sums, a.getDimSize(1), element.getIntOrFloatBitWidth()) : std::nullopt;
  if (!factors || layoutA != factors->first || layoutB != factors->second)
    return emitOpError("has layouts that are not those of the tensor cores");
  return success();
}

static LogicalResult checkCombine(Operation *op, ValueRange inputs, ValueRange outputs,
                                  uint32_t dim, bool reduces) {
  // c13
  if (inputs.empty() || inputs.size() != outputs.size() || !isUniform(inputs) ||
      !isUniform(outputs))
    return op->emitOpError("has as many outputs as inputs, all of one shape and layout");
  auto input = cast<RankedTensorType>(inputs[0].getType());
  const bool isScalar = isa<ReduceOp>(op) && input.getRank() == 1;
  if (dim >= input.getRank() || (reduces && input.getRank() == 1 && !isScalar))
    return op->emitOpError("has no such dim");
  SmallVector<int64_t> shape(input.getShape());
  if (reduces)
    shape.erase(shape.begin() + dim);
  for (auto [in, out] : llvm::zip_equal(inputs, outputs)) {
    auto type = dyn_cast<RankedTensorType>(out.getType());
    Type element = cast<RankedTensorType>(in.getType()).getElementType();
    if (isScalar ? out.getType() != element
                 : !type || type.getShape() != ArrayRef(shape) ||
                       type.getElementType() != element || (!reduces && type != in.getType()))
      return op->emitOpError("has outputs that do not fit its inputs");
  }
  // c14
  std::optional<Layout> layout = layoutOf(input);
  if (layout && layout->splitsOverWarps(dim))
    return op->emitOpError("combines along a dim that is split over warps");
  if (reduces && !isScalar &&
      (layout ? std::optional(layout->slice(dim)) : std::nullopt) != layoutOf(outputs[0].getType()))
    return op->emitOpError("has outputs that do not have the slice of its inputs' layout");
  return success();
}

static LogicalResult checkCombineRegion(Operation *op, Region &region, ValueRange inputs) {
  // c15
  Block &body = region.front();
  auto yield = dyn_cast<YieldOp>(body.getTerminator());
  bool fits = yield && yield.getValues().size() == inputs.size() &&
              body.getNumArguments() == 2 * inputs.size();
  for (size_t i = 0; fits && i < inputs.size(); ++i) {
    Type element = cast<RankedTensorType>(inputs[i].getType()).getElementType();
    fits = body.getArgument(i).getType() == element &&
           body.getArgument(i + inputs.size()).getType() == element &&
           yield.getValues()[i].getType() == element;
  }
  if (!fits)
    return op->emitOpError(
        "has a region that does not take two scalars for each input and yield one");
  return success();
}

LogicalResult ReduceOp::verify() {
  return checkCombine(*this, getInputs(), getOutputs(), getDim(), true);
}
LogicalResult ReduceOp::verifyRegions() {
  return checkCombineRegion(*this, getBody(), getInputs());
}
LogicalResult ScanOp::verify() {
  return checkCombine(*this, getInputs(), getOutputs(), getDim(), false);
}
LogicalResult ScanOp::verifyRegions() { return checkCombineRegion(*this, getBody(), getInputs()); }

LogicalResult PickOp::verify() {
  if (failed(checkCombine(*this, getValue(), getResult(), getDim(), true)))
    return failure();
  // c16
  if (int64_t(getPlace()) >= getValue().getType().getDimSize(getDim()))
    return emitOpError("has a place outside of its dim");
  return success();
}

LogicalResult BroadcastOp::verify() {
  // c17
  RankedTensorType from = getValue().getType(), to = getType();
  SmallVector<int64_t> shape(to.getShape());
  if (getDim() >= shape.size())
    return emitOpError("has no such dim");
  shape.erase(shape.begin() + getDim());
  if (from.getShape() != ArrayRef(shape) || from.getElementType() != to.getElementType())
    return emitOpError("adds its dim to the shape of its value");
  std::optional<Layout> layout = layoutOf(to);
  if ((layout ? std::optional(layout->slice(getDim())) : std::nullopt) != layoutOf(from))
    return emitOpError("has a value that does not have the slice of its result's layout");
  return success();
}

LogicalResult TransposeOp::verify() {
  // c18
  RankedTensorType from = getValue().getType(), to = getType();
  if (from.getRank() != 2 || to.getRank() != 2 || from.getDimSize(0) != to.getDimSize(1) ||
      from.getDimSize(1) != to.getDimSize(0) || from.getElementType() != to.getElementType())
    return emitOpError("exchanges two dims");
  std::optional<Layout> layout = layoutOf(from);
  if ((layout ? std::optional(layout->transposed()) : std::nullopt) != layoutOf(to))
    return emitOpError("has a result that does not have the transposed layout");
  return success();
}

LogicalResult ConvertOp::verify() {
  // c19
  RankedTensorType from = getValue().getType(), to = getType();
  if (from.getShape() != to.getShape() || from.getElementType() != to.getElementType() ||
      !layoutOf(from) || !layoutOf(to))
    return emitOpError("is between two layouts of the same tile");
  return success();
}

LogicalResult IotaOp::verify() {
  // c20
  if (getDim() >= getType().getRank() || !getType().getElementType().isInteger(32))
    return emitOpError("makes i32 along one of its dims");
  return success();
}

LogicalResult SolveOp::verify() {
  // c22
  const size_t count = getRights().size();
  auto type = count ? dyn_cast<RankedTensorType>(getRights()[0].getType()) : RankedTensorType();
  bool isGood = type && type.getRank() == 2 && isa<FloatType>(type.getElementType()) &&
                getMatrices().size() == count * count && getNumResults() == count;
  if (isGood) {
    auto square =
        RankedTensorType::get({type.getDimSize(0), type.getDimSize(0)}, type.getElementType());
    auto isOf = [&](Type wanted) {
      return [wanted](Type own) {
        auto tensor = cast<RankedTensorType>(own), other = cast<RankedTensorType>(wanted);
        return tensor.getShape() == other.getShape() &&
               tensor.getElementType() == other.getElementType();
      };
    };
    isGood = llvm::all_of(getRights().getTypes(), isOf(type)) &&
             llvm::all_of(getResultTypes(), isOf(type)) &&
             llvm::all_of(getMatrices().getTypes(), isOf(square));
  }
  if (!isGood)
    return emitOpError("has n right sides and results of one type and n x n square matrices of "
                       "their rows, all of the same reals");
  return success();
}
