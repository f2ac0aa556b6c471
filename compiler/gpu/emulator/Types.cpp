//===- Types.cpp - how the emulator keeps values -----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Types.h"

#include "mlir/Dialect/LLVMIR/LLVMTypes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace seqmix::gpu {
namespace {

FailureOr<Scalar> scalarOf(Type type) {
  using Class = Scalar::Class;
  if (auto integer = dyn_cast<IntegerType>(type); integer && integer.getWidth() <= 64)
    return Scalar{Class::Integer, uint8_t(integer.getWidth())};
  if (isa<LLVM::LLVMPointerType>(type))
    return Scalar{Class::Pointer, 64};
  if (type.isF16())
    return Scalar{Class::Half, 16};
  if (type.isBF16())
    return Scalar{Class::Brain, 16};
  if (type.isF32())
    return Scalar{Class::Single, 32};
  if (type.isF64())
    return Scalar{Class::Double, 64};
  return failure();
}

void append(TypeLayout &layout, const TypeLayout &element, uint32_t at) {
  for (Piece piece : element.pieces)
    layout.pieces.push_back({piece.scalar, piece.offset + at});
  layout.extent = std::max(layout.extent, at + element.extent);
  layout.inMemory &= element.inMemory;
}

FailureOr<TypeLayout> repeated(Type elementType, uint64_t count, bool isVector) {
  FailureOr<TypeLayout> element = layoutOf(elementType);
  if (failed(element) || count > 4096)
    return failure();
  TypeLayout layout;
  for (uint64_t i = 0; i < count; ++i)
    append(layout, *element, i * element->size);
  layout.size = count * element->size;
  layout.alignment = element->alignment;
  if (isVector) {
    layout.size = layout.alignment = llvm::PowerOf2Ceil(std::max(layout.size, 1U));
    layout.inMemory &= element->pieces[0].scalar.bits >= 8;
  }
  return layout;
}

FailureOr<TypeLayout> structure(LLVM::LLVMStructType type) {
  if (type.isOpaque())
    return failure();
  TypeLayout layout;
  for (Type member : type.getBody()) {
    FailureOr<TypeLayout> element = layoutOf(member);
    if (failed(element))
      return failure();
    uint32_t alignment = type.isPacked() ? 1 : element->alignment;
    uint32_t at = llvm::alignTo(layout.size, alignment);
    append(layout, *element, at);
    layout.size = at + element->size;
    layout.alignment = std::max(layout.alignment, alignment);
  }
  layout.size = llvm::alignTo(layout.size, layout.alignment);
  return layout;
}

} // namespace

FailureOr<TypeLayout> layoutOf(Type type) {
  if (auto vector = dyn_cast<VectorType>(type)) {
    if (vector.isScalable() || vector.getRank() != 1)
      return failure();
    return repeated(vector.getElementType(), vector.getNumElements(), /*isVector=*/true);
  }
  if (auto array = dyn_cast<LLVM::LLVMArrayType>(type))
    return repeated(array.getElementType(), array.getNumElements(), /*isVector=*/false);
  if (auto record = dyn_cast<LLVM::LLVMStructType>(type))
    return structure(record);
  FailureOr<Scalar> scalar = scalarOf(type);
  if (failed(scalar))
    return failure();
  TypeLayout layout;
  layout.pieces.push_back({*scalar, 0});
  layout.size = layout.extent = layout.alignment = llvm::PowerOf2Ceil(scalar->bytes());
  layout.inMemory = scalar->bits == 1 || (scalar->bits >= 8 && llvm::isPowerOf2_32(scalar->bits));
  return layout;
}

} // namespace seqmix::gpu
