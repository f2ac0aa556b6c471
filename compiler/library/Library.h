//===- Library.h - from kernels to a shared library -------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

// The plan of a library is plain data: what the runtime's descriptors, the C header and the
// manifest are written from. The driver makes it from the mixers (planMixer, addKernel); the
// functions below turn it into files.

#ifndef SEQMIX_COMPILER_LIBRARY_LIBRARY_H
#define SEQMIX_COMPILER_LIBRARY_LIBRARY_H

#include "compiler/library/Device.h"
#include "dialect/Seq.h"
#include "runtime/Descriptor.h"

#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace llvm {
class LLVMContext;
class Module;
} // namespace llvm

namespace seqmix {

//===----------------------------------------------------------------------===//
// The plan
//===----------------------------------------------------------------------===//

/// One step of an expression in postfix order.
struct ExtentStep {
  enum Kind { Number, Dim, Add, Mul, FloorDiv, CeilDiv, Mod } kind;
  int64_t value = 0; ///< the number, or the number of the dim
};

struct DimPlan {
  std::string name;
  SeqDimKind kind = SEQ_DIM_FIXED;
  int64_t size = 0; ///< of a fixed dim
  /// Of a derived dim: its extent from those of other run-time dims. Divisors are positive.
  std::vector<ExtentStep> by;
};

/// One axis of a buffer; see SeqAxis.
struct AxisPlan {
  int32_t dim = -1;
  int32_t slot = -1;
  int64_t div = 1;
  int64_t size = 0;
};

struct TensorPlan {
  std::string name;
  SeqRole role = SEQ_ROLE_INPUT;
  SeqDType dtype = SEQ_F32;
  double lo = -std::numeric_limits<double>::infinity();
  double hi = std::numeric_limits<double>::infinity();
  std::vector<AxisPlan> axes; ///< in the order of the buffer
};

struct ComponentPlan {
  std::string name;
  SeqComponentKind kind = SEQ_CARRY_STATE;
  SeqDType dtype = SEQ_F32;
  double init = 0;
  int64_t window = 0;
  std::vector<AxisPlan> axes;
};

/// The code of a mixer for one target: symbols in the objects, and the shape of its tasks.
struct KernelPlan {
  std::string target;        ///< "x86-64-v4", ...
  std::string cpu;           ///< LLVM's name; what it implies is needed, too
  std::string features;      ///< as LLVM writes them: "+avx2,+fma,..."
  std::string forwardSymbol; ///< void(const int64_t *frame)
  std::string sharedSymbol;  ///< empty: nothing is shared
  int64_t scratchBytes = 0, sharedBytes = 0, sequenceBytes = 0;
  std::vector<int64_t> storageBytes; ///< by dim, a position of run-time dims beside the tokens'
  int64_t splitSize = 0;
  int32_t splitDim = -1;
  int32_t batchBlock = 1;
  int32_t partialBytes = 0;
  int32_t group = 1, groupRows = 0; ///< tasks that may be reduced together, and rows of them
  bool takesPages = false;          ///< finds the carry's rows through a table of pages
  bool makesEarlier = false;        ///< makes what it reads of earlier positions from those rows
};

struct SummaryPlan;

/// One mixer at one choice of sizes.
struct MixerPlan {
  std::string name;
  std::optional<std::string> noStep;
  std::string source;        ///< the text of the mixer, for the header and the manifest
  std::vector<DimPlan> dims; ///< batch dims first
  int32_t tokenDim = -1;
  std::vector<TensorPlan> tensors;       ///< inputs and params, then outputs
  std::vector<ComponentPlan> components; ///< states, windows, rows, position
  std::vector<KernelPlan> kernels;       ///< the best first
  uint64_t sharedDims = 0;               ///< batch dims that what is shared varies over
  bool usesPosition = false;
  bool startsAtZero = false; ///< reads all positions: earlier calls leave nothing to go on from
  std::shared_ptr<SummaryPlan> summary; ///< null: sequences are never cut
  std::shared_ptr<MixerPlan> expanded;  ///< another form for some sequences, or null; its kernels
                                        ///< are added target by target
  SeqWork work = {0, 0, 0};             ///< products that it takes beside another form
  std::vector<DeviceTargetPlan> device; ///< for GPUs, the best first; then there are no kernels, no
                                        ///< summary and no expanded form
};

/// SeqTransition, with numbers of the summary's components.
struct TransitionPlan {
  int32_t to = 0, from = 0;
  int32_t factors[2] = {-1, -1};
  uint32_t places[2] = {0, 0};
};

/// What segments of a sequence are joined by.
struct SummaryPlan {
  MixerPlan mixer; ///< without outputs; its kernels are added target by target, as the mixer's
  std::vector<int32_t> components; ///< the mixer's for each of its own; -1: a product
  std::vector<TransitionPlan> transitions;
  double work = 1;
  bool backward = false;
};

/// Numbers of the dims whose extents say how large a workspace is: batch dims, the token dim, other
/// run-time dims that are lengths of arrays.
std::vector<int32_t> workspaceDims(const MixerPlan &mixer);

/// All sizes of one mixer.
struct FamilyPlan {
  std::string name;
  std::vector<MixerPlan> sizes;
};

struct LibraryPlan {
  std::vector<FamilyPlan> mixers;

  /// Adds a mixer, to the family of its name when there is one.
  void add(MixerPlan plan);
};

//===----------------------------------------------------------------------===//
// From the IR (Plan.cpp)
//===----------------------------------------------------------------------===//

/// The lines of a mixer in its file, without the comments behind it; empty when it is not there.
std::string mixerText(llvm::StringRef file, llvm::StringRef name);

/// Describes a mixer whose equations are still there (seq to chunk stage), without kernels. Emits a
/// located error and fails for what the runtime cannot describe.
llvm::FailureOr<MixerPlan> planMixer(mlir::seq::MixerOp mixer);

/// Adds the summary of the plan's mixer, which stands at the structure stage. `work` is that of its
/// kernel for a token, the mixer's own being 1.
llvm::LogicalResult addSummary(MixerPlan &plan, mlir::seq::MixerOp summary, double work);

/// Adds the kernels of one target. `op` is the schedule they were made from; symbols and bytes in
/// `kernel` are set by the caller, the shape of the tasks is read from the op. Targets are added
/// from the best to the least.
void addKernel(MixerPlan &plan, mlir::seq::KernelOp op, KernelPlan kernel);

/// Bits 1 << SEQ_CPU_x of what code for a CPU (LLVM's name of it) with a feature string needs.
/// Features that the runtime cannot ask for (tuning hints, say) are left out.
uint64_t featureBits(llvm::StringRef cpu, llvm::StringRef features);

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

/// The manifest: all that a frontend needs to call the library.
std::string manifestText(const LibraryPlan &plan);

/// Writes a C header (C11, C++17) that needs only dlpack.h. `name` is the library's, for the
/// include guard.
void writeHeader(const LibraryPlan &plan, llvm::StringRef name, llvm::raw_ostream &os);

/// Names of the exported symbols.
std::vector<std::string> exportedSymbols(const LibraryPlan &plan);

/// Descriptors, wrappers and the manifest as LLVM IR.
std::unique_ptr<llvm::Module> buildLibraryModule(const LibraryPlan &plan,
                                                 llvm::LLVMContext &context);

/// The same as an object file at `path`, for any x86-64.
llvm::Error writeLibraryObject(const LibraryPlan &plan, llvm::StringRef path);

struct LinkOptions {
  std::vector<std::string> objects;
  std::string output;
  std::vector<std::string> exports; ///< nothing else is visible
  bool staticRuntime = false;
  bool staysLoaded = false;     ///< the process keeps it when it is closed
  std::string runtimeDirectory; ///< where libseqmix_rt.so and libseqmix_rt.a are
};

/// Links a shared library with ld.lld, or with the system's C compiler when there is none. The
/// error holds the linker's own text.
llvm::Error linkLibrary(const LinkOptions &options);

} // namespace seqmix

#endif // SEQMIX_COMPILER_LIBRARY_LIBRARY_H
