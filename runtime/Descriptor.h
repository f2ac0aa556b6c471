//===- Descriptor.h - what a compiled library tells the runtime about a mixer --===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The compiler writes these structs as constants into the library; the generated wrappers hand them
// to the runtime. Everything that a call is checked against, and everything needed to split it into
// tasks, stands here. Also included by hand-written tests.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_RUNTIME_DESCRIPTOR_H
#define SEQMIX_RUNTIME_DESCRIPTOR_H

#include "runtime/Frame.h"
#include "runtime/seqmix.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SEQ_DESCRIPTOR_VERSION = 5 };

enum SeqDimKind { SEQ_DIM_BATCH = 0, SEQ_DIM_RUNTIME = 1, SEQ_DIM_FIXED = 2 };
enum SeqRole { SEQ_ROLE_INPUT = 0, SEQ_ROLE_PARAM = 1, SEQ_ROLE_OUTPUT = 2 };
enum SeqComponentKind {
  SEQ_CARRY_STATE = 0,
  SEQ_CARRY_WINDOW = 1,
  SEQ_CARRY_POSITION = 2,
  SEQ_CARRY_ROWS = 3,
};
enum SeqDType {
  SEQ_F64 = 0,
  SEQ_F32 = 1,
  SEQ_BF16 = 2,
  SEQ_F16 = 3,
  SEQ_I32 = 4,
  SEQ_BOOL = 5,
  SEQ_I64 = 6, // positions only
};

// Features of a CPU that code may need, named as LLVM names them. A kernel lists them as bits 1 <<
// SEQ_CPU_x.
//      name            LLVM's name         cpuid leaf, subleaf, register (0 eax, 1 ebx, 2 ecx, 3
//      edx), bit
#define SEQ_CPU_FEATURES(X)                                                                        \
  X(SSE3, "sse3", 1, 0, 2, 0)                                                                      \
  X(SSSE3, "ssse3", 1, 0, 2, 9)                                                                    \
  X(FMA, "fma", 1, 0, 2, 12)                                                                       \
  X(SSE41, "sse4.1", 1, 0, 2, 19)                                                                  \
  X(SSE42, "sse4.2", 1, 0, 2, 20)                                                                  \
  X(MOVBE, "movbe", 1, 0, 2, 22)                                                                   \
  X(POPCNT, "popcnt", 1, 0, 2, 23)                                                                 \
  X(AVX, "avx", 1, 0, 2, 28)                                                                       \
  X(F16C, "f16c", 1, 0, 2, 29)                                                                     \
  X(LZCNT, "lzcnt", 0x80000001, 0, 2, 5)                                                           \
  X(BMI, "bmi", 7, 0, 1, 3)                                                                        \
  X(AVX2, "avx2", 7, 0, 1, 5)                                                                      \
  X(BMI2, "bmi2", 7, 0, 1, 8)                                                                      \
  X(AVX512F, "avx512f", 7, 0, 1, 16)                                                               \
  X(AVX512DQ, "avx512dq", 7, 0, 1, 17)                                                             \
  X(AVX512IFMA, "avx512ifma", 7, 0, 1, 21)                                                         \
  X(AVX512CD, "avx512cd", 7, 0, 1, 28)                                                             \
  X(AVX512BW, "avx512bw", 7, 0, 1, 30)                                                             \
  X(AVX512VL, "avx512vl", 7, 0, 1, 31)                                                             \
  X(AVX512VBMI, "avx512vbmi", 7, 0, 2, 1)                                                          \
  X(AVX512VBMI2, "avx512vbmi2", 7, 0, 2, 6)                                                        \
  X(GFNI, "gfni", 7, 0, 2, 8)                                                                      \
  X(VAES, "vaes", 7, 0, 2, 9)                                                                      \
  X(VPCLMULQDQ, "vpclmulqdq", 7, 0, 2, 10)                                                         \
  X(AVX512VNNI, "avx512vnni", 7, 0, 2, 11)                                                         \
  X(AVX512BITALG, "avx512bitalg", 7, 0, 2, 12)                                                     \
  X(AVX512VPOPCNTDQ, "avx512vpopcntdq", 7, 0, 2, 14)                                               \
  X(AVX512VP2INTERSECT, "avx512vp2intersect", 7, 0, 3, 8)                                          \
  X(AMXBF16, "amx-bf16", 7, 0, 3, 22)                                                              \
  X(AVX512FP16, "avx512fp16", 7, 0, 3, 23)                                                         \
  X(AMXTILE, "amx-tile", 7, 0, 3, 24)                                                              \
  X(AMXINT8, "amx-int8", 7, 0, 3, 25)                                                              \
  X(AVXVNNI, "avxvnni", 7, 1, 0, 4)                                                                \
  X(AVX512BF16, "avx512bf16", 7, 1, 0, 5)

enum SeqCpuFeature {
#define SEQ_CPU_ENUMERATOR(NAME, TEXT, LEAF, SUBLEAF, REG, BIT) SEQ_CPU_##NAME,
  SEQ_CPU_FEATURES(SEQ_CPU_ENUMERATOR)
#undef SEQ_CPU_ENUMERATOR
      SEQ_CPU_COUNT
};

/// A named dim of the mixer. `size` is 0 unless the dim is fixed.
typedef struct SeqDim {
  const char *name;
  int64_t size;
  int32_t kind;    // SeqDimKind
  int32_t derived; // the extent of this run-time dim follows from those of others
} SeqDim;

/// One axis of a buffer, in the order of the buffer. A batch axis has the extent of its dim divided
/// by `div` (at least 1), which must divide it. An axis with `dim` -1 has the extent `size`.
typedef struct SeqAxis {
  int32_t dim;
  int32_t slot; // which of the tensor's non-batch dims in declared order (its stride's slot in the
                // frame); -1 for a batch axis
  int64_t div;
  int64_t size;
} SeqAxis;

/// An input, param or output. Buffer order: first batch dim, run-time dims, other batch dims,
/// features.
typedef struct SeqTensor {
  const char *name;
  const SeqAxis *axes;
  double lo, hi; // the promised range; -inf and inf when there is none
  int32_t role;  // SeqRole
  int32_t dtype; // SeqDType
  int32_t rank;
  int32_t reserved;
} SeqTensor;

/// A component of the carry: batch axes, then what must be contiguous (`slot` of those is not -1).
/// Rows have the tokens as the first axis of the latter; its size is -1 when the caller decides how
/// many there is room for. The position's one axis is the first batch dim.
typedef struct SeqComponent {
  const char *name;
  const SeqAxis *axes;
  double init;
  int64_t window; // tokens, for a window; for rows the W of which the last are kept, 0 for all
  int32_t kind;   // SeqComponentKind
  int32_t dtype;  // SEQ_F32, SEQ_F64 or SEQ_I32; of rows also a storage type, of positions SEQ_I64
  int32_t rank;
  int32_t reserved;
} SeqComponent;

typedef void (*SeqKernelFn)(const int64_t *frame);

/// Sets the extents of derived dims from those of the others; one number a dim.
typedef void (*SeqDeriveFn)(int64_t *extents);

enum SeqKernelFlags {
  SEQ_KERNEL_POSITION =
      1, // results depend on the position: elements of a batch block must agree in it
  SEQ_KERNEL_WHOLE = 2,   // reads all positions of a sequence: its call starts at position 0
  SEQ_KERNEL_PAGES = 4,   // finds the carry's rows through a table of pages
  SEQ_KERNEL_EARLIER = 8, // of an expanded form: makes what it reads of earlier positions anew, in
                          // the storage of the sequence, which then has room for those, too
};

/// The code of a mixer for one target, with the shape of its tasks.
typedef struct SeqKernel {
  const char *target; // "x86-64-v4", ...
  uint64_t features;  // 1 << SEQ_CPU_x of all that it needs
  SeqKernelFn shared; // null when there is nothing to share
  SeqKernelFn forward;
  int64_t scratch_bytes;  // a task
  int64_t shared_bytes;   // a group of batch elements that share what the shared kernel makes
  int64_t sequence_bytes; // a token of a task
  int64_t split_size;     // elements of the split dim in a task
  int32_t split_dim;      // a fixed dim, or -1
  int32_t batch_block;    // elements of the first batch dim in a task, at least 1
  int32_t flags;          // SeqKernelFlags
  int32_t partial_bytes;  // a token's partial results of a part of the positions s; 0: the kernel
                          // does not take the range of s in parts
  const int64_t *storage_bytes; // by dim: a position of a run-time dim other than the token dim, of
                                // a task; null when there is none
  int32_t group; // neighbours along the last batch dim that read the same at the positions s of
                 // reductions; 1 when each reads its own
  int32_t group_rows; // rows that such tasks can be swept together with at most
} SeqKernel;

//===----------------------------------------------------------------------===//
// GPUs
//===----------------------------------------------------------------------===//

enum SeqImageKind { SEQ_IMAGE_CUBIN = 0, SEQ_IMAGE_PTX = 1 };

/// The kernels of a code in one form.
typedef struct SeqImage {
  const char *target; // "sm_90a"
  const void *bytes;  // PTX ends with a null byte
  int64_t size;
  int32_t kind;         // SeqImageKind
  int32_t architecture; // 90
  int32_t exact; // 1: for that architecture alone. 0: machine code also for later ones of the
                 // same tens, PTX for all later ones
  int32_t reserved;
} SeqImage;

/// Kernels of a library. Of the images, the first one that the driver takes for a device is used
/// there.
typedef struct SeqCode {
  const SeqImage *images;
  const char *const *kernels; // their names
  void **state;               // the runtime's; null before the first call
  int32_t image_count;
  int32_t kernel_count;
} SeqCode;

enum SeqFactorKind {
  SEQ_FACTOR_DIM = 0,   // the extent of a dim divided by `divisor`, rounded up. Of packed sequences
                        // the first batch dim is their number, the token dim all of their tokens
  SEQ_FACTOR_TILES = 1, // tiles of `divisor` tokens that do not reach from one sequence into the
                        // next; of packed ones an upper bound: tokens / divisor + sequences,
                        // or the tokens themselves
  SEQ_FACTOR_SEGMENTS = 2, // segments that each sequence is cut into
  SEQ_FACTOR_PARTS = 3,    // parts of `divisor` places of a dim, one at least
  SEQ_FACTOR_PLACES = 4, // places of a dim whose extent follows from the tokens, in all sequences.
                         // Packed ones that begin with their first token stand where the tokens
                         // do, each behind `divisor` more places than that before it; else there
                         // is room for the longest, and 2 * `divisor` places more
};

typedef struct SeqFactor {
  int32_t kind; // SeqFactorKind
  int32_t dim;
  int64_t divisor; // at least 1
} SeqFactor;

/// A number that depends on a call: the product of a constant and some factors.
typedef struct SeqAmount {
  int64_t number;
  const SeqFactor *factors;
  int32_t count;
  int32_t reserved;
} SeqAmount;

enum SeqArgumentKind {
  SEQ_ARGUMENT_FRAME = 0,     // by value: the numbers of the call, runtime/Frame.h
  SEQ_ARGUMENT_TENSOR = 1,    // pointer to the first element of the `index`-th tensor
  SEQ_ARGUMENT_CARRY_IN = 2,  // pointer to the `index`-th component, null for the initial value
  SEQ_ARGUMENT_CARRY_OUT = 3, // likewise, null when it is not wanted
  SEQ_ARGUMENT_WORKSPACE = 4, // pointer to the `index`-th region
  SEQ_ARGUMENT_SEQLENS = 5,   // pointer to cu_seqlens, null when there are none
  SEQ_ARGUMENT_PAGES = 6,     // pointer to the table of pages, likewise
};

typedef struct SeqArgument {
  int32_t kind; // SeqArgumentKind
  int32_t index;
} SeqArgument;

/// One kernel in a stream.
typedef struct SeqLaunch {
  SeqAmount grid[3];
  const SeqArgument *arguments;
  int32_t argument_count;
  int32_t kernel; // of the code
  int32_t threads[3];
  int32_t shared_bytes; // dynamic
} SeqLaunch;

/// What a call launches, one after the other, and the regions of its workspace (in bytes, each
/// aligned to SEQ_REGION_ALIGN).
typedef struct SeqSchedule {
  const SeqLaunch *launches;
  const SeqAmount *regions;
  int32_t launch_count;
  int32_t region_count;
  int64_t segment_tokens; // 0: sequences are not cut; else the least tokens of a segment
} SeqSchedule;

/// A mixer's kernels for some chips.
typedef struct SeqDeviceTarget {
  const char *name; // "sm_90a"
  const SeqCode *code;
  const SeqSchedule *forward; // one that does not cut sequences; behind it perhaps one that does,
                              // which is used where the blocks of the first one's first launch
                              // leave multiprocessors idle
  const SeqSchedule *step;    // null: the forward's, with one token
  int32_t forward_count;
  int32_t flags; // SeqKernelFlags
} SeqDeviceTarget;

/// A mixer that runs on GPUs.
typedef struct SeqDevice {
  const SeqDeviceTarget *targets; // the best first
  int32_t target_count;
  int32_t reserved;
} SeqDevice;

struct SeqMixer;

/// How a state behind a segment follows from those in front of it:
///     to = its value in the summary + the sum over transitions of (product of factors) * from
/// All are components of the summary. Factors that are no finite numbers, or large, are not used.
typedef struct SeqTransition {
  int32_t to, from;
  int32_t factors[2]; // states that hold running products; -1 for none
  uint32_t places[2]; // bit d: the factor varies over the d-th own dim of the state
} SeqTransition;

/// What a segment of tokens does to the carry of a mixer, so that segments can run at the same
/// time.
typedef struct SeqSummary {
  // The same dims, inputs and params, no outputs. Its components: the mixer's states, which start
  // from zero; states for the running products; windows; the position. As many kernels, in the same
  // order.
  const struct SeqMixer *mixer;
  const int32_t *components; // for each of them the mixer's; -1 for a product
  const SeqTransition *transitions;
  double work; // of its kernel for a token, the mixer's own being 1
  int32_t transition_count;
  int32_t backward; // 1: the states run from the last token to the first
} SeqSummary;

/// Products of numbers that a form of a mixer takes for a pair of positions (t, s), for a position
/// s whose rows are made from others, and for a position t.
typedef struct SeqWork {
  double pair, column, row;
} SeqWork;

/// A form that makes the rows that pairs read from those that the carry holds, where the mixer
/// itself reads the latter. It has the same dims, tensors and components, as many kernels in the
/// same order.
typedef struct SeqExpanded {
  const struct SeqMixer *mixer;
  SeqWork own, work; // of the mixer itself and of this form
} SeqExpanded;

/// One mixer at one choice of fixed sizes.
typedef struct SeqMixer {
  const char *name;
  const char *no_step;            // why there is no step; null when there is one
  const SeqDim *dims;             // batch dims first, in declared order
  const SeqTensor *tensors;       // inputs and params in declared order, then outputs
  const SeqComponent *components; // states in declared order, windows, rows, position
  const SeqKernel *kernels;       // the best first
  const SeqSummary *summary;      // null: tokens run one after the other only
  SeqDeriveFn derive;             // null when no dim is derived
  uint64_t shared_dims;           // bit d: what the shared kernel makes varies over batch dim d
  int32_t version;                // SEQ_DESCRIPTOR_VERSION
  int32_t dim_count;
  int32_t tensor_count;
  int32_t component_count;
  int32_t kernel_count;
  int32_t token_dim;
  const SeqExpanded *expanded; // another form, which some sequences of a call take; or null
  const SeqDevice *device; // null: it runs on the CPU. Otherwise there are no kernels, no summary
                           // and no other form above
} SeqMixer;

/// All sizes of a mixer in a library.
typedef struct SeqMixerSet {
  const char *name;
  const SeqMixer *const *sizes;
  int32_t count;
  int32_t reserved;
} SeqMixerSet;

//===----------------------------------------------------------------------===//
// What the generated wrappers call
//===----------------------------------------------------------------------===//

/// Runs the mixer over whole sequences. `tensors`: one a SeqTensor, in order.
SEQ_API int seq_rt_forward(const SeqMixerSet *set, const DLTensor *const *tensors,
                           const seq_options *options);

/// Runs it for one token a batch element; tensors are without the token dim, `carry` (one a
/// component) is updated in place.
SEQ_API int seq_rt_step(const SeqMixerSet *set, const DLTensor *const *tensors,
                        DLTensor *const *carry, const seq_options *options);

/// Loads the kernels of all sizes for a device, so that the first call has nothing to load. Does
/// nothing for mixers that run on the CPU.
SEQ_API int seq_rt_prepare(const SeqMixerSet *set, int32_t device);

/// Bytes that suffice as workspace for every size in the set. `extents`: the batch dims in order
/// (for packed sequences their number as the first), then the tokens of the longest sequence, then
/// the other run-time dims that are not derived.
SEQ_API int seq_rt_workspace_size(const SeqMixerSet *set, const int64_t *extents, int32_t threads,
                                  size_t *bytes);

/// Shape and type of a component of the carry, for the `size`-th of the sizes. `extents`: the batch
/// dims in order.
SEQ_API int seq_rt_carry_component(const SeqMixerSet *set, int32_t size, int32_t component,
                                   const int64_t *extents, seq_component *info);

#ifdef __cplusplus
}
#endif

#endif // SEQMIX_RUNTIME_DESCRIPTOR_H
