//===- Chip.cpp - what GPUs can execute --------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/Chip.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/STLExtras.h"

#include <fmt/format.h>

using namespace mlir;

namespace seqmix::gpu {
namespace {

/// The least that something needs: an architecture (this one alone if `isExact`) and a PTX version.
struct Need {
  unsigned architecture = 0;
  unsigned ptx = 0;
  bool isExact = false;
};

struct Row {
  llvm::StringLiteral name; ///< the longest name that something begins with counts
  Need need;
};

// sm_80 with PTX 8.0 is the least that is compiled for, so older needs are all written as 80, 70.
constexpr Need kAmpere = {80, 70};
constexpr Need kHopper = {90, 80};
constexpr Need kHopperAlone = {90, 80, true};
constexpr Need kBlackwellAlone = {100, 86, true};

/// Ops of the nvvm dialect.
constexpr Row kOps[] = {
    {"bar.warp.sync", kAmpere},
    {"barrier", kAmpere},
    {"breakpoint", kAmpere},
    {"cluster.", {90, 78}},
    {"clusterlaunchcontrol.", {100, 86}},
    {"convert.bf16x2.to.f8x2", {100, 86, true}},
    {"convert.f16x2.to.f8x2", {89, 81}},
    {"convert.f32x2.to.bf16x2", kAmpere},
    {"convert.f32x2.to.f16x2", kAmpere},
    {"convert.f32x2.to.f4x2", kBlackwellAlone},
    {"convert.f32x2.to.f6x2", kBlackwellAlone},
    {"convert.f32x2.to.f8x2", {89, 81}},
    {"convert.float.to.tf32", kAmpere},
    {"cp.async.", kAmpere},
    {"cp.async.bulk.", kHopper},
    {"dot.accumulate.", kAmpere},
    {"elect.sync", kHopper},
    {"exit", kAmpere},
    {"fence.mbarrier.init", kHopper},
    {"fence.proxy", kHopper},
    {"fence.sc.cluster", {90, 78}},
    {"fence.sync_restrict", {90, 86}},
    {"griddepcontrol", {90, 78}},
    {"inline_ptx", kAmpere}, // by its text
    {"ldmatrix", kAmpere},
    {"mapa", {90, 78}},
    {"match.sync", kAmpere},
    {"mbarrier.arrive", kAmpere},
    {"mbarrier.arrive.expect_tx", kHopper},
    {"mbarrier.arrive_drop.expect_tx", kHopper},
    {"mbarrier.complete_tx", kHopper},
    {"mbarrier.expect_tx", kHopper},
    {"mbarrier.init", kAmpere},
    {"mbarrier.inval", kAmpere},
    {"mbarrier.test.wait", kAmpere},
    {"mbarrier.try_wait", kHopper},
    {"memory.barrier", kAmpere},
    {"mma.block_scale", {120, 87, true}},
    {"mma.sp.sync", kAmpere},
    {"mma.sync", kAmpere},
    {"nanosleep", kAmpere},
    {"prefetch", kAmpere},
    {"prmt", kAmpere},
    {"rcp.approx.ftz.f", kAmpere},
    {"read.ptx.sreg.", kAmpere},
    {"read.ptx.sreg.aggr.smem.size", {90, 81}},
    {"read.ptx.sreg.cluster", {90, 78}},
    {"read.ptx.sreg.nclusterid", {90, 78}},
    {"redux.sync", kAmpere},
    {"setmaxregister", kHopperAlone},
    {"shfl.sync", kAmpere},
    {"st.bulk", {100, 86}},
    {"stmatrix", {90, 78}},
    {"tcgen05.", kBlackwellAlone},
    {"vote.sync", kAmpere},
    {"wgmma.", kHopperAlone},
    {"wmma.", kAmpere},
};

/// Intrinsics that kernels call by name, behind "llvm.nvvm.".
constexpr Row kIntrinsics[] = {
    {"bar", kAmpere},
    {"cp.async.", kAmpere},
    {"cp.async.bulk.", kHopper},
    {"ex2.approx.", kAmpere},
    {"ex2.approx.bf16", kHopper},
    {"ex2.approx.ftz.bf16", kHopper},
    {"ex2.approx.f16", kAmpere},
    {"fma.", kAmpere},
    {"fmax.", kAmpere},
    {"fmin.", kAmpere},
    {"ldmatrix.", kAmpere},
    {"lg2.approx.", kAmpere},
    {"mma.", kAmpere},
    {"rcp.approx.", kAmpere},
    {"rsqrt.approx.", kAmpere},
    {"shfl.sync.", kAmpere},
    {"sqrt.approx.", kAmpere},
    {"stmatrix.", {90, 78}},
    {"tanh.approx.", kAmpere},
    {"wgmma.", kHopperAlone},
};

/// Instructions in inline PTX, wherever they stand in the text.
constexpr Row kInline[] = {
    {"cp.async.bulk", kHopper},
    {"cp.reduce.async.bulk", kHopper},
    {"elect.sync", kHopper},
    {"ex2.approx.ftz.bf16", kHopper},
    {"fence.proxy", kHopper},
    {"griddepcontrol", {90, 78}},
    {"mapa", {90, 78}},
    {"mbarrier.try_wait", kHopper},
    {"movmatrix", {80, 78}},
    {"red.async", kHopper},
    {"redux.sync.fm", kBlackwellAlone},
    {"setmaxnreg", kHopperAlone},
    {"stmatrix", {90, 78}},
    {"tanh.approx.bf16", kHopper},
    {"tcgen05", kBlackwellAlone},
    {"wgmma", kHopperAlone},
    {"e4m3", {89, 84}},
    {"e5m2", {89, 84}},
};

/// Functions of the llvm dialect without an instruction, of any type.
constexpr llvm::StringLiteral kNoFunction[] = {
    "acos",  "asin", "atan", "atan2", "cosh", "exp", "exp10",  "frexp",  "ldexp",   "log",
    "log10", "log2", "pow",  "powi",  "sinh", "tan", "sincos", "lround", "llround",
};
/// Those with one that approximates, for f32 and narrower.
constexpr llvm::StringLiteral kApproximated[] = {"cos", "sin", "tanh"};

struct ChipRow {
  llvm::StringLiteral name;
  unsigned architecture;
  bool isExact;
  unsigned ptx;
};

// PTX 8.4 for sm_90a: the forms of wgmma with transposed operands and both scales.
constexpr ChipRow kChips[] = {
    {"sm_80", 80, false, 80},   {"sm_86", 86, false, 80},   {"sm_89", 89, false, 84},
    {"sm_90", 90, false, 80},   {"sm_90a", 90, true, 84},   {"sm_100", 100, false, 86},
    {"sm_100a", 100, true, 86}, {"sm_120", 120, false, 87},
};

std::string ptxText(unsigned version) { return fmt::format("{}.{}", version / 10, version % 10); }

std::string needText(const Need &need) {
  return fmt::format("sm_{}{} and PTX {}", need.architecture, need.isExact ? "a" : " or later",
                     ptxText(need.ptx));
}

bool has(const Chip &chip, const Need &need) {
  bool architecture = need.isExact ? chip.isExact && chip.architecture == need.architecture
                                   : chip.architecture >= need.architecture;
  return architecture && chip.ptx >= need.ptx;
}

/// The row with the longest name that the text begins with.
const Row *longest(llvm::ArrayRef<Row> rows, llvm::StringRef text) {
  const Row *best = nullptr;
  for (const Row &row : rows)
    if (text.starts_with(row.name) && (!best || row.name.size() > best->name.size()))
      best = &row;
  return best;
}

class Checker {
public:
  explicit Checker(const Chip &chip) : chip(chip) {}

  LogicalResult run(Operation *root) {
    bool isGood = true;
    root->walk([&](Operation *op) { isGood &= succeeded(check(op)); });
    return success(isGood);
  }

private:
  const Chip &chip;

  LogicalResult require(Operation *op, const Twine &what, const Need &need) {
    if (has(chip, need))
      return success();
    return op->emitError() << what << " needs " << needText(need) << ", but the kernel is compiled "
                           << "for " << chip.name << " with PTX " << ptxText(chip.ptx);
  }

  LogicalResult check(Operation *op) {
    llvm::StringRef dialect = op->getName().getDialectNamespace();
    llvm::StringRef name = op->getName().getStringRef();
    if (dialect == "builtin" || dialect == "gpu")
      return op->getName().isRegistered() && op->getNumRegions() == 1
                 ? success()
                 : LogicalResult(op->emitError() << "'" << name << "' is not lowered");
    if (dialect == "nvvm")
      return checkNvvm(op, name.drop_front(5));
    if (dialect != "llvm")
      return op->emitError() << "'" << name << "' is no op of the llvm or nvvm dialect, which GPU "
                             << "kernels are translated from";
    if (auto call = dyn_cast<LLVM::CallIntrinsicOp>(op))
      return checkIntrinsic(call, call.getIntrin());
    if (auto assembly = dyn_cast<LLVM::InlineAsmOp>(op))
      return checkText(op, assembly.getAsmString());
    if (name.consume_front("llvm.intr."))
      return checkFunction(op, name);
    if (auto call = dyn_cast<LLVM::CallOp>(op))
      return checkCall(call);
    return success();
  }

  LogicalResult checkNvvm(Operation *op, llvm::StringRef name) {
    const Row *row = longest(kOps, name);
    if (!row)
      return op->emitError() << "it is not known which chips have 'nvvm." << name << "'";
    std::string what = ("'nvvm." + name + "'").str();
    if (failed(require(op, what, row->need)))
      return failure();
    if (auto redux = dyn_cast<NVVM::ReduxOp>(op); redux && redux.getVal().getType().isF32())
      return require(op, what + " of f32", kBlackwellAlone);
    // Copies to the shared memory of the own block under its own name are younger than those to
    // that of a cluster.
    if (name.starts_with("cp.async.bulk.") && name.ends_with("shared.cluster.global"))
      if (auto type = dyn_cast<LLVM::LLVMPointerType>(op->getOperand(0).getType());
          type && type.getAddressSpace() == 3)
        return require(op, what + " to shared::cta (a pointer of address space 3)", {90, 86});
    if (auto prefetch = dyn_cast<NVVM::PrefetchOp>(op); prefetch && prefetch.getTensormap())
      return require(op, what + " of a tensor map", kHopper);
    if (auto text = dyn_cast<NVVM::InlinePtxOp>(op))
      return checkText(op, text.getPtxCode());
    return success();
  }

  LogicalResult checkIntrinsic(Operation *op, llvm::StringRef name) {
    llvm::StringRef own = name;
    if (!own.consume_front("llvm.nvvm."))
      return success();
    const Row *row = longest(kIntrinsics, own);
    if (!row)
      return op->emitError() << "it is not known which chips have the intrinsic '" << name << "'";
    return require(op, "the intrinsic '" + name.str() + "'", row->need);
  }

  LogicalResult checkText(Operation *op, llvm::StringRef text) {
    for (const Row &row : kInline)
      if (text.contains(row.name) &&
          failed(require(op, "inline PTX with '" + row.name + "'", row.need)))
        return failure();
    return success();
  }

  static Type elementOf(Operation *op) {
    Type type = op->getNumOperands() ? op->getOperand(0).getType() : Type();
    if (auto vector = dyn_cast_or_null<VectorType>(type))
      return vector.getElementType();
    return type;
  }

  LogicalResult checkFunction(Operation *op, llvm::StringRef name) {
    auto refuse = [&](const Twine &why) {
      return op->emitError() << "GPUs have no instruction for 'llvm.intr." << name << "'" << why;
    };
    if (llvm::is_contained(kNoFunction, name))
      return refuse("; it must be expanded before");
    Type type = elementOf(op);
    bool isDouble = type && type.isF64();
    if (name == "exp2" && isDouble)
      return refuse(" of f64; it must be expanded before");
    if (!llvm::is_contained(kApproximated, name))
      return success();
    auto flags = dyn_cast<LLVM::FastmathFlagsInterface>(op);
    bool mayApproximate =
        flags && bitEnumContainsAny(flags.getFastmathAttr().getValue(), LLVM::FastmathFlags::afn);
    if (isDouble || !mayApproximate)
      return refuse(" that is exact (f32 and fastmath<afn>: it is approximated)");
    return success();
  }

  /// There is no library to link with.
  LogicalResult checkCall(LLVM::CallOp call) {
    auto callee = call.getCallee();
    if (!callee)
      return success();
    auto function = SymbolTable::lookupNearestSymbolFrom<LLVM::LLVMFuncOp>(
        call, StringAttr::get(call.getContext(), *callee));
    if (function && function.isExternal())
      return call.emitError() << "calls '" << *callee << "', which the module does not define";
    return success();
  }
};

} // namespace

std::string Chip::features() const { return fmt::format("+ptx{}", ptx); }

std::string chipNames() {
  std::string text;
  for (const ChipRow &row : kChips)
    text += (text.empty() ? "" : ", ") + row.name.str();
  return text;
}

llvm::Expected<Chip> chipNamed(llvm::StringRef name) {
  for (const ChipRow &row : kChips)
    if (row.name == name)
      return Chip{name.str(), row.architecture, row.isExact, row.ptx};
  return llvm::createStringError(
      fmt::format("unknown chip '{}'; expected {}", std::string_view(name), chipNames()));
}

LogicalResult checkChip(Operation *root, const Chip &chip) { return Checker(chip).run(root); }

} // namespace seqmix::gpu
