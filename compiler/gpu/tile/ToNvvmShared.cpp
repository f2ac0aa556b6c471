//===- ToNvvmShared.cpp - tiles in shared memory -----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/tile/GlobalAccess.h"
#include "compiler/gpu/tile/SharedAccess.h"
#include "compiler/gpu/tile/ToNvvm.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::tile;

namespace seqmix::gpu {
namespace {

struct AllocLowering : OpConversionPattern<AllocSmemOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(AllocSmemOp op, OpAdaptor,
                                ConversionPatternRewriter &rewriter) const override {
    auto pointer = LLVM::LLVMPointerType::get(op.getContext(), 3);
    Value base = LLVM::AddressOfOp::create(rewriter, op.getLoc(), pointer, sharedSymbol);
    rewriter.replaceOpWithNewOp<LLVM::GEPOp>(op, pointer, rewriter.getI8Type(), base,
                                             ArrayRef<LLVM::GEPArg>{int32_t(*op.getOffset())});
    return success();
  }
};

/// Registers whose elements follow each other in shared memory, up to 16 bytes: the masks of their
/// bits, lowest first.
SmallVector<unsigned> vectorBits(const LinearMap &offsets, unsigned registerBits, unsigned bytes) {
  SmallVector<unsigned> result;
  for (; bytes << result.size() < 16;) {
    const auto *end = offsets.bits().begin() + registerBits;
    const auto *found = std::find(offsets.bits().begin(), end, bytes << result.size());
    if (found == end)
      break;
    result.push_back(1U << (found - offsets.bits().begin()));
  }
  return result;
}

SmallVector<SmallVector<unsigned>> vectors(ArrayRef<unsigned> bits, unsigned registers) {
  SmallVector<SmallVector<unsigned>> result;
  uint32_t inside = 0;
  for (unsigned bit : bits)
    inside |= bit;
  for (unsigned reg = 0; reg < registers; ++reg) {
    if (reg & inside)
      continue;
    SmallVector<unsigned> &vector = result.emplace_back();
    for (unsigned i = 0; i < 1U << bits.size(); ++i) {
      unsigned member = reg;
      for (auto [number, bit] : llvm::enumerate(bits))
        if (i >> number & 1)
          member |= bit;
      vector.push_back(member);
    }
  }
  return result;
}

/// How ldmatrix loads a layout. It gives a lane two elements of a row of each of up to four 8x8
/// matrices of 16-bit elements, or of a column if transposed; each lane says where one row of one
/// matrix is.
struct MatrixLoad {
  bool transposed;
  unsigned pairBit;                 // of the two elements in a register
  SmallVector<unsigned, 2> numbers; // register bits of the number of the matrix
  LinearMap rows;                   // from the thread's number to the offset of its row
};

std::optional<MatrixLoad> matrixLoad(const LinearMap &offsets, const Layout &layout) {
  const unsigned registerBits = layout.registerBits();
  ArrayRef<uint32_t> registers = offsets.bits().take_front(registerBits);
  ArrayRef<uint32_t> lanes = offsets.bits().slice(registerBits, Layout::laneBits);
  ArrayRef<uint32_t> warps = offsets.bits().drop_front(registerBits + Layout::laneBits);
  // 0 to 2: a row's number; 3 and 4: the matrix's.
  SmallVector<uint32_t> rows;
  MatrixLoad load;
  if (registerBits > 0 && lanes[0] == 4 && lanes[1] == 8 && llvm::is_contained(registers, 2U)) {
    load.transposed = false;
    load.pairBit = std::distance(registers.begin(), llvm::find(registers, 2U));
    rows.assign({lanes[2], lanes[3], lanes[4]});
  } else if (registerBits > 0 && lanes[2] == 2 && lanes[3] == 4 && lanes[4] == 8) {
    load.transposed = true;
    load.pairBit = 0;
    rows.assign({registers[0], lanes[0], lanes[1]});
  } else {
    return std::nullopt;
  }
  for (unsigned bit = 0; bit < registerBits && load.numbers.size() < 2; ++bit)
    if (bit != load.pairBit) {
      load.numbers.push_back(bit);
      rows.push_back(registers[bit]);
    }
  for (uint32_t row : rows)
    if (row % 16 != 0)
      return std::nullopt;
  // Lanes whose rows are not asked for say any.
  rows.resize(Layout::laneBits, 0);
  llvm::append_range(rows, warps);
  load.rows = LinearMap(rows);
  return load;
}

/// Where the one of this number stands, of those that take as many bytes.
Value behind(Emitter &emit, Value base, Value number, int64_t bytes) {
  Value offset = arith::MulIOp::create(emit.builder, emit.loc, number, emit.i64(bytes));
  return LLVM::GEPOp::create(emit.builder, emit.loc, base.getType(), emit.builder.getI8Type(), base,
                             ArrayRef<LLVM::GEPArg>{offset});
}

/// Loads in vectors, as far as registers follow each other.
void loadVectors(Emitter &emit, const Layout &layout, const LinearMap &offsets, Value base,
                 Type element, Registers &results) {
  const unsigned bytes = element.getIntOrFloatBitWidth() / 8;
  SharedAccess access(emit, base, LinearMap(offsets.bits().drop_front(layout.registerBits())));
  SmallVector<unsigned> bits = vectorBits(offsets, layout.registerBits(), bytes);
  Type type = bits.empty() ? element : cast<Type>(VectorType::get(1 << bits.size(), element));
  for (ArrayRef<unsigned> vector : vectors(bits, layout.registers())) {
    Value loaded =
        LLVM::LoadOp::create(emit.builder, emit.loc, type, access.address(offsets.apply(vector[0])),
                             bytes << bits.size());
    for (auto [reg, part] : llvm::zip_equal(vector, emit.unpack(loaded)))
      results[reg] = part;
  }
}

struct LoadLowering : OpConversionPattern<LoadOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(LoadOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    const Layout layout = *layoutOf(op.getType());
    SmemType tile = op.getTile().getType();
    Emitter emit(rewriter, op.getLoc());
    Value base = adaptor.getTile();
    if (Value part = adaptor.getPart()) {
      const int64_t rows = op.getType().getDimSize(op.getTransposed() ? 1 : 0);
      tile = SmemType::get(op.getContext(), {rows, tile.getShape()[1]}, tile.getElementType(),
                           tile.getSwizzle());
      base = behind(emit, base, part, int64_t(tile.bytes()));
    }
    const LinearMap offsets = sharedOffsets(tile, layout, op.getTransposed());
    Registers results(layout.registers());
    Type element = op.getType().getElementType();
    std::optional<MatrixLoad> matrices;
    if (tile.elementBytes() == 2)
      matrices = matrixLoad(offsets, layout);
    if (matrices) {
      loadMatrices(emit, *matrices, offsets, base, element, results);
      rewriter.replaceOpWithMultiple(op, {results});
      return success();
    }
    loadVectors(emit, layout, offsets, base, element, results);
    rewriter.replaceOpWithMultiple(op, {results});
    return success();
  }

  static void loadMatrices(Emitter &emit, const MatrixLoad &load, const LinearMap &offsets,
                           Value base, Type element, Registers &results) {
    OpBuilder &b = emit.builder;
    SharedAccess access(emit, base, load.rows);
    const unsigned count = 1U << load.numbers.size();
    uint32_t inside = 1U << load.pairBit;
    for (unsigned bit : load.numbers)
      inside |= 1U << bit;
    Type word = b.getI32Type();
    Type type = count == 1 ? word
                           : cast<Type>(LLVM::LLVMStructType::getLiteral(
                                 b.getContext(), SmallVector<Type>(count, word)));
    auto shape = NVVM::LdStMatrixShapeAttr::get(b.getContext(), 8, 8);
    for (unsigned reg = 0; reg < results.size(); ++reg) {
      if (reg & inside)
        continue;
      Value loaded =
          NVVM::LdMatrixOp::create(b, emit.loc, type, access.address(offsets.apply(reg)), count,
                                   load.transposed ? NVVM::MMALayout::col : NVVM::MMALayout::row,
                                   shape, NVVM::LdStMatrixEltType::B16);
      for (unsigned matrix = 0; matrix < count; ++matrix) {
        unsigned member = reg;
        for (auto [number, bit] : llvm::enumerate(load.numbers))
          if (matrix >> number & 1)
            member |= 1U << bit;
        Value pair =
            count == 1 ? loaded : Value(LLVM::ExtractValueOp::create(b, emit.loc, loaded, matrix));
        pair = LLVM::BitcastOp::create(b, emit.loc, VectorType::get(2, element), pair);
        Registers parts = emit.unpack(pair);
        results[member] = parts[0];
        results[member | 1U << load.pairBit] = parts[1];
      }
    }
  }
};

struct LoadElementLowering : OpConversionPattern<LoadElementOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(LoadElementOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Value address =
        LLVM::GEPOp::create(rewriter, op.getLoc(), adaptor.getTile().getType(), op.getType(),
                            adaptor.getTile(), ArrayRef<LLVM::GEPArg>{adaptor.getPlace()});
    rewriter.replaceOpWithNewOp<LLVM::LoadOp>(op, op.getType(), address,
                                              op.getTile().getType().elementBytes());
    return success();
  }
};

struct LoadLineLowering : OpConversionPattern<LoadLineOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(LoadLineOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    const Layout layout = *layoutOf(op.getType());
    Type element = op.getType().getElementType();
    const auto line = SmemType::get(op.getContext(), op.getType().getShape(), element, 0);
    Emitter emit(rewriter, op.getLoc());
    Value base = behind(emit, adaptor.getTile(), adaptor.getLine(), int64_t(line.bytes()));
    Registers results(layout.registers());
    loadVectors(emit, layout, sharedOffsets(line, layout, false), base, element, results);
    rewriter.replaceOpWithMultiple(op, {results});
    return success();
  }
};

struct StoreLowering : OpConversionPattern<StoreOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(StoreOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    const Layout layout = *layoutOf(op.getValue().getType());
    const SmemType tile = op.getTile().getType();
    const LinearMap offsets = sharedOffsets(tile, layout, op.getTransposed());
    Emitter emit(rewriter, op.getLoc());
    // Of copies one thread writes one, or writes would meet.
    uint32_t copies = 0;
    for (auto [bit, column] : llvm::enumerate(layout.threadBases()))
      if (!column)
        copies |= 1U << bit;
    OpBuilder::InsertionGuard guard(rewriter);
    if (copies) {
      auto choice = scf::IfOp::create(rewriter, op.getLoc(),
                                      emit.hasBits(emit.threadId(), copies, false), false);
      rewriter.setInsertionPointToStart(&choice.getThenRegion().front());
    }
    SharedAccess access(emit, adaptor.getTile()[0],
                        LinearMap(offsets.bits().drop_front(layout.registerBits())));
    SmallVector<unsigned> bits = vectorBits(offsets, layout.registerBits(), tile.elementBytes());
    for (ArrayRef<unsigned> vector : vectors(bits, layout.registers())) {
      Registers parts;
      for (unsigned reg : vector)
        parts.push_back(adaptor.getValue()[reg]);
      LLVM::StoreOp::create(rewriter, op.getLoc(), emit.pack(parts),
                            access.address(offsets.apply(vector[0])),
                            tile.elementBytes() << bits.size());
    }
    rewriter.eraseOp(op);
    return success();
  }
};

struct CopyAsyncLowering : OpConversionPattern<CopyAsyncOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(CopyAsyncOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Emitter emit(rewriter, op.getLoc());
    {
      OpBuilder::InsertionGuard guard(rewriter);
      if (op.getAlign())
        copyPieces(emit, op, adaptor);
      else
        copyElements(emit, op, adaptor);
    }
    rewriter.eraseOp(op);
    return success();
  }

  static void copyPieces(Emitter &emit, CopyAsyncOp op, OpAdaptor adaptor) {
    OpBuilder &b = emit.builder;
    const SmemType tile = op.getTile().getType();
    const Layout layout =
        Layout::blocked(tile.getShape(), 16 / tile.elementBytes(), *warpsAround(op));
    GlobalAccess access(emit, op, layout, tile.getElementType(), adaptor.getBase(),
                        adaptor.getStrides(), adaptor.getExtents());
    const LinearMap offsets = sharedOffsets(tile, layout, false);
    SharedAccess shared(emit, adaptor.getTile(),
                        LinearMap(offsets.bits().drop_front(layout.registerBits())));
    uint32_t copies = 0;
    for (auto [bit, column] : llvm::enumerate(layout.threadBases()))
      if (!column)
        copies |= 1U << bit;
    auto groups = access.groups(/*once=*/false);
    if (copies) {
      auto choice = scf::IfOp::create(b, emit.loc, emit.hasBits(emit.threadId(), copies, false),
                                      /*withElseRegion=*/false);
      b.setInsertionPointToStart(&choice.getThenRegion().front());
    }
    for (const GlobalAccess::Group &group : groups)
      for (ArrayRef<unsigned> vector : group.vectors) {
        // Of what does not exist no byte is read; the hardware writes zeros.
        Value size;
        if (group.exists)
          size = arith::SelectOp::create(b, emit.loc, group.exists, emit.i32(16), emit.i32(0));
        NVVM::CpAsyncOp::create(b, emit.loc, shared.address(offsets.apply(vector[0])),
                                access.address(vector[0]), 16, NVVM::LoadCacheModifierKind::CG,
                                size);
      }
  }

  /// In a loop, a few at once: where registers are wanted for what the tile is copied under.
  static void copyElements(Emitter &emit, CopyAsyncOp op, OpAdaptor adaptor) {
    OpBuilder &b = emit.builder;
    const Location loc = emit.loc;
    const SmemType tile = op.getTile().getType();
    const int64_t threads = 32 * int64_t(*warpsAround(op));
    const int64_t elements = tile.bytes() / tile.elementBytes();
    const int64_t together = std::clamp<int64_t>(elements / threads, 1, 4);
    auto values = [&](ArrayRef<int64_t> constants, ValueRange dynamic) {
      Registers result;
      for (int64_t constant : constants) {
        result.push_back(ShapedType::isDynamic(constant) ? dynamic.front() : emit.i64(constant));
        if (ShapedType::isDynamic(constant))
          dynamic = dynamic.drop_front();
      }
      return result;
    };
    const Registers strides = values(op.getStaticStrides(), adaptor.getStrides());
    const Registers extents = values(op.getStaticExtents(), adaptor.getExtents());
    auto loop = scf::ForOp::create(b, loc, emit.threadId(), emit.i32(elements),
                                   emit.i32(threads * together));
    auto unrolling =
        LLVM::LoopUnrollAttr::get(b.getContext(), b.getBoolAttr(true), {}, {}, {}, {}, {}, {});
    loop->setAttr("llvm.loop_annotation",
                  LLVM::LoopAnnotationAttr::get(b.getContext(), {}, {}, {}, unrolling, {}, {}, {},
                                                {}, {}, {}, {}, {}, {}, {}, {}));
    b.setInsertionPointToStart(loop.getBody());
    Type element = tile.getElementType();
    SmallVector<std::pair<Value, Value>> loaded; // an element's number and value
    for (int64_t number = 0; number < together; ++number) {
      Value own = arith::AddIOp::create(b, loc, loop.getInductionVar(), emit.i32(number * threads));
      Value exists =
          arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, own, emit.i32(elements));
      Value offset, rest = own;
      for (size_t dim = strides.size(); dim-- > 0;) {
        Value place = arith::AndIOp::create(b, loc, rest, emit.i32(tile.getShape()[dim] - 1));
        rest = arith::ShRUIOp::create(b, loc, rest, emit.i32(llvm::Log2_64(tile.getShape()[dim])));
        place = arith::ExtUIOp::create(b, loc, b.getI64Type(), place);
        Value inside =
            arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, place, extents[dim]);
        exists = arith::AndIOp::create(b, loc, exists, inside);
        Value term = arith::MulIOp::create(b, loc, place, strides[dim]);
        offset = offset ? arith::AddIOp::create(b, loc, offset, term) : term;
      }
      Value address = LLVM::GEPOp::create(b, loc, adaptor.getBase().getType(), element,
                                          adaptor.getBase(), ArrayRef<LLVM::GEPArg>{offset});
      auto choice = scf::IfOp::create(
          b, loc, exists,
          [&](OpBuilder &inner, Location at) {
            Value value = LLVM::LoadOp::create(inner, at, element, address, tile.elementBytes());
            scf::YieldOp::create(inner, at, value);
          },
          [&](OpBuilder &inner, Location at) {
            scf::YieldOp::create(inner, at, Emitter(inner, at).zero(element));
          });
      loaded.emplace_back(own, choice.getResult(0));
    }
    for (auto [number, value] : loaded) {
      // The last threads may have fewer.
      if (elements % (threads * together) != 0) {
        auto choice = scf::IfOp::create(
            b, loc,
            arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, number, emit.i32(elements)),
            /*withElseRegion=*/false);
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToStart(choice.thenBlock());
        storeElement(emit, adaptor.getTile(), tile, number, value);
      } else {
        storeElement(emit, adaptor.getTile(), tile, number, value);
      }
    }
  }

  static void storeElement(Emitter &emit, Value base, SmemType tile, Value number, Value value) {
    Value address =
        LLVM::GEPOp::create(emit.builder, emit.loc, base.getType(), emit.builder.getI8Type(), base,
                            ArrayRef<LLVM::GEPArg>{emit.apply(tile.offsets(), number)});
    LLVM::StoreOp::create(emit.builder, emit.loc, value, address, tile.elementBytes());
  }
};

struct CommitLowering : OpConversionPattern<CommitOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(CommitOp op, OpAdaptor,
                                ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<NVVM::CpAsyncCommitGroupOp>(op);
    return success();
  }
};

struct WaitLowering : OpConversionPattern<WaitOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(WaitOp op, OpAdaptor,
                                ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<NVVM::CpAsyncWaitGroupOp>(op, op.getPending());
    return success();
  }
};

struct BarrierLowering : OpConversionPattern<BarrierOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(BarrierOp op, OpAdaptor,
                                ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<NVVM::Barrier0Op>(op);
    return success();
  }
};

} // namespace

void populateSharedPatterns(TypeConverter &types, RewritePatternSet &patterns) {
  patterns.add<AllocLowering, LoadLowering, LoadElementLowering, LoadLineLowering, StoreLowering,
               CopyAsyncLowering, CommitLowering, WaitLowering, BarrierLowering>(
      types, patterns.getContext());
}

} // namespace seqmix::gpu
