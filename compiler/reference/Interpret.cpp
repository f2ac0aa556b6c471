//===- Interpret.cpp - the oracle ------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/reference/Interpret.h"

#include "compiler/reference/Buffers.h"
#include "compiler/reference/Program.h"
#include "dialect/Carry.h"

#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/AffineMap.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

using namespace mlir;

namespace seqmix::reference {
namespace {

/// One sequence of one batch element.
struct Task {
  std::map<std::string, int64_t> batchIndex;      // in inputs and outputs
  std::map<std::string, int64_t> carryBatchIndex; // in the carry
  int64_t sequence = 0;                           // place of its position
  int64_t begin = 0;                              // its first token in the buffers
  int64_t tokens = 0;
};

class Interpreter {
public:
  Interpreter(seq::MixerOp mixer, const Arrays &inputs, const RunOptions &options)
      : mixer(mixer), inputs(inputs), options(options), program(mixer),
        inputList(inputBuffers(mixer)), outputList(outputBuffers(mixer)), time(tokenDim(mixer)) {
    llvm::append_range(components, seq::carryComponents(mixer));
  }

  llvm::Expected<RunResult> run();

private:
  llvm::Error checkPacked();
  llvm::Error checkCarry();
  llvm::Error checkPosition(const Task &task);
  std::vector<int64_t> carryShape(const seq::CarryComponent &component) const;
  std::vector<Task> tasks() const;
  void allocateResults();

  int64_t position(const Task &task) const;
  void runTask(const Task &task);
  void setDims(const Task &task, Environment &env) const;
  void setInputs(const Task &task, Environment &env) const;
  void setStates(const Task &task, Environment &env) const;
  void setDefinitions(const Task &task, Environment &env) const;
  void startFromCarry(const Task &task, Environment &env) const;
  void runGroup(const Program::Group &group, const Task &task, Environment &env) const;
  bool runsBackward(const Program::Group &group) const;
  void takeOutputs(const Task &task, Environment &env);
  void takeCarry(const Task &task, Environment &env);

  bool isOverTokens(ArrayAttr dims) const {
    return !dims.empty() && cast<FlatSymbolRefAttr>(dims[0]).getValue() == time;
  }
  bool isOverTokens(const Buffer &output) const {
    return !output.dims.empty() && output.dims[0] == time;
  }
  /// Earlier tokens that stand in front of a symbol's rows: of a window, or all.
  int64_t earlierRows(llvm::StringRef symbol, const Task &task) const;
  /// Where the part of a component for one batch element stands, and its elements.
  int64_t carryOffset(const seq::CarryComponent &component, const Task &task) const;
  int64_t batchOffset(const seq::CarryComponent &component, const Task &task) const;
  void forCarriedRows(const seq::CarryComponent &component, llvm::ArrayRef<int64_t> shape,
                      const Task &task, int64_t end,
                      llvm::function_ref<void(int64_t, int64_t)> visit) const;
  /// The rows that data-dependent reads are clamped to: with those of earlier calls, if they are
  /// carried.
  Range clampedTo(llvm::StringRef symbol, const Task &task, int64_t window, int64_t rows) const;
  /// Rows that a component has room for when the caller gives none of it.
  int64_t longest() const;
  /// Extents of dims that follow from the tokens are those of the longest sequence.
  void deriveExtents();
  int64_t longestPosition() const;
  static int64_t elements(const seq::CarryComponent &component);
  /// The row of a state's variable that holds the value before the first token that is visited.
  static int64_t initialRow(seq::StateOp state, int64_t tokens) {
    return state.getDirection() == seq::Direction::Forward ? 0 : tokens;
  }

  mutable seq::MixerOp mixer; // a handle, whose lookups are not const
  const Arrays &inputs;
  const RunOptions &options;
  Program program;
  std::vector<Buffer> inputList, outputList;
  std::vector<seq::CarryComponent> components;
  std::string time;
  Extents extents;
  std::string firstBatch; // empty without batch dims
  int64_t sequences = 1;
  RunResult result;
};

//===----------------------------------------------------------------------===//
// What the call is
//===----------------------------------------------------------------------===//

llvm::Error Interpreter::checkPacked() {
  if (options.cuSeqlens.empty())
    return llvm::Error::success();
  if (firstBatch.empty() || time.empty())
    return makeError("packed sequences need a batch dim and a token dim");
  if (extents[firstBatch] != 1)
    return makeError(fmt::format("with packed sequences {} must be 1 in the buffers, it is {}",
                                 firstBatch, extents[firstBatch]));
  if (options.cuSeqlens.front() != 0 || options.cuSeqlens.back() != extents[time] ||
      !llvm::is_sorted(options.cuSeqlens))
    return makeError(
        fmt::format("the starts of packed sequences must rise from 0 to {}", extents[time]));
  return llvm::Error::success();
}

std::vector<int64_t> Interpreter::carryShape(const seq::CarryComponent &component) const {
  std::vector<int64_t> shape;
  for (seq::BatchAttr batch : component.batch) {
    std::string dim = batch.getDim().getValue().str();
    shape.push_back((dim == firstBatch ? sequences : extents.at(dim)) / batch.getDiv());
  }
  size_t rows = shape.size();
  llvm::append_range(shape, component.shape);
  if (component.kind == seq::CarryComponent::Rows && shape[rows] < 0) {
    auto given = options.carry.find(component.name);
    bool isGiven = given != options.carry.end() && given->second.shape.size() == shape.size();
    shape[rows] = std::max({isGiven ? given->second.shape[rows] : 0, options.rows, longest()});
  }
  return shape;
}

int64_t Interpreter::longestPosition() const {
  int64_t most = 0;
  for (const Task &task : tasks())
    most = std::max(most, position(task));
  return most;
}

void Interpreter::deriveExtents() {
  for (auto dim : mixer.getOps<seq::DimOp>())
    if (dim.getBy())
      extents[dim.getSymName().str()] = derivedExtent(
          dim, [&](llvm::StringRef of) { return of == time ? longest() : extents.at(of.str()); });
}

int64_t Interpreter::longest() const {
  int64_t most = 0;
  for (const Task &task : tasks())
    most = std::max(most, position(task) + task.tokens);
  return most;
}

llvm::Error Interpreter::checkCarry() {
  auto check = [&](const std::string &name, const std::vector<int64_t> &shape) -> llvm::Error {
    auto found = options.carry.find(name);
    if (found == options.carry.end() || found->second.shape == shape)
      return llvm::Error::success();
    return makeError(fmt::format("component '{}' of the carry has shape [{}]; expected [{}]", name,
                                 fmt::join(found->second.shape, ", "), fmt::join(shape, ", ")));
  };
  for (const seq::CarryComponent &component : components) {
    std::vector<int64_t> shape = carryShape(component);
    auto given = options.carry.find(component.name);
    size_t rows = component.batch.size();
    // As many rows as there are tokens so far, at least.
    if (component.kind == seq::CarryComponent::Rows && component.shape[0] < 0 &&
        given != options.carry.end() && given->second.shape.size() == shape.size() &&
        given->second.shape[rows] >= longestPosition())
      shape[rows] = given->second.shape[rows];
    if (llvm::Error error = check(component.name, shape))
      return error;
  }
  return check("position", {sequences});
}

/// What a param must reach, and what the carry cannot hold.
llvm::Error Interpreter::checkPosition(const Task &task) {
  for (const Buffer &buffer : inputList)
    for (auto [axis, extent] : llvm::zip_equal(buffer.axes, inputs.at(buffer.name).shape))
      if (buffer.isParam && axis.dim == time && extent < position(task) + task.tokens)
        return makeError(fmt::format("param '{}' has {} elements along {}; the sequence is {} long",
                                     buffer.name, extent, time, position(task) + task.tokens));
  if (position(task) == 0)
    return llvm::Error::success();
  if ((seq::reducesOverTokens(mixer) || seq::readsFarTokens(mixer)) && !seq::carriesRows(mixer))
    return makeError(
        fmt::format("a sequence whose equations read all positions of {} must start at "
                    "position 0, not {}",
                    time, position(task)));
  return llvm::Error::success();
}

std::vector<Task> Interpreter::tasks() const {
  std::vector<Task> list;
  for (int64_t sequence = 0; sequence < sequences; ++sequence) {
    Task task;
    task.sequence = sequence;
    task.tokens = time.empty() ? 1 : extents.at(time);
    if (!firstBatch.empty())
      task.batchIndex[firstBatch] = task.carryBatchIndex[firstBatch] = sequence;
    if (!options.cuSeqlens.empty()) {
      task.batchIndex[firstBatch] = 0;
      task.begin = options.cuSeqlens[sequence];
      task.tokens = options.cuSeqlens[sequence + 1] - task.begin;
    }
    list.push_back(task);
  }
  for (auto dim : mixer.getOps<seq::DimOp>()) {
    std::string name = dim.getSymName().str();
    if (dim.getKind() != seq::DimKind::Batch || name == firstBatch)
      continue;
    std::vector<Task> expanded;
    for (const Task &task : list)
      for (int64_t element = 0; element < extents.at(name); ++element) {
        expanded.push_back(task);
        expanded.back().batchIndex[name] = expanded.back().carryBatchIndex[name] = element;
      }
    list = std::move(expanded);
  }
  return list;
}

void Interpreter::allocateResults() {
  for (const Buffer &buffer : outputList) {
    std::vector<int64_t> shape;
    // What has no tokens is there once a sequence.
    for (const Axis &axis : buffer.axes)
      shape.push_back(
          (axis.dim == firstBatch && !isOverTokens(buffer) ? sequences : extents.at(axis.dim)) /
          axis.div);
    result.outputs[buffer.name] = Array(shape);
  }
  for (const seq::CarryComponent &component : components)
    result.carry[component.name] = Array(carryShape(component), component.init);
  result.carry["position"] = Array({sequences});
}

llvm::Expected<RunResult> Interpreter::run() {
  llvm::Expected<Extents> inferred = inferExtents(mixer, inputs, options.extents);
  if (!inferred)
    return inferred.takeError();
  extents = *inferred;
  for (auto dim : mixer.getOps<seq::DimOp>())
    if (dim.getKind() == seq::DimKind::Batch && firstBatch.empty())
      firstBatch = dim.getSymName().str();
  if (llvm::Error error = checkPacked())
    return error;
  sequences = !options.cuSeqlens.empty() ? options.cuSeqlens.size() - 1
              : firstBatch.empty()       ? 1
                                         : extents[firstBatch];
  if (!options.cuSeqlens.empty())
    deriveExtents();
  if (llvm::Error error = checkCarry())
    return error;
  allocateResults();
  for (const Task &task : tasks()) {
    if (llvm::Error error = checkPosition(task))
      return error;
    runTask(task);
  }
  return std::move(result);
}

//===----------------------------------------------------------------------===//
// One sequence
//===----------------------------------------------------------------------===//

int64_t Interpreter::position(const Task &task) const {
  auto found = options.carry.find("position");
  return found == options.carry.end() ? 0
                                      : static_cast<int64_t>(found->second.values[task.sequence]);
}

int64_t Interpreter::earlierRows(llvm::StringRef symbol, const Task &task) const {
  int64_t count = 0;
  for (const seq::CarryComponent &component : components)
    if (component.kind != seq::CarryComponent::State && component.of.getValue() == symbol)
      count = std::max(count, component.kind == seq::CarryComponent::Window ? component.shape[0]
                                                                            : position(task));
  return count;
}

void Interpreter::runTask(const Task &task) {
  Environment env = program.environment();
  env.noise = options.noise;
  env.noiseState = options.noiseSeed;
  setDims(task, env);
  setInputs(task, env);
  setStates(task, env);
  setDefinitions(task, env);
  startFromCarry(task, env);
  for (const Program::Group &group : program.groups())
    runGroup(group, task, env);
  takeOutputs(task, env);
  takeCarry(task, env);
}

void Interpreter::setDims(const Task &task, Environment &env) const {
  int64_t length = options.length.value_or(position(task) + task.tokens);
  for (auto dim : mixer.getOps<seq::DimOp>()) {
    unsigned number = program.dimNumber(dim.getSymName());
    Range range{0, extents.at(dim.getSymName().str())};
    env.lengths[number] = range.count;
    if (dim.getSymName() == time) {
      range = {position(task), task.tokens};
      env.lengths[number] = length;
    } else if (dim.getBy()) {
      range.count = derivedExtent(
          dim, [&](llvm::StringRef of) { return env.lengths[program.dimNumber(of)]; });
      env.lengths[number] = range.count;
    }
    env.dims[number] = env.whole[number] = range;
    if (dim.getSymName() == time && seq::carriesRows(mixer))
      env.whole[number] = {0, range.begin + range.count};
  }
}

Range Interpreter::clampedTo(llvm::StringRef symbol, const Task &task, int64_t window,
                             int64_t rows) const {
  for (const seq::CarryComponent &component : components)
    if (component.kind == seq::CarryComponent::Rows && component.of.getValue() == symbol)
      return {window - position(task), position(task) + rows};
  return {window, rows};
}

void Interpreter::setInputs(const Task &task, Environment &env) const {
  for (const Buffer &buffer : inputList) {
    const Array &array = inputs.at(buffer.name);
    Variable &variable = env.variables[program.variableNumber(buffer.name)];
    SmallVector<int64_t> sizes(buffer.dims.size());
    for (auto [axis, extent] : llvm::zip_equal(buffer.axes, array.shape))
      if (!axis.isBatch)
        sizes[axis.position] = extent;
    bool overTokens = !buffer.isParam && !buffer.dims.empty() && buffer.dims[0] == time;
    int64_t window = overTokens ? earlierRows(buffer.name, task) : 0;
    int64_t rows = overTokens ? task.tokens : sizes.empty() ? 1 : sizes[0];
    // A param may have more rows than the sequence has tokens; they are outside of its extent.
    if (buffer.isParam && !sizes.empty() && buffer.dims[0] == time)
      rows = std::min(rows, position(task) + task.tokens);
    if (!sizes.empty())
      sizes[0] = window + rows;
    variable.allocate(sizes);
    variable.rows = clampedTo(buffer.name, task, window, rows);
    variable.origin = overTokens ? position(task) - window : 0;
    forEachElement(buffer, array.shape, task.batchIndex, overTokens ? task.begin : 0, variable,
                   window, rows,
                   [&](int64_t from, int64_t to) { variable.values[to] = array.values[from]; });
  }
}

/// A state has a row more than there are tokens: its initial value, before the first token or, for
/// one that runs backwards, after the last.
void Interpreter::setStates(const Task &task, Environment &env) const {
  for (auto state : mixer.getOps<seq::StateOp>()) {
    Variable &variable = env.variables[program.variableNumber(state.getSymName())];
    SmallVector<int64_t> sizes = {task.tokens + 1};
    for (llvm::StringRef dim : state.getDims().getAsValueRange<FlatSymbolRefAttr>())
      sizes.push_back(extents.at(dim.str()));
    variable.allocate(sizes);
    bool forward = state.getDirection() == seq::Direction::Forward;
    variable.origin = position(task) - (forward ? 1 : 0);
    variable.rows = {forward ? 1 : 0, task.tokens};
    llvm::fill(variable.row(initialRow(state, task.tokens)), state.getInit().convertToDouble());
  }
}

void Interpreter::setDefinitions(const Task &task, Environment &env) const {
  for (auto define : mixer.getOps<seq::DefineOp>()) {
    Variable &variable = env.variables[program.variableNumber(define.getSymName())];
    SmallVector<int64_t> sizes;
    for (llvm::StringRef dim : define.getDims().getAsValueRange<FlatSymbolRefAttr>())
      sizes.push_back((sizes.empty() ? env.dims : env.whole)[program.dimNumber(dim)].count);
    int64_t window = isOverTokens(define.getDims()) ? earlierRows(define.getSymName(), task) : 0;
    variable.rows = clampedTo(define.getSymName(), task, window, sizes.empty() ? 1 : sizes[0]);
    if (!sizes.empty())
      sizes[0] += window;
    variable.allocate(sizes);
    variable.origin = isOverTokens(define.getDims()) ? position(task) - window : 0;
  }
}

int64_t Interpreter::elements(const seq::CarryComponent &component) {
  int64_t count = 1;
  for (int64_t extent : component.shape)
    count *= extent;
  return count;
}

int64_t Interpreter::batchOffset(const seq::CarryComponent &component, const Task &task) const {
  std::vector<int64_t> shape = carryShape(component);
  int64_t offset = 0;
  for (auto [number, batch] : llvm::enumerate(component.batch))
    offset = offset * shape[number] +
             task.carryBatchIndex.at(batch.getDim().getValue().str()) / batch.getDiv();
  return offset;
}

int64_t Interpreter::carryOffset(const seq::CarryComponent &component, const Task &task) const {
  return batchOffset(component, task) * elements(component);
}

void Interpreter::startFromCarry(const Task &task, Environment &env) const {
  for (const seq::CarryComponent &component : components) {
    auto given = options.carry.find(component.name);
    if (given == options.carry.end())
      continue;
    Variable &variable = env.variables[program.variableNumber(component.of.getValue())];
    if (component.kind == seq::CarryComponent::Rows) {
      forCarriedRows(component, given->second.shape, task, position(task),
                     [&](int64_t row, int64_t slot) {
                       std::copy_n(given->second.values.begin() + slot, variable.strides[0],
                                   variable.row(row - variable.origin).begin());
                     });
      continue;
    }
    int64_t row = 0;
    if (component.kind == seq::CarryComponent::Window)
      row = earlierRows(component.of.getValue(), task) - component.shape.front();
    if (component.kind == seq::CarryComponent::State)
      row = initialRow(mixer.lookupSymbol<seq::StateOp>(component.of.getAttr()), task.tokens);
    std::copy_n(given->second.values.begin() + carryOffset(component, task), elements(component),
                variable.values.begin() + row * variable.strides[0]);
  }
}

/// Calls `visit` with the positions below `end` whose rows a component holds, and where they stand
/// in an array of that shape.
void Interpreter::forCarriedRows(const seq::CarryComponent &component,
                                 llvm::ArrayRef<int64_t> shape, const Task &task, int64_t end,
                                 llvm::function_ref<void(int64_t, int64_t)> visit) const {
  int64_t slots = shape[component.batch.size()], elements = 1;
  for (int64_t extent : llvm::ArrayRef(component.shape).drop_front())
    elements *= extent;
  bool isRing = component.shape[0] >= 0;
  int64_t start = batchOffset(component, task) * slots * elements;
  for (int64_t row = isRing ? std::max<int64_t>(0, end - slots) : 0; row < end; ++row)
    visit(row, start + (isRing ? row % slots : row) * elements);
}

/// By its states' direction; without a state, by whether its members read each other ahead.
bool Interpreter::runsBackward(const Program::Group &group) const {
  bool backward = false;
  for (unsigned member : group.members) {
    Operation *op = program.equations()[member].op;
    if (auto next = dyn_cast<seq::NextOp>(op))
      return mixer.lookupSymbol<seq::StateOp>(next.getStateAttr().getAttr()).getDirection() ==
             seq::Direction::Backward;
    op->walk([&](seq::ReadOp read) {
      bool inGroup = llvm::any_of(group.members, [&](unsigned other) {
        return program.equations()[other].variable == program.variableNumber(read.getSource());
      });
      if (!inGroup || read.getMap().getNumResults() == 0)
        return;
      auto sum = dyn_cast<AffineBinaryOpExpr>(read.getMap().getResult(0));
      auto offset = sum ? dyn_cast<AffineConstantExpr>(sum.getRHS()) : AffineConstantExpr();
      backward |= offset && sum.getKind() == AffineExprKind::Add && offset.getValue() > 0;
    });
  }
  return backward;
}

void Interpreter::runGroup(const Program::Group &group, const Task &task, Environment &env) const {
  if (!group.isRecurrent) {
    program.equations()[group.members[0]].run(env);
    return;
  }
  bool backward = runsBackward(group);
  for (int64_t step = 0; step < task.tokens; ++step) {
    int64_t token = position(task) + (backward ? task.tokens - 1 - step : step);
    for (unsigned member : group.members)
      program.equations()[member].run(env, &token);
  }
}

void Interpreter::takeOutputs(const Task &task, Environment &env) {
  for (const Buffer &buffer : outputList) {
    Array &array = result.outputs[buffer.name];
    const Variable &variable = env.variables[program.variableNumber(buffer.name)];
    bool overTokens = isOverTokens(buffer);
    forEachElement(buffer, array.shape, overTokens ? task.batchIndex : task.carryBatchIndex,
                   overTokens ? task.begin : 0, variable, variable.rows.begin, variable.rows.count,
                   [&](int64_t to, int64_t from) { array.values[to] = variable.values[from]; });
  }
}

/// A state leaves from the last row that was visited, a window with the last rows; without tokens
/// that is what came in.
void Interpreter::takeCarry(const Task &task, Environment &env) {
  for (const seq::CarryComponent &component : components) {
    Variable &variable = env.variables[program.variableNumber(component.of.getValue())];
    if (component.kind == seq::CarryComponent::Rows) {
      forCarriedRows(component, result.carry[component.name].shape, task,
                     position(task) + task.tokens, [&](int64_t row, int64_t slot) {
                       llvm::copy(variable.row(row - variable.origin),
                                  result.carry[component.name].values.begin() + slot);
                     });
      continue;
    }
    int64_t row = task.tokens;
    if (component.kind == seq::CarryComponent::Window)
      row += earlierRows(component.of.getValue(), task) - component.shape.front();
    if (component.kind == seq::CarryComponent::State)
      row -= initialRow(mixer.lookupSymbol<seq::StateOp>(component.of.getAttr()), task.tokens);
    std::copy_n(variable.values.begin() + row * variable.strides[0], elements(component),
                result.carry[component.name].values.begin() + carryOffset(component, task));
  }
  result.carry["position"].values[task.sequence] = position(task) + task.tokens;
}

} // namespace

llvm::Expected<RunResult> interpret(seq::MixerOp mixer, const Arrays &inputs,
                                    const RunOptions &options) {
  return Interpreter(mixer, inputs, options).run();
}

} // namespace seqmix::reference
