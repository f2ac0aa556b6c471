//===- GpuSerializeTest.cpp - kernels to PTX and cubin -----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/Serialize.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"

#include "gtest/gtest.h"

#include <cstdlib>

using namespace mlir;
using namespace seqmix::gpu;

namespace {

/// Compiles the body of one kernel with operands of the usual types.
class Compiled {
public:
  Compiled(const std::string &body, llvm::StringRef chip, const std::string &before = "") {
    context.disableMultithreading();
    context.loadDialect<mlir::gpu::GPUDialect, LLVM::LLVMDialect, NVVM::NVVMDialect>();
    context.getDiagEngine().registerHandler(
        [this](Diagnostic &diagnostic) { errors += diagnostic.str() + '\n'; });
    std::string text = "gpu.module @kernels {\n" + before +
                       "llvm.func @kernel(%g: !llvm.ptr<1>, %s: !llvm.ptr<3>, %x: f32, %d: f64, "
                       "%i: i32, %p: !llvm.ptr) attributes {gpu.kernel, nvvm.kernel} {\n" +
                       body + "\nllvm.return\n}\n}\n";
    auto module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module) << errors;
    auto target = chipNamed(chip);
    EXPECT_TRUE(bool(target));
    if (module && target)
      image = serialize(&module->getBody()->front(), *target);
  }

  MLIRContext context;
  std::string errors;
  FailureOr<Image> image = failure();
};

const char *const kStore = "llvm.store %x, %g : f32, !llvm.ptr<1>";

/// That the body compiles for the first chip, and that the second is refused with the text.
void expectNeeds(const std::string &body, llvm::StringRef chip, llvm::StringRef older,
                 const std::string &text) {
  Compiled good(body, chip), bad(body, older);
  EXPECT_TRUE(succeeded(good.image)) << good.errors;
  EXPECT_TRUE(failed(bad.image)) << body;
  EXPECT_NE(bad.errors.find(text), std::string::npos) << bad.errors;
}

TEST(GpuSerialize, WritesPtxOfTheChipsVersion) {
  Compiled portable(kStore, "sm_80"), hopper(kStore, "sm_90a");
  ASSERT_TRUE(succeeded(portable.image)) << portable.errors;
  ASSERT_TRUE(succeeded(hopper.image)) << hopper.errors;
  EXPECT_NE(portable.image->ptx.find(".version 8.0\n.target sm_80\n"), std::string::npos);
  EXPECT_NE(hopper.image->ptx.find(".version 8.4\n.target sm_90a\n"), std::string::npos);
  EXPECT_NE(portable.image->ptx.find(".visible .entry kernel("), std::string::npos);
  EXPECT_EQ(portable.image->kernels, std::vector<std::string>{"kernel"});
}

TEST(GpuSerialize, AssemblesWherePtxasIs) {
  if (!findAssembler())
    GTEST_SKIP() << "no ptxas";
  Compiled compiled(kStore, "sm_80");
  ASSERT_TRUE(succeeded(compiled.image)) << compiled.errors;
  EXPECT_EQ(compiled.image->cubin.substr(1, 3), "ELF");
  ASSERT_EQ(compiled.image->uses.size(), 1U);
  EXPECT_EQ(compiled.image->uses[0].name, "kernel");
  EXPECT_GT(compiled.image->uses[0].registers, 0U);
  EXPECT_EQ(compiled.image->uses[0].spillStoreBytes, 0U);
  EXPECT_TRUE(compiled.image->notes.empty());
}

/// Sets a variable while it lives.
struct Variable {
  Variable(const char *name, const char *value) : name(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name); }
  const char *name;
};

TEST(GpuSerialize, SaysSoWithoutPtxas) {
  Variable none("SEQMIX_PTXAS", "");
  Compiled compiled(kStore, "sm_80");
  ASSERT_TRUE(succeeded(compiled.image)) << compiled.errors;
  EXPECT_TRUE(compiled.image->cubin.empty());
  EXPECT_FALSE(compiled.image->ptx.empty());
  ASSERT_EQ(compiled.image->notes.size(), 1U);
  EXPECT_NE(compiled.image->notes[0].find("ptxas was not found"), std::string::npos);
}

TEST(GpuSerialize, ReportsWhatPtxasRefuses) {
  if (!findAssembler())
    GTEST_SKIP() << "no ptxas";
  Compiled compiled("nvvm.inline_ptx \"no.such.instruction {$r0};\" ro(%x : f32)", "sm_80");
  EXPECT_TRUE(failed(compiled.image));
  EXPECT_NE(compiled.errors.find("ptxas failed for sm_80"), std::string::npos) << compiled.errors;
  EXPECT_NE(compiled.errors.find("Not a name of any known instruction: 'no'"), std::string::npos)
      << compiled.errors;
}

TEST(GpuSerialize, ReportsAnAssemblerThatDoesNotRun) {
  Variable none("SEQMIX_PTXAS", "/nowhere/ptxas");
  Compiled compiled(kStore, "sm_80");
  EXPECT_TRUE(failed(compiled.image));
  EXPECT_NE(compiled.errors.find("/nowhere/ptxas failed for sm_80"), std::string::npos)
      << compiled.errors;
}

TEST(GpuSerialize, ReadsRegistersSharedMemoryAndSpills) {
  std::vector<KernelUse> uses = readKernelUses(R"(ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'first' for 'sm_90a'
ptxas info    : Function properties for first
    424 bytes stack frame, 416 bytes spill stores, 408 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers, 60416 bytes smem, 704 bytes cmem[0]
ptxas info    : Compile time = 70.123 ms
ptxas info    : Compiling entry function 'second' for 'sm_90a'
ptxas info    : Function properties for helper
    8 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Function properties for second
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 24 registers, 352 bytes cmem[0]
)");
  ASSERT_EQ(uses.size(), 2U);
  EXPECT_EQ(uses[0].name, "first");
  EXPECT_EQ(uses[0].registers, 168U);
  EXPECT_EQ(uses[0].sharedBytes, 60416U);
  EXPECT_EQ(uses[0].stackBytes, 424U);
  EXPECT_EQ(uses[0].spillStoreBytes, 416U);
  EXPECT_EQ(uses[0].spillLoadBytes, 408U);
  EXPECT_EQ(uses[1].name, "second");
  EXPECT_EQ(uses[1].registers, 24U);
  EXPECT_EQ(uses[1].sharedBytes, 0U);
  EXPECT_EQ(uses[1].stackBytes, 0U);
}

//===----------------------------------------------------------------------===//
// What would end the process in LLVM
//===----------------------------------------------------------------------===//

TEST(GpuSerialize, ChecksOpsAgainstTheChip) {
  expectNeeds("nvvm.setmaxregister increase 232", "sm_90a", "sm_90",
              "'nvvm.setmaxregister' needs sm_90a and PTX 8.0, but the kernel is compiled for "
              "sm_90 with PTX 8.0");
  expectNeeds("nvvm.setmaxregister increase 232", "sm_90a", "sm_100a", "needs sm_90a");
  expectNeeds("nvvm.cluster.arrive", "sm_90", "sm_80", "needs sm_90 or later and PTX 7.8");
  expectNeeds("nvvm.fence.mbarrier.init", "sm_90", "sm_89", "needs sm_90 or later");
  expectNeeds("%r = nvvm.read.ptx.sreg.cluster.ctarank : i32\n"
              "llvm.store %r, %g : i32, !llvm.ptr<1>",
              "sm_90", "sm_80", "'nvvm.read.ptx.sreg.cluster.ctarank' needs sm_90");
  expectNeeds("nvvm.stmatrix %s, %i {layout = #nvvm.mma_layout<row>, shape = "
              "#nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = "
              "#nvvm.ld_st_matrix_elt_type<b16>} : !llvm.ptr<3>, i32",
              "sm_90", "sm_80", "'nvvm.stmatrix' needs sm_90");
  // On Hopper LLVM aborts here.
  expectNeeds("%m = llvm.mlir.constant(-1 : i32) : i32\n"
              "%r = nvvm.redux.sync fmax %x, %m : f32 -> f32\n"
              "llvm.store %r, %g : f32, !llvm.ptr<1>",
              "sm_100a", "sm_90a", "'nvvm.redux.sync' of f32 needs sm_100a and PTX 8.6");
}

TEST(GpuSerialize, ChecksInlinePtxAndIntrinsics) {
  expectNeeds("%r = nvvm.inline_ptx \"ex2.approx.ftz.bf16x2 {$w0}, {$r0};\" ro(%i : i32) -> i32\n"
              "llvm.store %r, %g : i32, !llvm.ptr<1>",
              "sm_90", "sm_80", "inline PTX with 'ex2.approx.ftz.bf16' needs sm_90");
  expectNeeds("llvm.inline_asm has_side_effects asm_dialect = att "
              "\"wgmma.fence.sync.aligned;\", \"~{memory}\" : () -> ()",
              "sm_90a", "sm_90", "inline PTX with 'wgmma' needs sm_90a");
  Compiled unknown("%r = llvm.call_intrinsic \"llvm.nvvm.no.such\"(%x) : (f32) -> f32", "sm_90a");
  EXPECT_TRUE(failed(unknown.image));
  EXPECT_NE(unknown.errors.find("not known which chips have the intrinsic 'llvm.nvvm.no.such'"),
            std::string::npos)
      << unknown.errors;
}

TEST(GpuSerialize, RefusesFunctionsWithoutAnInstruction) {
  auto refused = [](const std::string &op) {
    Compiled compiled("%r = " + op, "sm_90a");
    EXPECT_TRUE(failed(compiled.image)) << op;
    EXPECT_NE(compiled.errors.find("GPUs have no instruction for"), std::string::npos)
        << compiled.errors;
  };
  refused("llvm.intr.exp(%x) : (f32) -> f32");
  refused("llvm.intr.log2(%x) : (f32) -> f32");
  refused("llvm.intr.pow(%x, %x) : (f32, f32) -> f32");
  refused("llvm.intr.sin(%x) : (f32) -> f32");
  refused("llvm.intr.sin(%d) {fastmathFlags = #llvm.fastmath<afn>} : (f64) -> f64");
  refused("llvm.intr.exp2(%d) : (f64) -> f64");
  for (const char *op : {"llvm.intr.exp2(%x) : (f32) -> f32", "llvm.intr.sqrt(%x) : (f32) -> f32",
                         "llvm.intr.sin(%x) {fastmathFlags = #llvm.fastmath<afn>} : (f32) -> f32",
                         "llvm.intr.tanh(%x) {fastmathFlags = #llvm.fastmath<afn>} : (f32) -> f32",
                         "llvm.intr.maximum(%x, %x) : (f32, f32) -> f32",
                         "llvm.call_intrinsic \"llvm.nvvm.lg2.approx.ftz.f\"(%x) : (f32) -> f32",
                         "llvm.call_intrinsic \"llvm.nvvm.ex2.approx.ftz\"(%x) : (f32) -> f32"}) {
    Compiled compiled(std::string("%r = ") + op + "\nllvm.store %r, %g : f32, !llvm.ptr<1>",
                      "sm_80");
    EXPECT_TRUE(succeeded(compiled.image)) << op << "\n" << compiled.errors;
  }
}

TEST(GpuSerialize, RefusesWhatIsNotLoweredOrNotDefined) {
  Compiled outside("llvm.call @sinf(%x) : (f32) -> f32", "sm_80", "llvm.func @sinf(f32) -> f32\n");
  EXPECT_TRUE(failed(outside.image));
  EXPECT_NE(outside.errors.find("calls 'sinf', which the module does not define"),
            std::string::npos)
      << outside.errors;
  Compiled high("%b = gpu.block_id x", "sm_80");
  EXPECT_TRUE(failed(high.image));
  EXPECT_NE(high.errors.find("'gpu.block_id' is not lowered"), std::string::npos) << high.errors;
}

TEST(GpuSerialize, WritesOpsThatHaveInlinePtxOnly) {
  Compiled compiled("%parity = llvm.mlir.constant(0 : i32) : i32\n"
                    "nvvm.mbarrier.try_wait.parity %s, %parity, %i : !llvm.ptr<3>, i32, i32",
                    "sm_90a");
  ASSERT_TRUE(succeeded(compiled.image)) << compiled.errors;
  EXPECT_NE(compiled.image->ptx.find("mbarrier.try_wait.parity"), std::string::npos);
}

TEST(GpuSerialize, NamesTheChipsItKnows) {
  auto chip = chipNamed("sm_70");
  ASSERT_FALSE(bool(chip));
  EXPECT_EQ(llvm::toString(chip.takeError()), "unknown chip 'sm_70'; expected " + chipNames());
}

} // namespace
