//===- Seq.h - the seq dialect ------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_DIALECT_SEQ_H
#define SEQMIX_DIALECT_SEQ_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/RegionKindInterface.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialect/SeqDialect.h.inc"
#include "dialect/SeqEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialect/SeqAttrs.h.inc"

namespace mlir::seq {
/// Whether a read of a matrix state sums over its columns, and whether each element has a factor of
/// its own.
inline bool sumsColumns(ReadKind kind) {
  return kind == ReadKind::Columns || kind == ReadKind::ColumnElements;
}
inline bool weighsElements(ReadKind kind) {
  return kind == ReadKind::RowElements || kind == ReadKind::ColumnElements;
}
} // namespace mlir::seq

#define GET_OP_CLASSES
#include "dialect/SeqOps.h.inc"

#endif // SEQMIX_DIALECT_SEQ_H
