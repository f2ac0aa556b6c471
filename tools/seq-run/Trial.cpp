//===- Trial.cpp --------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Trial.h"

#include "tools/seq-run/Draw.h"
#include "tools/seq-run/Problem.h"
#include "tools/seq-run/Workspace.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>
#include <cstdlib>
#include <fmt/format.h>
#include <numeric>

using namespace llvm;
using seqmix::reference::Array;
using seqmix::reference::Arrays;
using seqmix::reference::RunResult;

namespace seqmix::run {

bool TrialResult::passed() const {
  return all_of(outcomes, [](const Outcome &outcome) { return outcome.passed; });
}

static reference::RunOptions oracleOptions(const Problem &problem, const Arrays &carry) {
  reference::RunOptions options;
  options.carry = carry;
  options.extents = problem.sizes;
  options.rows = rowsOf(problem);
  if (!problem.lengths.empty())
    options.cuSeqlens = startsOf(problem.lengths);
  return options;
}

Expected<Trial> Trial::prepare(const Problem &problem) {
  Trial trial;
  trial.problem = problem;
  trial.inputs = drawInputs(problem);
  if (problem.hasRandomCarry)
    trial.carry = drawCarry(problem);
  Expected<RunResult> want =
      reference::interpret(problem.mixer, trial.inputs, oracleOptions(problem, trial.carry));
  if (!want)
    return want.takeError();
  trial.want = std::move(*want);
  return std::move(trial);
}

static std::string carryName(const std::string &component) { return "carry " + component; }

/// The largest change of an array, relative to its largest magnitude.
static double movement(const Array &moved, const Array &from) {
  double largest = 0, change = 0;
  for (auto [was, is] : zip_equal(from.values, moved.values)) {
    if (!std::isfinite(was) || !std::isfinite(is))
      continue;
    largest = std::max(largest, std::fabs(was));
    change = std::max(change, std::fabs(is - was));
  }
  return largest > 0 ? change / largest : 0;
}

Expected<std::map<std::string, double>> Trial::sensitivity(double relative) const {
  std::map<std::string, double> most;
  for (int round = 0; round < 3; ++round) {
    Arrays moved = inputs;
    for (const TensorPlan &tensor : problem.plan.tensors) {
      if (tensor.role == SEQ_ROLE_OUTPUT || tensor.dtype == SEQ_I32 || tensor.dtype == SEQ_BOOL)
        continue;
      Stream stream(fmt::format("{}/moved/{}/{}", problem.name, round, tensor.name));
      for (double &value : moved[tensor.name].values)
        value *= 1 + relative * stream.uniform(-1, 1);
    }
    reference::RunOptions options = oracleOptions(problem, carry);
    options.noise = relative;
    options.noiseSeed = round;
    Expected<RunResult> result = reference::interpret(problem.mixer, moved, options);
    if (!result)
      return result.takeError();
    auto take = [&](const std::string &name, const Array &array, const Array &from) {
      most[name] = std::max(most[name], movement(array, from));
    };
    for (const auto &[name, array] : want.outputs)
      take(name, result->outputs.at(name), array);
    for (const auto &[name, array] : want.carry)
      take(carryName(name), result->carry.at(name), array);
  }
  return most;
}

//===----------------------------------------------------------------------===//
// Running compiled code
//===----------------------------------------------------------------------===//

/// One call of NAME_forward.
struct ForwardCall {
  Arrays inputs;
  Arrays carry; ///< empty: none is given
  std::vector<int64_t> lengths;
  std::vector<int64_t> extents;
  int threads = 1;
  TensorBuffer::Layout layout = TensorBuffer::Dense;
  bool hasWorkspace = false;
  bool isInPlace = false; ///< the carry behind the call stands where the one in front of it does
};

class TrialRunner {
public:
  TrialRunner(const Trial &trial, const CompiledMixer &compiled)
      : trial(trial), compiled(compiled), problem(trial.problem), plan(problem.plan) {}

  TrialResult run();

private:
  Expected<RunResult> forward(const ForwardCall &call);
  Error takeResults(const MixerPlan &plan, std::vector<TensorBuffer> &tensors,
                    std::vector<TensorBuffer> &carry, RunResult &result);
  Expected<RunResult> steps();
  Expected<RunResult> parts(const std::vector<std::vector<int64_t>> &lengthsOfParts);
  Expected<RunResult> separate();
  Expected<RunResult> packed();

  ForwardCall wholeCall() const;
  ForwardCall partCall(const std::vector<int64_t> &tokens, const std::vector<int64_t> &lengths,
                       int64_t perSequence) const;
  void putTokens(RunResult &whole, const RunResult &part, const std::vector<int64_t> &tokens,
                 int64_t sequence = -1) const;
  RunResult emptyResult() const;
  bool canBePacked() const;
  int64_t tokens() const { return extents[plan.tokenDim]; }
  int64_t sequences() const {
    return !problem.lengths.empty() ? problem.lengths.size() : hasFirstBatch(plan) ? extents[0] : 1;
  }
  SeqDType compute() const { return problem.mixer.getCompute().isF64() ? SEQ_F64 : SEQ_F32; }

  void addCompared(const char *way, Expected<RunResult> got);
  void addIdentical(const char *way, Expected<RunResult> got, const RunResult &same);

  const Trial &trial;
  const CompiledMixer &compiled;
  mutable Problem problem;
  const MixerPlan &plan;
  std::vector<int64_t> extents;
  TrialResult result;
};

static unsigned denseAxes(const MixerPlan &plan, const TensorPlan &tensor) {
  if (tensor.axes.empty())
    return 0;
  const AxisPlan &last = tensor.axes.back();
  return last.dim < 0 || plan.dims[last.dim].kind == SEQ_DIM_FIXED;
}

static unsigned denseAxes(const ComponentPlan &component) {
  return count_if(component.axes, [](const AxisPlan &axis) { return axis.slot >= 0; });
}

static std::vector<DLTensor *> pointers(std::vector<TensorBuffer> &buffers) {
  std::vector<DLTensor *> tensors;
  for (TensorBuffer &buffer : buffers)
    tensors.push_back(buffer.tensor());
  return tensors;
}

Error TrialRunner::takeResults(const MixerPlan &plan, std::vector<TensorBuffer> &tensors,
                               std::vector<TensorBuffer> &carry, RunResult &result) {
  for (auto [tensor, buffer] : zip_equal(plan.tensors, tensors)) {
    if (!buffer.hasIntactGaps())
      return createStringError(
          fmt::format("memory between the elements of {} was written", tensor.name));
    if (tensor.role == SEQ_ROLE_OUTPUT)
      result.outputs[tensor.name] = buffer.load();
  }
  for (auto [component, buffer] : zip_equal(plan.components, carry)) {
    if (!buffer.hasIntactGaps())
      return createStringError(
          fmt::format("memory between the elements of the carry's {} was written", component.name));
    result.carry[component.name] = buffer.load();
  }
  clearUnusedRows(plan, result.carry);
  return Error::success();
}

Expected<RunResult> TrialRunner::forward(const ForwardCall &call) {
  int64_t sequenceCount = !call.lengths.empty() ? call.lengths.size()
                          : hasFirstBatch(plan) ? call.extents[0]
                                                : 1;
  std::vector<TensorBuffer> tensors, carryIn, carryOut;
  for (const TensorPlan &tensor : plan.tensors) {
    bool isOutput = tensor.role == SEQ_ROLE_OUTPUT;
    tensors.emplace_back(tensor.dtype,
                         isOutput ? outputShape(plan, tensor, call.extents, sequenceCount)
                                  : call.inputs.at(tensor.name).shape,
                         call.layout, denseAxes(plan, tensor));
    if (!isOutput)
      tensors.back().store(call.inputs.at(tensor.name));
  }
  for (const ComponentPlan &component : plan.components) {
    auto shape = shapeOf(plan, component, call.extents, sequenceCount, rowsOf(problem));
    carryOut.emplace_back(component.dtype, shape, call.layout, denseAxes(component));
    if (call.carry.empty())
      continue;
    carryIn.emplace_back(component.dtype, shape, call.layout, denseAxes(component));
    carryIn.back().store(call.carry.at(component.name));
  }
  std::vector<DLTensor *> tensorList = pointers(tensors), in = pointers(carryIn),
                          out = pointers(carryOut);
  seq_options options = SEQ_OPTIONS_INIT;
  options.threads = call.threads;
  options.carry_in = call.carry.empty() ? nullptr : in.data();
  options.carry_out = call.isInPlace ? in.data() : out.data();
  options.carry_count = static_cast<int32_t>(plan.components.size());
  std::optional<TensorBuffer> starts;
  if (!call.lengths.empty()) {
    std::vector<int64_t> list = startsOf(call.lengths);
    Array array({static_cast<int64_t>(list.size())});
    llvm::copy(list, array.values.begin());
    starts.emplace(SEQ_I32, array.shape);
    starts->store(array);
    options.cu_seqlens = starts->tensor();
  }
  std::unique_ptr<Workspace> workspace;
  if (call.hasWorkspace || compiled.isOnDevice()) {
    // Lengths that follow from the tokens count those of earlier calls; on a device, which has the
    // positions, all that the carry has room for.
    int64_t before = 0;
    bool grows = llvm::any_of(plan.dims, [](const DimPlan &dim) { return !dim.by.empty(); });
    const int64_t room =
        grows && compiled.isOnDevice() && !call.carry.empty() ? rowsOf(problem) : 0;
    if (auto position = call.carry.find("position"); grows && position != call.carry.end())
      for (double value : position->second.values)
        before = std::max(before, static_cast<int64_t>(value));
    std::vector<int64_t> query;
    for (int32_t dim : workspaceDims(plan)) {
      bool isPacked = !call.lengths.empty();
      query.push_back(isPacked && dim == 0 && hasFirstBatch(plan) ? sequenceCount
                      : isPacked && dim == plan.tokenDim          ? *max_element(call.lengths)
                                                                  : call.extents[dim]);
      if (dim == plan.tokenDim)
        query.back() = std::max(query.back() + before, room);
    }
    Expected<size_t> bytes = compiled.workspaceSize(query, call.threads);
    if (!bytes)
      return bytes.takeError();
    // A device's call needs it where one on the CPU would allocate.
    if (call.hasWorkspace || *bytes > 0) {
      workspace = std::make_unique<Workspace>(*bytes);
      options.workspace = workspace->get();
      options.workspace_bytes = *bytes;
    }
  }
  if (Error error = compiled.forward(tensorList, &options))
    return std::move(error);
  if (workspace && !workspace->isIntact())
    return createStringError("memory behind the workspace was written");
  RunResult taken;
  if (Error error = takeResults(plan, tensors, call.isInPlace ? carryIn : carryOut, taken))
    return std::move(error);
  return std::move(taken);
}

//===----------------------------------------------------------------------===//
// Ways to compute the same
//===----------------------------------------------------------------------===//

ForwardCall TrialRunner::wholeCall() const {
  return {trial.inputs, trial.carry, problem.lengths, extents};
}

/// A call on some of the tokens: their numbers in the buffers.
ForwardCall TrialRunner::partCall(const std::vector<int64_t> &tokens,
                                  const std::vector<int64_t> &lengths, int64_t perSequence) const {
  ForwardCall call = wholeCall();
  call.lengths = lengths;
  call.extents[plan.tokenDim] = lengths.empty() ? perSequence : tokens.size();
  for (const TensorPlan &tensor : plan.tensors)
    if (tensor.role == SEQ_ROLE_INPUT && hasTokens(plan, tensor))
      call.inputs[tensor.name] =
          takeAlong(trial.inputs.at(tensor.name), axisOf(tensor.axes, plan.tokenDim), tokens);
  return call;
}

RunResult TrialRunner::emptyResult() const {
  RunResult whole;
  for (const TensorPlan &tensor : plan.tensors)
    if (tensor.role == SEQ_ROLE_OUTPUT)
      whole.outputs[tensor.name] = Array(outputShape(plan, tensor, extents, sequences()), NAN);
  whole.carry = trial.carry.empty() ? initialCarry(problem, sequences()) : trial.carry;
  clearUnusedRows(plan, whole.carry);
  return whole;
}

/// Outputs without tokens have one value for each packed sequence.
void TrialRunner::putTokens(RunResult &whole, const RunResult &part,
                            const std::vector<int64_t> &tokens, int64_t sequence) const {
  for (const TensorPlan &tensor : plan.tensors) {
    if (tensor.role != SEQ_ROLE_OUTPUT)
      continue;
    Array &output = whole.outputs[tensor.name];
    if (hasTokens(plan, tensor))
      putAlong(output, axisOf(tensor.axes, plan.tokenDim), tokens, part.outputs.at(tensor.name));
    else if (sequence >= 0 && axisOf(tensor.axes, 0) == 0 && hasFirstBatch(plan))
      putAlong(output, 0, {sequence}, part.outputs.at(tensor.name));
    else
      output = part.outputs.at(tensor.name);
  }
}

/// Prefill in several calls, the carry going from one to the next. Each part has a number of
/// tokens a sequence (one number for all where they are not packed).
Expected<RunResult> TrialRunner::parts(const std::vector<std::vector<int64_t>> &lengthsOfParts) {
  RunResult whole = emptyResult();
  std::vector<int64_t> at = startsOf(problem.lengths);
  if (problem.lengths.empty())
    at = {0};
  Arrays carry = trial.carry;
  for (const std::vector<int64_t> &lengths : lengthsOfParts) {
    std::vector<int64_t> tokens;
    for (auto [sequence, length] : enumerate(lengths)) {
      for (int64_t token = 0; token < length; ++token)
        tokens.push_back(at[sequence] + token);
      at[sequence] += length;
    }
    ForwardCall call =
        partCall(tokens, problem.lengths.empty() ? std::vector<int64_t>() : lengths, lengths[0]);
    call.carry = carry;
    Expected<RunResult> part = forward(call);
    if (!part)
      return part.takeError();
    putTokens(whole, *part, tokens);
    carry = part->carry;
  }
  whole.carry = carry;
  return std::move(whole);
}

/// One token at a time, the carry in place.
Expected<RunResult> TrialRunner::steps() {
  RunResult whole = emptyResult();
  std::vector<TensorBuffer> carry;
  for (const ComponentPlan &component : plan.components) {
    const Array &start = whole.carry.at(component.name);
    carry.emplace_back(component.dtype, start.shape, TensorBuffer::Strided, denseAxes(component));
    carry.back().store(start);
  }
  seq_options options = SEQ_OPTIONS_INIT;
  options.threads = 1;
  std::vector<int64_t> one = extents;
  one[plan.tokenDim] = 1;
  std::unique_ptr<Workspace> workspace;
  if (compiled.isOnDevice()) {
    std::vector<int64_t> query;
    for (int32_t dim : workspaceDims(plan)) // the carry has room for more than one token
      query.push_back(dim == plan.tokenDim ? rowsOf(problem) : one[dim]);
    Expected<size_t> bytes = compiled.workspaceSize(query, options.threads);
    if (!bytes)
      return bytes.takeError();
    if (*bytes > 0) {
      workspace = std::make_unique<Workspace>(*bytes);
      options.workspace = workspace->get();
      options.workspace_bytes = *bytes;
    }
  }
  for (int64_t token = 0; token < tokens(); ++token) {
    std::vector<TensorBuffer> tensors;
    for (const TensorPlan &tensor : plan.tensors) {
      bool overTokens = hasTokens(plan, tensor);
      int axis = axisOf(tensor.axes, plan.tokenDim);
      bool isOutput = tensor.role == SEQ_ROLE_OUTPUT;
      Array array = isOutput     ? Array(shapeOf(plan, tensor, one))
                    : overTokens ? takeAlong(trial.inputs.at(tensor.name), axis, {token})
                                 : trial.inputs.at(tensor.name);
      if (overTokens)
        array.shape.erase(array.shape.begin() + axis);
      tensors.emplace_back(tensor.dtype, array.shape);
      if (!isOutput)
        tensors.back().store(array);
    }
    std::vector<DLTensor *> tensorList = pointers(tensors), carryList = pointers(carry);
    if (Error error = compiled.step(tensorList, carryList, &options))
      return createStringError(fmt::format("token {}: {}", token, toString(std::move(error))));
    RunResult part;
    if (Error error = takeResults(plan, tensors, carry, part))
      return std::move(error);
    for (const TensorPlan &tensor : plan.tensors)
      if (tensor.role == SEQ_ROLE_OUTPUT && hasTokens(plan, tensor)) {
        Array &output = part.outputs[tensor.name];
        output.shape.insert(output.shape.begin() + axisOf(tensor.axes, plan.tokenDim), 1);
      }
    putTokens(whole, part, {token});
    whole.carry = part.carry;
  }
  return std::move(whole);
}

/// Packed sequences one by one, as calls with one batch element.
Expected<RunResult> TrialRunner::separate() {
  RunResult whole = emptyResult();
  std::vector<int64_t> starts = startsOf(problem.lengths);
  for (auto [sequence, length] : enumerate(problem.lengths)) {
    std::vector<int64_t> tokens(length);
    std::iota(tokens.begin(), tokens.end(), starts[sequence]);
    ForwardCall call = partCall(tokens, {}, length);
    for (auto &[name, array] : call.carry)
      array = takeAlong(array, 0, {static_cast<int64_t>(sequence)});
    Expected<RunResult> part = forward(call);
    if (!part)
      return part.takeError();
    putTokens(whole, *part, tokens, static_cast<int64_t>(sequence));
    for (auto &[name, array] : whole.carry)
      putAlong(array, 0, {static_cast<int64_t>(sequence)}, part->carry.at(name));
  }
  return std::move(whole);
}

/// Whether the batch elements may be packed as sequences: [B, T, ...] is [1, B*T, ...].
bool TrialRunner::canBePacked() const {
  if (!hasFirstBatch(plan) || extents[0] == 0)
    return false;
  auto isFirst = [](const AxisPlan &axis) { return axis.dim == 0 && axis.div == 1; };
  // On a device lengths that follow from those of sequences are not known to the host.
  auto isDerived = [&](const AxisPlan &axis) {
    return axis.dim >= 0 && !plan.dims[axis.dim].by.empty();
  };
  if (compiled.isOnDevice() && any_of(plan.tensors, [&](const TensorPlan &tensor) {
        return any_of(tensor.axes, isDerived);
      }))
    return false;
  for (const TensorPlan &tensor : plan.tensors)
    if (hasTokens(plan, tensor) &&
        (!isFirst(tensor.axes[0]) || count_if(tensor.axes, [&](const AxisPlan &axis) {
                                       return axis.dim == plan.tokenDim;
                                     }) > 1))
      return false;
  return all_of(plan.components,
                [&](const ComponentPlan &component) { return isFirst(component.axes[0]); });
}

Expected<RunResult> TrialRunner::packed() {
  ForwardCall call = wholeCall();
  call.lengths.assign(extents[0], tokens());
  call.extents[plan.tokenDim] = extents[0] * tokens();
  call.extents[0] = 1;
  auto pack = [&](const TensorPlan &tensor, Array &array, bool back) {
    if (!hasTokens(plan, tensor))
      return;
    array.shape[0] = back ? extents[0] : 1;
    array.shape[1] = back ? tokens() : extents[0] * tokens();
  };
  for (const TensorPlan &tensor : plan.tensors)
    if (tensor.role != SEQ_ROLE_OUTPUT)
      pack(tensor, call.inputs[tensor.name], false);
  Expected<RunResult> result = forward(call);
  if (!result)
    return result.takeError();
  for (const TensorPlan &tensor : plan.tensors)
    if (tensor.role == SEQ_ROLE_OUTPUT)
      pack(tensor, result->outputs[tensor.name], true);
  return result;
}

//===----------------------------------------------------------------------===//
// Outcomes
//===----------------------------------------------------------------------===//

void TrialRunner::addCompared(const char *way, Expected<RunResult> got) {
  Outcome outcome;
  outcome.way = way;
  if (!got) {
    outcome.passed = false;
    outcome.error = INFINITY;
    outcome.detail = toString(got.takeError());
    result.outcomes.push_back(outcome);
    return;
  }
  auto add = [&](const std::string &name, const Array &array, const Array &want, SeqDType storage,
                 double &error) {
    Difference difference = compare(name, array, want, Tolerance::of(storage, compute()));
    error = std::max(error, difference.error);
    if (!difference.isWithin)
      outcome.beyond[name] = difference.error;
    outcome.passed &= difference.isWithin;
    if (outcome.detail.empty())
      outcome.detail = difference.detail;
  };
  for (const TensorPlan &tensor : plan.tensors)
    if (tensor.role == SEQ_ROLE_OUTPUT)
      add(tensor.name, got->outputs.at(tensor.name), trial.want.outputs.at(tensor.name),
          tensor.dtype, outcome.error);
  for (const ComponentPlan &component : plan.components)
    add(carryName(component.name), got->carry.at(component.name),
        trial.want.carry.at(component.name), component.dtype, outcome.carryError);
  result.outcomes.push_back(outcome);
}

void TrialRunner::addIdentical(const char *way, Expected<RunResult> got, const RunResult &same) {
  Outcome outcome;
  outcome.way = way;
  auto add = [&](const std::string &name, const Array &array, const Array &want) {
    Difference difference = compareBits(name, array, want);
    outcome.passed &= difference.isWithin;
    if (outcome.detail.empty())
      outcome.detail = difference.detail;
  };
  if (!got) {
    outcome.passed = false;
    outcome.detail = toString(got.takeError());
  } else {
    for (const auto &[name, want] : same.outputs)
      add(name, got->outputs.at(name), want);
    for (const auto &[name, want] : same.carry)
      add("carry " + name, got->carry.at(name), want);
  }
  result.outcomes.push_back(outcome);
}

TrialResult TrialRunner::run() {
  extents = extentsOf(problem);
  ForwardCall whole = wholeCall();
  Expected<RunResult> first = forward(whole);
  if (!first) {
    addCompared("forward", first.takeError());
    return std::move(result);
  }
  RunResult base = std::move(*first);
  addCompared("forward", RunResult(base));
  bool isPacked = !problem.lengths.empty();
  if (compiled.hasStep() && !plan.noStep) {
    if (!isPacked)
      addCompared("step", steps());
    std::vector<std::vector<int64_t>> thirds(2), ragged(3);
    for (int64_t length : isPacked ? problem.lengths : std::vector<int64_t>{tokens()}) {
      thirds[0].push_back(length / 3);
      thirds[1].push_back(length - length / 3);
      ragged[0].push_back(std::min<int64_t>(length, 1));
      ragged[1].push_back(std::min<int64_t>(length - ragged[0].back(), 16));
      ragged[2].push_back(length - ragged[0].back() - ragged[1].back());
    }
    addCompared("split", parts(thirds));
    addCompared("split", parts(ragged));
  }
  if (isPacked)
    addCompared("separate", separate());
  else if (canBePacked())
    addCompared("packed", packed());

  ForwardCall strided = whole;
  strided.layout = TensorBuffer::Strided;
  if (strided.carry.empty())
    strided.carry = initialCarry(problem, sequences());
  strided.isInPlace = true;
  addCompared("strides", forward(strided));

  ForwardCall threads = whole;
  threads.threads = 2;
  addIdentical("threads", forward(threads), base);
  ForwardCall given = whole;
  given.hasWorkspace = true;
  addIdentical("workspace", forward(given), base);

  bool divided = any_of(plan.tensors, [](const TensorPlan &tensor) {
    return any_of(tensor.axes, [](const AxisPlan &a) { return a.dim == 0 && a.div > 1; });
  });
  if (!isPacked && hasFirstBatch(plan) && extents[0] > 1 && !divided) {
    // The last batch element alone.
    ForwardCall alone = whole;
    RunResult slot = base;
    std::vector<int64_t> last{extents[0] - 1};
    for (const TensorPlan &tensor : plan.tensors)
      if (int axis = axisOf(tensor.axes, 0); axis >= 0) {
        Array &array =
            tensor.role == SEQ_ROLE_OUTPUT ? slot.outputs[tensor.name] : alone.inputs[tensor.name];
        array = takeAlong(array, axis, last);
      }
    for (const ComponentPlan &component : plan.components)
      if (int axis = axisOf(component.axes, 0); axis >= 0) {
        Array &array = slot.carry[component.name];
        array = takeAlong(array, axis, last);
        if (!alone.carry.empty()) {
          Array &start = alone.carry[component.name];
          start = takeAlong(start, axis, last);
        }
      }
    alone.extents[0] = 1;
    addIdentical("slot", forward(alone), slot);
  }
  return std::move(result);
}

TrialResult Trial::run(const CompiledMixer &compiled) const {
  return TrialRunner(*this, compiled).run();
}

} // namespace seqmix::run
