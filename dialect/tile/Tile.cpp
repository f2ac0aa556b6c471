//===- Tile.cpp - registration, attributes and types of the tile dialect -----------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "dialect/tile/Tile.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::tile;

#include "dialect/tile/TileDialect.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dialect/tile/TileAttrs.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "dialect/tile/TileTypes.cpp.inc"

#define GET_OP_CLASSES
#include "dialect/tile/TileOps.cpp.inc"

void TileDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialect/tile/TileAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialect/tile/TileTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/tile/TileOps.cpp.inc"
      >();
}

LayoutAttr LayoutAttr::of(MLIRContext *context, const Layout &layout) {
  SmallVector<int64_t> groups[3];
  for (auto [group, numbers] : llvm::enumerate(groups))
    for (const Coordinates &base : layout.bases(group))
      llvm::append_range(numbers, base);
  return get(context, layout.rank(), groups[0], groups[1], groups[2]);
}

std::array<SmallVector<Coordinates>, 3> LayoutAttr::bases() const {
  std::array<SmallVector<Coordinates>, 3> result;
  const ArrayRef<int64_t> groups[] = {getRegisters(), getLanes(), getWarps()};
  for (auto [bases, numbers] : llvm::zip_equal(result, groups))
    for (ArrayRef<int64_t> rest = numbers; !rest.empty(); rest = rest.drop_front(getRank()))
      bases.emplace_back(rest.take_front(getRank()));
  return result;
}

Layout LayoutAttr::on(ArrayRef<int64_t> shape) const {
  auto [registers, lanes, warps] = bases();
  return {shape, registers, lanes, warps};
}

static ParseResult parseBases(AsmParser &parser, StringRef name, std::optional<unsigned> &rank,
                              SmallVector<int64_t> &numbers) {
  auto parseBase = [&]() -> ParseResult {
    unsigned size = 0;
    SMLoc loc = parser.getCurrentLocation();
    if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&] {
          ++size;
          return parser.parseInteger(numbers.emplace_back());
        }))
      return failure();
    if (size == 0 || rank.value_or(size) != size)
      return parser.emitError(loc, "all bases have equally many coordinates");
    rank = size;
    return success();
  };
  return failure(parser.parseKeyword(name) || parser.parseEqual() ||
                 parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseBase));
}

Attribute LayoutAttr::parse(AsmParser &parser, Type) {
  std::optional<unsigned> rank;
  SmallVector<int64_t> registers, lanes, warps;
  if (parser.parseLess() || parseBases(parser, "registers", rank, registers) ||
      parser.parseComma() || parseBases(parser, "lanes", rank, lanes) || parser.parseComma() ||
      parseBases(parser, "warps", rank, warps) || parser.parseGreater())
    return {};
  return getChecked([&] { return parser.emitError(parser.getNameLoc()); }, parser.getContext(),
                    rank.value_or(1), registers, lanes, warps);
}

void LayoutAttr::print(AsmPrinter &printer) const {
  auto all = bases();
  auto printGroup = [&](StringRef name, ArrayRef<Coordinates> bases) {
    printer << name << " = [";
    llvm::interleaveComma(bases, printer, [&](const Coordinates &base) {
      printer << '[';
      llvm::interleaveComma(base, printer);
      printer << ']';
    });
    printer << ']';
  };
  printer << '<';
  printGroup("registers", all[0]);
  printGroup(", lanes", all[1]);
  printGroup(", warps", all[2]);
  printer << '>';
}

Type SmemType::parse(AsmParser &parser) {
  SmallVector<int64_t> shape;
  Type element;
  unsigned swizzle = 0;
  if (parser.parseLess() || parser.parseDimensionList(shape, /*allowDynamic=*/false) ||
      parser.parseType(element) ||
      (succeeded(parser.parseOptionalComma()) && parser.parseInteger(swizzle)) ||
      parser.parseGreater())
    return {};
  return getChecked([&] { return parser.emitError(parser.getNameLoc()); }, parser.getContext(),
                    shape, element, swizzle);
}

void SmemType::print(AsmPrinter &printer) const {
  printer << '<';
  for (int64_t size : getShape())
    printer << size << 'x';
  printer << getElementType();
  if (getSwizzle())
    printer << ", " << getSwizzle();
  printer << '>';
}

uint64_t SmemType::bytes() const {
  uint64_t elements = 1;
  for (int64_t size : getShape())
    elements *= size;
  return elements * elementBytes();
}

LinearMap SmemType::offsets() const {
  const auto rowBytes = uint32_t(getShape().back() * elementBytes());
  // Without panels: one as wide as a row.
  const uint32_t panel = getSwizzle() ? getSwizzle() : rowBytes;
  const auto rows = uint32_t(bytes() / rowBytes);
  SmallVector<uint32_t> columns;
  for (uint32_t offset = elementBytes(); offset < rowBytes; offset *= 2)
    columns.push_back(offset < panel ? offset : offset * rows);
  for (uint32_t row = 1; row < rows; row *= 2) {
    // Bits of the offset from 128 bytes on, which are a row's, permute the panel's chunks of 16
    // bytes.
    const uint32_t offset = panel * row, chunk = offset / 8;
    columns.push_back(getSwizzle() && chunk >= 16 && chunk < panel ? offset | chunk : offset);
  }
  return LinearMap(columns);
}

std::optional<Layout> mlir::tile::layoutOf(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  auto attribute = tensor ? dyn_cast_or_null<LayoutAttr>(tensor.getEncoding()) : LayoutAttr();
  if (!attribute)
    return std::nullopt;
  return attribute.on(tensor.getShape());
}

RankedTensorType mlir::tile::withLayout(Type type, const Layout &layout) {
  auto tensor = cast<RankedTensorType>(type);
  return tensor.cloneWithEncoding(LayoutAttr::of(type.getContext(), layout));
}

std::optional<unsigned> mlir::tile::warpsAround(Operation *op) {
  for (; op; op = op->getParentOp())
    if (auto warps = op->getAttrOfType<IntegerAttr>(warpsName))
      return warps.getInt();
  return std::nullopt;
}

std::optional<std::pair<Layout, Layout>> mlir::tile::operandLayouts(const Layout &sums, int64_t k,
                                                                    unsigned elementBits) {
  const int64_t m = sums.shape()[0], n = sums.shape()[1];
  for (unsigned rows = 1; rows <= 1U << sums.warpBits(); rows *= 2) {
    const unsigned warps[] = {rows, (1U << sums.warpBits()) / rows};
    if (sums == Layout::accumulator({m, n}, warps))
      return std::pair(Layout::operand(0, {m, k}, warps, elementBits),
                       Layout::operand(1, {k, n}, warps, elementBits));
  }
  return std::nullopt;
}
