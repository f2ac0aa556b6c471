//===- Plan.cpp - the plan of a library from its mixers ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/library/Library.h"

#include "dialect/Carry.h"

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/TargetParser/X86TargetParser.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
namespace {

// What the runtime has room for.
constexpr size_t kMaxDims = 32, kMaxTensors = 64, kMaxComponents = 64;

SeqDType storageType(Type type) {
  if (type.isF64())
    return SEQ_F64;
  if (type.isBF16())
    return SEQ_BF16;
  if (type.isF16())
    return SEQ_F16;
  if (type.isInteger(1))
    return SEQ_BOOL;
  return type.isInteger() ? SEQ_I32 : SEQ_F32;
}

class MixerPlanner {
public:
  explicit MixerPlanner(MixerOp mixer) : mixer(mixer) {}

  FailureOr<MixerPlan> run() {
    plan.name = mixer.getSymName().str();
    if (auto reason = mixer.getNoStep())
      plan.noStep = reason->str();
    if (failed(addDims()))
      return failure();
    for (auto tensor : mixer.getOps<TensorOp>())
      addTensor(tensor);
    for (auto output : mixer.getOps<OutputOp>())
      if (failed(addOutput(output)))
        return failure();
    addCarry();
    findSharedDims();
    if (plan.dims.size() > kMaxDims || plan.tensors.size() > kMaxTensors ||
        plan.components.size() > kMaxComponents)
      return mixer.emitError("has more than ") << kMaxTensors << " tensors, " << kMaxComponents
                                               << " parts of the carry or " << kMaxDims << " dims";
    return std::move(plan);
  }

private:
  int32_t dimNumber(StringRef name) { return dimNumbers.lookup(name); }

  LogicalResult addDims() {
    auto addAll = [&](bool batch) {
      for (auto dim : mixer.getOps<DimOp>()) {
        if ((dim.getKind() == DimKind::Batch) != batch)
          continue;
        dimNumbers[dim.getSymName()] = plan.dims.size();
        SeqDimKind kind = dim.getKind() == DimKind::Batch     ? SEQ_DIM_BATCH
                          : dim.getKind() == DimKind::Runtime ? SEQ_DIM_RUNTIME
                                                              : SEQ_DIM_FIXED;
        int64_t size = dim.getSize() ? static_cast<int64_t>(*dim.getSize()) : 0;
        plan.dims.push_back({dim.getSymName().str(), kind, size, {}});
      }
    };
    addAll(true);
    addAll(false);
    for (auto dim : mixer.getOps<DimOp>())
      if (dim.getBy())
        addSteps(dim, dim.getBy()->getResult(0), plan.dims[dimNumber(dim.getSymName())].by);
    auto token = tokenDimOf(mixer);
    if (!token)
      return mixer.emitError("the mixer has no run-time dim, so there are no tokens to run over");
    plan.tokenDim = dimNumber(token.getValue());
    return success();
  }

  void addSteps(DimOp dim, AffineExpr by, std::vector<ExtentStep> &steps) {
    if (auto constant = dyn_cast<AffineConstantExpr>(by)) {
      steps.push_back({ExtentStep::Number, constant.getValue()});
    } else if (auto place = dyn_cast<AffineDimExpr>(by)) {
      auto of = cast<FlatSymbolRefAttr>((*dim.getOf())[place.getPosition()]);
      steps.push_back({ExtentStep::Dim, dimNumber(of.getValue())});
    } else {
      auto binary = cast<AffineBinaryOpExpr>(by);
      addSteps(dim, binary.getLHS(), steps);
      addSteps(dim, binary.getRHS(), steps);
      switch (binary.getKind()) {
      case AffineExprKind::Add:
        return steps.push_back({ExtentStep::Add});
      case AffineExprKind::Mul:
        return steps.push_back({ExtentStep::Mul});
      case AffineExprKind::FloorDiv:
        return steps.push_back({ExtentStep::FloorDiv});
      case AffineExprKind::CeilDiv:
        return steps.push_back({ExtentStep::CeilDiv});
      default:
        return steps.push_back({ExtentStep::Mod});
      }
    }
  }

  // First batch dim, run-time dims, other batch dims, features; a param's dims keep their order.
  std::vector<AxisPlan> bufferAxes(ArrayRef<BatchAttr> batch, ArrayAttr dims, bool isParam) {
    std::vector<AxisPlan> lead, runTime, rest, axes;
    for (BatchAttr attr : batch)
      lead.push_back({dimNumber(attr.getDim().getValue()), -1, attr.getDiv(), 0});
    for (auto [slot, dim] : llvm::enumerate(dims.getAsRange<FlatSymbolRefAttr>())) {
      int32_t number = dimNumber(dim.getValue());
      bool isRunTime = plan.dims[number].kind == SEQ_DIM_RUNTIME && !isParam;
      (isRunTime ? runTime : rest).push_back({number, static_cast<int32_t>(slot), 1, 0});
    }
    size_t first = isParam ? lead.size() : std::min<size_t>(lead.size(), 1);
    axes.insert(axes.end(), lead.begin(), lead.begin() + first);
    llvm::append_range(axes, runTime);
    axes.insert(axes.end(), lead.begin() + first, lead.end());
    llvm::append_range(axes, rest);
    return axes;
  }

  void addTensor(TensorOp tensor) {
    TensorPlan result;
    result.name = tensor.getSymName().str();
    bool isParam = tensor.getRole() == Role::Param;
    result.role = isParam ? SEQ_ROLE_PARAM : SEQ_ROLE_INPUT;
    result.dtype = storageType(tensor.getDtype());
    if (auto range = tensor.getRange()) {
      result.lo = cast<FloatAttr>((*range)[0]).getValueAsDouble();
      result.hi = cast<FloatAttr>((*range)[1]).getValueAsDouble();
    }
    result.axes = bufferAxes(llvm::to_vector(tensor.getBatch().getAsRange<BatchAttr>()),
                             tensor.getDims(), isParam);
    plan.tensors.push_back(std::move(result));
  }

  // A state is given at every token. From the structure stage on it need not have an equation of
  // its own.
  ArrayAttr outputDims(OutputOp output) {
    for (auto next : mixer.getOps<NextOp>())
      if (next.getState() == output.getSource())
        return next.getDims();
    Operation *source = SymbolTable::lookupSymbolIn(mixer, output.getSourceAttr().getAttr());
    auto dims = source ? source->getAttrOfType<ArrayAttr>("dims") : nullptr;
    if (!dims || !isa<StateOp>(source))
      return dims;
    SmallVector<Attribute> withTokens = {tokenDimOf(mixer)};
    llvm::append_range(withTokens, dims);
    return ArrayAttr::get(mixer.getContext(), withTokens);
  }

  LogicalResult addOutput(OutputOp output) {
    ArrayAttr dims = outputDims(output);
    if (!dims)
      return output.emitError("names neither a definition nor a state with an equation");
    TensorPlan result;
    result.name = output.getSource().str();
    result.role = SEQ_ROLE_OUTPUT;
    result.dtype = storageType(output.getDtype());
    result.axes = bufferAxes(batchDimsOf(mixer, output.getSource()), dims, /*isParam=*/false);
    plan.tensors.push_back(std::move(result));
    return success();
  }

  void addCarry() {
    SeqDType compute = storageType(mixer.getCompute());
    for (const CarryComponent &component : carryComponents(mixer)) {
      ComponentPlan result;
      result.name = component.name;
      result.kind = component.kind == CarryComponent::State    ? SEQ_CARRY_STATE
                    : component.kind == CarryComponent::Window ? SEQ_CARRY_WINDOW
                                                               : SEQ_CARRY_ROWS;
      result.dtype = component.storage     ? storageType(component.storage)
                     : component.isInteger ? SEQ_I32
                                           : compute;
      result.init = component.init;
      if (result.kind == SEQ_CARRY_WINDOW)
        result.window = component.shape.front();
      if (result.kind == SEQ_CARRY_ROWS)
        result.window = std::max<int64_t>(component.shape.front(), 0);
      for (BatchAttr attr : component.batch)
        result.axes.push_back({dimNumber(attr.getDim().getValue()), -1, attr.getDiv(), 0});
      SmallVector<int32_t> dims = componentDims(component);
      for (auto [slot, size] : llvm::enumerate(component.shape))
        result.axes.push_back({dims[slot], static_cast<int32_t>(slot), 1, size});
      plan.components.push_back(std::move(result));
    }
    ComponentPlan position;
    position.name = "position";
    position.kind = SEQ_CARRY_POSITION;
    position.dtype = SEQ_I64;
    if (!plan.dims.empty() && plan.dims[0].kind == SEQ_DIM_BATCH)
      position.axes.push_back({0, -1, 1, 0});
    else
      position.axes.push_back({-1, 0, 1, 1});
    plan.components.push_back(std::move(position));
  }

  // Numbers of the dims of a component's elements, -1 for the window itself.
  SmallVector<int32_t> componentDims(const CarryComponent &component) {
    SmallVector<int32_t> numbers;
    if (component.kind != CarryComponent::State)
      numbers.push_back(-1);
    Operation *of = SymbolTable::lookupSymbolIn(mixer, component.of.getAttr());
    ArrayAttr dims = of ? of->getAttrOfType<ArrayAttr>("dims") : nullptr;
    if (dims)
      for (auto dim : dims.getAsRange<FlatSymbolRefAttr>())
        if (int32_t number = dimNumber(dim.getValue()); plan.dims[number].kind == SEQ_DIM_FIXED)
          numbers.push_back(number);
    if (numbers.size() != component.shape.size())
      numbers.assign(component.shape.size(), -1);
    return numbers;
  }

  // What the shared kernel makes comes from params and from inputs without tokens that the first
  // batch dim does not touch.
  void findSharedDims() {
    bool hasBatch = !plan.dims.empty() && plan.dims[0].kind == SEQ_DIM_BATCH;
    for (const TensorPlan &tensor : plan.tensors) {
      auto has = [&](int32_t dim) {
        return llvm::any_of(tensor.axes, [&](const AxisPlan &axis) { return axis.dim == dim; });
      };
      if (tensor.role == SEQ_ROLE_OUTPUT || (tensor.role == SEQ_ROLE_INPUT && has(plan.tokenDim)) ||
          (hasBatch && has(0)))
        continue;
      for (const AxisPlan &axis : tensor.axes)
        if (axis.dim >= 0 && axis.slot < 0)
          plan.sharedDims |= uint64_t(1) << axis.dim;
    }
  }

  MixerOp mixer;
  MixerPlan plan;
  llvm::StringMap<int32_t> dimNumbers;
};

// Whether a token's number enters its values: as a number, in a domain, or as the row of a param.
bool usesTokenNumber(MixerOp mixer) {
  auto isParam = [&](ReadOp read) {
    auto tensor = dyn_cast_or_null<TensorOp>(
        SymbolTable::lookupSymbolIn(mixer, read.getSourceAttr().getAttr()));
    return tensor && tensor.getRole() == Role::Param;
  };
  auto check = [&](Region &region) {
    if (region.empty() || region.getNumArguments() == 0)
      return false;
    return llvm::any_of(region.getArgument(0).getUsers(), [&](Operation *user) {
      auto read = dyn_cast<ReadOp>(user);
      return !read || isParam(read) || !tokenSpan(mixer, read);
    });
  };
  for (Operation &op : mixer.getBody().front())
    if (auto define = dyn_cast<DefineOp>(op);
        define && isTokenIndexed(mixer, define.getDims()) &&
        (check(define.getBody()) || check(define.getDomain())))
      return true;
  for (auto next : mixer.getOps<NextOp>())
    if (check(next.getBody()) || check(next.getDomain()))
      return true;
  return false;
}

} // namespace

std::vector<int32_t> workspaceDims(const MixerPlan &mixer) {
  std::vector<int32_t> dims;
  auto addAll = [&](function_ref<bool(int32_t, const DimPlan &)> wanted) {
    for (auto [number, dim] : llvm::enumerate(mixer.dims))
      if (wanted(static_cast<int32_t>(number), dim))
        dims.push_back(static_cast<int32_t>(number));
  };
  addAll([](int32_t, const DimPlan &dim) { return dim.kind == SEQ_DIM_BATCH; });
  dims.push_back(mixer.tokenDim);
  addAll([&](int32_t number, const DimPlan &dim) {
    return dim.kind == SEQ_DIM_RUNTIME && number != mixer.tokenDim && dim.by.empty();
  });
  return dims;
}

void LibraryPlan::add(MixerPlan plan) {
  auto family = llvm::find_if(mixers, [&](const FamilyPlan &f) { return f.name == plan.name; });
  if (family == mixers.end())
    family = mixers.insert(mixers.end(), FamilyPlan{plan.name, {}});
  family->sizes.push_back(std::move(plan));
}

std::string mixerText(StringRef file, StringRef name) {
  SmallVector<StringRef> lines;
  bool inside = false;
  for (StringRef line : llvm::split(file, '\n')) {
    StringRef words = line.trim();
    if (words.consume_front("mixer") && !words.empty() && (words[0] == ' ' || words[0] == '\t'))
      inside = words.ltrim().take_until([](char c) { return c == ' ' || c == '\t' || c == '#'; }) ==
               name;
    if (inside)
      lines.push_back(line.rtrim());
  }
  while (!lines.empty() && (lines.back().empty() || lines.back().ltrim().starts_with("#")))
    lines.pop_back();
  return lines.empty() ? std::string() : llvm::join(lines, "\n") + "\n";
}

FailureOr<MixerPlan> planMixer(MixerOp mixer) {
  auto plan = MixerPlanner(mixer).run();
  if (succeeded(plan)) {
    plan->usesPosition = usesTokenNumber(mixer);
    const bool hasPairs = llvm::any_of(mixer.getOps<PairsOp>(), [&](PairsOp pairs) {
      return pairs.getOverAttr() == tokenDimOf(mixer);
    });
    plan->startsAtZero =
        (hasPairs || reducesOverTokens(mixer) || readsFarTokens(mixer)) && !carriesRows(mixer);
    if (auto products = mixer.getFormProducts())
      plan->work = {double((*products)[0]), double((*products)[1]), double((*products)[2])};
  }
  return plan;
}

LogicalResult addSummary(MixerPlan &plan, MixerOp op, double work) {
  auto described = planMixer(op);
  if (failed(described))
    return failure();
  auto summary = std::make_shared<SummaryPlan>();
  summary->mixer = std::move(*described);
  summary->work = work;
  llvm::StringMap<int32_t> numbers;
  for (auto [number, component] : llvm::enumerate(summary->mixer.components)) {
    numbers[component.name] = static_cast<int32_t>(number);
    auto own = llvm::find_if(plan.components, [&](const ComponentPlan &candidate) {
      return candidate.name == component.name;
    });
    summary->components.push_back(
        own == plan.components.end() ? -1 : static_cast<int32_t>(own - plan.components.begin()));
  }
  for (auto transition : op.getOps<TransitionOp>()) {
    TransitionPlan result;
    result.to = numbers.lookup(transition.getTo());
    result.from = numbers.lookup(transition.getFrom());
    for (auto [number, factor] :
         llvm::enumerate(transition.getFactors().getAsRange<FlatSymbolRefAttr>())) {
      result.factors[number] = numbers.lookup(factor.getValue());
      for (int64_t place : cast<DenseI64ArrayAttr>(transition.getPlaces()[number]).asArrayRef())
        result.places[number] |= 1u << place;
    }
    summary->transitions.push_back(result);
  }
  for (auto state : op.getOps<StateOp>())
    summary->backward = state.getDirection() == Direction::Backward;
  plan.summary = std::move(summary);
  return success();
}

void addKernel(MixerPlan &plan, KernelOp op, KernelPlan kernel) {
  kernel.batchBlock = static_cast<int32_t>(op.getBatchBlock());
  kernel.splitDim = -1;
  kernel.splitSize = 0;
  if (auto split = op.getSplit()) {
    for (auto [number, dim] : llvm::enumerate(plan.dims))
      if (dim.name == *split)
        kernel.splitDim = static_cast<int32_t>(number);
    assert(kernel.splitDim >= 0 && op.getSplitSize() && "the split dim is one of the mixer's");
    kernel.splitSize = static_cast<int64_t>(*op.getSplitSize());
  }
  plan.kernels.push_back(std::move(kernel));
}

uint64_t featureBits(StringRef cpu, StringRef features) {
  static const llvm::StringMap<unsigned> numbers = {
#define SEQ_CPU_ROW(NAME, TEXT, LEAF, SUBLEAF, REG, BIT) {TEXT, SEQ_CPU_##NAME},
      SEQ_CPU_FEATURES(SEQ_CPU_ROW)
#undef SEQ_CPU_ROW
  };
  // A feature stands for those it builds on: LLVM's lists name only the last of a chain.
  llvm::StringMap<bool> enabled;
  auto set = [&](StringRef feature, bool on) {
    enabled[feature] = on;
    llvm::X86::updateImpliedFeatures(feature, on, enabled);
  };
  SmallVector<StringRef> ofCpu;
  if (llvm::X86::parseArchX86(cpu) != llvm::X86::CK_None)
    llvm::X86::getFeaturesForCPU(cpu, ofCpu);
  for (StringRef feature : ofCpu)
    set(feature, true);
  for (StringRef feature : llvm::split(features, ','))
    if (feature.size() > 1)
      set(feature.drop_front(), feature[0] == '+');
  uint64_t bits = 0;
  for (auto &[feature, number] : numbers)
    if (enabled.lookup(feature))
      bits |= uint64_t(1) << number;
  return bits;
}

} // namespace seqmix
