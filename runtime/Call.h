//===- Call.h - a call while it is checked and run --------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

// Private to the runtime. A call goes through Validate.c (shapes, types, layouts), Overlap.c
// (memory that must not be shared), Ranges.c (checked calls only), Plan.c (tasks and workspace) and
// Run.c (frames), in this order; nothing is written before Run.c.

#ifndef SEQMIX_RUNTIME_CALL_H
#define SEQMIX_RUNTIME_CALL_H

#include "runtime/Descriptor.h"

#include <stdbool.h>
#include <stdint.h>

enum { SEQ_MAX_DIMS = 32, SEQ_MAX_TENSORS = 64, SEQ_MAX_COMPONENTS = 64, SEQ_MAX_THREADS = 1024 };

/// A checked tensor. Its axes are those of the descriptor, so in a step it has a token axis, too
/// (extent 1). Strides count elements; an axis of extent 1 has stride 0 (1 when it is the last).
typedef struct SeqView {
  char *data;
  bool present;
  int32_t rank;
  int64_t extent[SEQ_MAX_RANK];
  int64_t stride[SEQ_MAX_RANK];
} SeqView;

/// The forms of a mixer that sequences of a call may take.
enum SeqForm { SEQ_FORM_OWN = 0, SEQ_FORM_EXPANDED = 1 };

typedef struct SeqCall {
  const SeqMixerSet *set;
  const SeqMixer *mixer;   // of the form that is planned or run
  const SeqKernel *kernel; // likewise
  const SeqMixer *whole;   // the mixer as it is called
  const seq_options *options;
  const char *function; // "forward", ...
  bool step;
  int32_t form;                  // SeqForm: that of `mixer` and `kernel`
  int32_t forcedForm;            // the one behind earlier positions; -1: what takes less work
  int32_t batchDims;             // batch dims of the mixer; they come first
  int64_t tokens;                // extent of the token dim in the buffers
  int64_t sequences;             // extent of the first batch dim (packed: number of sequences)
  int64_t longest;               // tokens of the longest sequence
  int64_t extent[SEQ_MAX_DIMS];  // of every dim; -1 while unknown
  int32_t boundBy[SEQ_MAX_DIMS]; // the tensor that says so; -1 for none
  const DLTensor *seqlens;       // null when not packed
  const DLTensor *pages;         // null unless the carry's rows stand in pages
  int64_t pageRows;              // rows of a page
  int32_t device;       // of a mixer for GPUs: the number of the one that its tensors are on
  const char *deviceOf; // the tensor that says so
  SeqView tensors[SEQ_MAX_TENSORS];
  SeqView carryIn[SEQ_MAX_COMPONENTS];
  SeqView carryOut[SEQ_MAX_COMPONENTS];
} SeqCall;

//===----------------------------------------------------------------------===//
// Error.c
//===----------------------------------------------------------------------===//

/// A piece of text of bounded length; what does not fit is cut.
typedef struct SeqText {
  char *at;
  char *end;
} SeqText;

void seqTextAppend(SeqText *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/// Forgets this thread's error text.
void seqClearError(void);

/// Sets this thread's error text to "NAME_forward: ..." and returns the status.
int seqFail(const SeqCall *call, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/// Appends "[2, 67, 4, 64]".
void seqTextShape(SeqText *text, const int64_t *shape, int32_t rank);

//===----------------------------------------------------------------------===//
// Types.c
//===----------------------------------------------------------------------===//

int64_t seqTypeBytes(int32_t dtype);
const char *seqTypeName(int32_t dtype);
DLDataType seqTypeToDLPack(int32_t dtype);
bool seqTypeMatches(int32_t dtype, DLDataType type);

/// Appends the name of any DLPack type.
void seqTextType(SeqText *text, DLDataType type);

/// The element at `data` as a double.
double seqLoadElement(int32_t dtype, const char *data);

//===----------------------------------------------------------------------===//
// Validate.c, Carry.c, Pages.c, Overlap.c, Ranges.c
//===----------------------------------------------------------------------===//

/// Checks the table of pages as a tensor; and, with the carry bound, what stands in it.
int seqCheckPageTable(SeqCall *call, const seq_options *options);
int seqCheckPages(SeqCall *call);

/// The pages of a sequence.
const int32_t *seqPageLine(const SeqCall *call, int64_t sequence);

/// What a tensor of the call is checked against.
typedef struct SeqExpected {
  const char *name;
  const SeqAxis *axes;
  int32_t rank;
  int32_t dtype;
  uint32_t skip;  // axes that the caller's tensor does not have (the token dim of a step)
  uint32_t one;   // axes of extent 1, whatever their dim (the first batch dim of packed rows)
  uint32_t dense; // axes that must be contiguous, row by row
} SeqExpected;

/// Extent of an axis under the extents of the call; -1 when its dim is not known.
int64_t seqAxisExtent(const SeqCall *call, const SeqAxis *axis);

/// Appends "[B, T, H/4, K]".
void seqTextAxes(SeqText *text, const SeqCall *call, const SeqExpected *expected);

/// Fills the view of a tensor and checks everything about it but its extents.
int seqBindView(const SeqCall *call, const SeqExpected *expected, const DLTensor *tensor,
                SeqView *view);

/// Checks the extents of a view against those of the call.
int seqCheckExtents(const SeqCall *call, const SeqExpected *expected, const SeqView *view);

/// Whether the tensor's rows are the tokens of the call (rows of a param are numbered by the
/// position instead).
bool seqHasTokens(const SeqMixer *mixer, const SeqTensor *tensor);

/// Whether the mixer has batch dims; the first one is then dim 0.
bool seqHasBatch(const SeqMixer *mixer);

/// What the `index`-th tensor of the call must be.
SeqExpected seqExpectTensor(const SeqCall *call, int32_t index);

/// Sets the call's mixer to the size that the tensors are of.
int seqSelectSize(SeqCall *call, const DLTensor *const *tensors);

/// Sets the call's kernel to the best that this CPU can run.
int seqSelectTarget(SeqCall *call);

/// Chooses the size, checks tensors, carry and options, and fills the call. `carry` is a step's.
int seqValidate(SeqCall *call, const DLTensor *const *tensors, DLTensor *const *carry,
                const seq_options *options);

/// Checks the carry; fills carryIn and carryOut. Either array may be null.
int seqValidateCarry(SeqCall *call, const DLTensor *const *in, DLTensor *const *out);

/// Whether a dim is a run-time dim other than that of the tokens.
bool seqIsOtherLength(const SeqMixer *mixer, int32_t dim);

/// Sets all extents as a sequence of `length` tokens has them.
void seqExtentsFor(const SeqCall *call, int64_t length, int64_t *extents);

/// Position of the first token of a sequence, its first row, and its tokens.
int64_t seqPosition(const SeqCall *call, int64_t sequence);
int64_t seqStartRow(const SeqCall *call, int64_t sequence);
int64_t seqTokens(const SeqCall *call, int64_t sequence);

int seqCheckOverlap(const SeqCall *call);
int seqCheckRanges(const SeqCall *call);

//===----------------------------------------------------------------------===//
// Device.c
//===----------------------------------------------------------------------===//

/// Sets the device of the call, which is that of its first tensor on one.
void seqBindDevice(SeqCall *call, const DLTensor *const *tensors);

/// Checks that a tensor is where the mixer's code runs.
int seqCheckDevice(const SeqCall *call, const char *name, const DLTensor *tensor);

/// Checks that the mixer takes packed sequences on a device.
int seqCheckDeviceSeqlens(const SeqCall *call);

/// The rest of the checks of a call on a device, none of which reads its memory.
int seqCheckDeviceCall(const SeqCall *call);

//===----------------------------------------------------------------------===//
// CudaRun.c
//===----------------------------------------------------------------------===//

/// Bytes of workspace that suffice for calls up to the extents of this one, on any device; false
/// when they are too many.
bool seqDeviceWorkspace(const SeqCall *call, int64_t *bytes);

/// Launches the kernels of a checked call.
int seqDeviceRun(const SeqCall *call);

/// Loads the kernels of the call's mixer for the call's device.
int seqDevicePrepare(const SeqCall *call);

//===----------------------------------------------------------------------===//
// Cpu.c
//===----------------------------------------------------------------------===//

/// The best kernel that this CPU can run; null when there is none, with the missing feature's name
/// in `missing`.
const SeqKernel *seqSelectKernel(const SeqMixer *mixer, const char **missing);

/// Sets round-to-nearest, no traps, denormals flushed; returns the old mode for
/// seqRestoreFloatMode.
uint32_t seqSetFloatMode(void);
void seqRestoreFloatMode(uint32_t mode);

//===----------------------------------------------------------------------===//
// Pool.c
//===----------------------------------------------------------------------===//

typedef void (*SeqTaskFn)(void *context, int64_t task, int32_t thread);

/// Runs tasks 0 .. count-1 on up to `threads` threads, this one included, and returns when all are
/// done. `thread` numbers the threads from 0; a thread runs one task at a time. When the pool is
/// busy with another call, this thread runs all of them.
void seqRunTasks(SeqTaskFn function, void *context, int64_t count, int32_t threads);

//===----------------------------------------------------------------------===//
// Plan.c, Forms.c, Segments.c, Parts.c, Run.c
//===----------------------------------------------------------------------===//

/// How the tasks of a kernel divide the features, and where what they share stands.
typedef struct SeqGrid {
  int64_t splits;      // tasks along the split dim
  int64_t groups;      // runs of the shared kernel
  int64_t sharedBytes; // one group's part
  int64_t sharedAt;
} SeqGrid;

/// Segments of sequences that run at the same time. The first of a sequence, in the direction of
/// its states, goes through the mixer's kernel at once; of those behind it, but for the last, the
/// summary is made meanwhile. What stands between two segments is a border: the states in front of
/// the later one.
typedef struct SeqSegmentPlan {
  bool split;          // false: none of what follows means anything
  int64_t most;        // segments behind the first of a sequence, at most
  int64_t tokens;      // of each of them; 0: all segments of a sequence are equally long
  int64_t least;       // tokens of a first segment
  int64_t segments;    // of all sequences
  int64_t borders;     // between them
  int64_t borderBytes; // of one: the components of the summary
  int64_t segmentsAt, summariesAt, bordersAt;
  int64_t componentAt[SEQ_MAX_COMPONENTS]; // in a border, by component of the summary
} SeqSegmentPlan;

/// Parts of the range of s of pairwise reductions that run at the same time.
typedef struct SeqPartPlan {
  bool split;
  int64_t most;    // parts of a sequence
  int64_t columns; // positions in each of them; 0: all sequences have as many parts
  int64_t group;   // tasks that are reduced together; 1: each alone
  int64_t partialAt;
} SeqPartPlan;

/// Sizes and offsets of everything in the workspace.
typedef struct SeqPlan {
  int64_t
      units; // groups of elements of the first batch dim that go through one task together, at most
  int64_t otherBatch; // product of the other batch dims
  int64_t block;      // elements of a unit at most
  bool listUnits;     // the units stand in the workspace: packed, or of different positions
  int32_t threads;
  SeqGrid own, summary; // of the mixer's kernel, of its summary's
  SeqSegmentPlan segments;
  SeqPartPlan parts;
  int64_t threadBytes;                       // one thread's part
  int64_t frameBytes, scratchAt, sequenceAt; // in it; the frame comes first
  int64_t storageAt[SEQ_MAX_DIMS];           // in it; of run-time dims other than the token dim
  int64_t threadsAt, unitsAt;
  int64_t snapshotAt[SEQ_MAX_COMPONENTS]; // -1 for none
  int64_t bytes;
} SeqPlan;

/// Some elements of the first batch dim, `first` .. `first + count - 1`.
typedef struct SeqUnit {
  int32_t first, count;
} SeqUnit;

/// Whether several tasks of a call read the same elements of the component.
bool seqComponentShared(const SeqCall *call, const SeqPlan *plan, const SeqComponent *component);

/// False when a size does not fit 63 bits. Without `exact`, positions, aliases and lengths are not
/// known yet: makes room for all.
bool seqMakePlan(const SeqCall *call, bool exact, SeqPlan *plan);

/// A sum of sizes; `overflow` once one does not fit.
typedef struct SeqSize {
  int64_t value;
  bool overflow;
} SeqSize;

int64_t seqMultiply(SeqSize *size, int64_t a, int64_t b);

/// Reserves bytes, rounded up to the alignment of workspaces, and returns where they begin.
int64_t seqReserve(SeqSize *size, int64_t bytes);

/// Threads that pay for being woken for this call.
int32_t seqUsefulThreads(const SeqCall *call, int32_t most);

/// A number from the environment, `otherwise` when it is absent or not a number in [0, most].
long seqEnvironmentNumber(const char *name, long most, long otherwise);

/// The kernel of the summary that goes with the call's.
const SeqKernel *seqSummaryKernel(const SeqCall *call);

/// Decides whether and where the sequences of a call are cut; the plan's threads and own grid are
/// known.
void seqPlanSegments(const SeqCall *call, bool exact, SeqSize *size, SeqPlan *plan);

/// Sequences as long as the longest that hold the tokens of the call.
double seqWholeSequences(const SeqCall *call);

/// Decides whether the range of s is taken in parts; likewise.
void seqPlanParts(const SeqCall *call, bool exact, SeqSize *size, SeqPlan *plan);

/// Parts of a sequence.
int64_t seqPartsOf(const SeqCall *call, const SeqPartPlan *plan, int64_t sequence);

/// Segments behind the first of a sequence of so many tokens.
int64_t seqLaterSegments(const SeqSegmentPlan *plan, int64_t tokens);

/// The plans of a call's forms, which run one after the other in one workspace.
typedef struct SeqPlans {
  bool isUsed[2]; // whether the form has sequences; the mixer's own and the expanded one
  SeqPlan plan[2];
  int64_t bytes;
} SeqPlans;

/// As seqMakePlan, for all forms.
bool seqMakePlans(SeqCall *call, bool exact, SeqPlans *plans);

/// The form that a sequence of so many tokens behind `position` others takes.
int32_t seqFormFor(const SeqCall *call, int64_t position, int64_t tokens);

/// Makes a form that of the call.
void seqEnterForm(SeqCall *call, int32_t form);

/// Whether the form that the call stands at is run for a sequence.
bool seqTakes(const SeqCall *call, int64_t sequence);

/// Positions for which storage is kept where the longest sequence of the form needs most. Without
/// `exact` the tokens of a query are all positions.
int64_t seqKeptPositions(const SeqCall *call, bool exact);

/// Runs the form of a validated call that it stands at in its workspace.
void seqRun(const SeqCall *call, const SeqPlan *plan, char *workspace);

/// Writes the positions behind a call.
void seqWritePositions(const SeqCall *call);

#endif // SEQMIX_RUNTIME_CALL_H
