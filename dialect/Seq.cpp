//===- Seq.cpp - registration, attributes and plain ops of the seq dialect ----===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "dialect/Seq.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::seq;

#include "dialect/SeqDialect.cpp.inc"
#include "dialect/SeqEnums.cpp.inc"

static FailureOr<SmallVector<RowFactorAttr>> parseRowFactors(AsmParser &parser) {
  SmallVector<RowFactorAttr> factors;
  auto parseSymbol = [&](int64_t component) -> ParseResult {
    FlatSymbolRefAttr symbol;
    if (parser.parseAttribute(symbol))
      return failure();
    factors.push_back(RowFactorAttr::get(parser.getContext(), component, symbol));
    return success();
  };
  ParseResult result = failure(parser.parseOptionalLSquare().failed());
  if (failed(result))
    result = parseSymbol(0);
  else if (failed(parser.parseOptionalRSquare()))
    result = failure(parser.parseCommaSeparatedList([&]() -> ParseResult {
      int64_t component = 0;
      return failure(parser.parseInteger(component) || parser.parseEqual() ||
                     parseSymbol(component));
    }) || parser.parseRSquare());
  if (failed(result))
    return failure();
  return factors;
}

static void printRowFactors(AsmPrinter &printer, ArrayRef<RowFactorAttr> factors) {
  if (factors.size() == 1 && factors[0].getComponent() == 0) {
    printer << factors[0].getSymbol();
    return;
  }
  printer << '[';
  llvm::interleaveComma(factors, printer, [&](RowFactorAttr factor) {
    printer << factor.getComponent() << " = " << factor.getSymbol();
  });
  printer << ']';
}

#define GET_ATTRDEF_CLASSES
#include "dialect/SeqAttrs.cpp.inc"

void SeqDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialect/SeqAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/SeqOps.cpp.inc"
      >();
}

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

namespace {
void nameArguments(Region &region, ArrayAttr names, OpAsmSetValueNameFn setName) {
  if (region.empty())
    return;
  for (auto [argument, name] :
       llvm::zip(region.getArguments(), names.getAsValueRange<StringAttr>()))
    setName(argument, name);
}
} // namespace

void DefineOp::getAsmBlockArgumentNames(Region &region, OpAsmSetValueNameFn setName) {
  nameArguments(region, getNames(), setName);
}
void NextOp::getAsmBlockArgumentNames(Region &region, OpAsmSetValueNameFn setName) {
  nameArguments(region, getNames(), setName);
}
void ReduceOp::getAsmBlockArgumentNames(Region &region, OpAsmSetValueNameFn setName) {
  nameArguments(region, getNames(), setName);
}
void MapOp::getAsmBlockArgumentNames(Region &region, OpAsmSetValueNameFn setName) {
  if (!region.empty() && region.getNumArguments() == 1)
    setName(region.getArgument(0), getName());
}

void PairsOp::getAsmBlockArgumentNames(Region &region, OpAsmSetValueNameFn setName) {
  nameArguments(region, getNames(), setName);
}

bool ReadOp::isDataDependent(unsigned place) {
  bool found = false;
  getMap().getResult(place).walk([&](AffineExpr part) {
    if (auto dim = dyn_cast<AffineDimExpr>(part)) {
      Value operand = getOperands()[dim.getPosition()];
      found |= !isa<BlockArgument>(operand) && !operand.getDefiningOp<ExtentOp>();
    }
  });
  return found;
}

ParseResult ReadOp::parse(OpAsmParser &parser, OperationState &result) {
  auto &builder = parser.getBuilder();
  FlatSymbolRefAttr source;
  AffineMapAttr map;
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  Type type;
  if (parser.parseAttribute(source, "source", result.attributes) ||
      parser.parseAffineMapOfSSAIds(operands, map, "map", result.attributes,
                                    OpAsmParser::Delimiter::Square) ||
      parser.parseOptionalAttrDict(result.attributes) || parser.parseColonType(type) ||
      parser.resolveOperands(operands, builder.getIndexType(), result.operands))
    return failure();
  result.addTypes(type);
  return success();
}

void ReadOp::print(OpAsmPrinter &printer) {
  printer << ' ' << getSourceAttr() << '[';
  printer.printAffineMapOfSSAIds(getMapAttr(), getOperands());
  printer << ']';
  printer.printOptionalAttrDict((*this)->getAttrs(), {"source", "map"});
  printer << " : " << getResult().getType();
}

#define GET_OP_CLASSES
#include "dialect/SeqOps.cpp.inc"
