//===- StructureVerify.cpp - constraints of canonical recurrences ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The numbers are those of SPEC.md; each has a test of its number.
//
//===----------------------------------------------------------------------===//

#include "dialect/VerifySupport.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;
using namespace mlir::seq::verify;

LogicalResult ProducedOp::verify() {
  // c30
  for (auto [place, dim] : llvm::enumerate(getDims().getValue()))
    if (!isDim(*this, dim, DimKind::Fixed) &&
        !(isDim(*this, dim, DimKind::Runtime) &&
          (place == 0 || (place == 1 && isDim(*this, getDims()[0], DimKind::Runtime)))))
      return emitOpError("has fixed dims, behind at most two run-time dims");
  // c31
  auto mixer = (*this)->getParentOfType<MixerOp>();
  size_t makers = 0;
  for (auto affine : mixer.getOps<AffineOp>())
    makers += llvm::count_if(affine.getReads().getAsRange<RowReadAttr>(), [&](RowReadAttr read) {
      return read.getResult() && read.getResult().getAttr() == getSymNameAttr();
    });
  for (auto pairs : mixer.getOps<PairsOp>())
    makers +=
        llvm::count_if(pairs.getOuts().getAsRange<PairResultAttr>(), [&](PairResultAttr result) {
          return result.getProduced().getAttr() == getSymNameAttr();
        });
  makers += llvm::count_if(mixer.getOps<ConvolutionOp>(), [&](ConvolutionOp convolution) {
    return convolution.getProducedAttr().getAttr() == getSymNameAttr();
  });
  if (makers != 1)
    return emitOpError() << "is made by " << makers
                         << " reads, pairwise reductions or convolutions; expected one";
  return success();
}

namespace {

/// The factors of one canonical recurrence: what they are and which dims they may have.
class FactorChecker {
public:
  explicit FactorChecker(AffineOp op) : op(op) {}

  LogicalResult check(FlatSymbolRefAttr factor, ArrayRef<int64_t> over, StringRef what) {
    // c34
    Operation *source = find(op, factor);
    if (!isa_and_nonnull<TensorOp, DefineOp, ProducedOp>(source))
      return op.emitOpError() << what << " " << factor
                              << " is not a tensor, definition or produced tensor";
    // c35
    ArrayAttr stateDims = findAs<StateOp>(op, op.getStateAttr()).getDims();
    SmallVector<Attribute> allowed;
    for (int64_t number : over)
      allowed.push_back(stateDims[number]);
    for (auto [place, dim] : llvm::enumerate(dimsOf(source))) {
      if (place == 0 && isDim(op, dim, DimKind::Runtime))
        continue;
      auto found = llvm::find(allowed, dim);
      if (found == allowed.end())
        return op.emitOpError() << what << " " << factor << " must not vary over " << dim;
      allowed.erase(found);
    }
    return success();
  }

  /// Factors over the rows, by component.
  LogicalResult check(ArrayRef<RowFactorAttr> all, ArrayRef<int64_t> over, StringRef what) {
    // c72
    int64_t last = -1;
    for (RowFactorAttr factor : all) {
      if (factor.getComponent() <= last || factor.getComponent() >= op.componentCount())
        return op.emitOpError() << "numbers the components of a " << what << " upwards, below "
                                << op.componentCount();
      last = factor.getComponent();
      if (failed(check(factor.getSymbol(), over, what)))
        return failure();
    }
    return last < 0 ? op.emitOpError() << "has a " << what << " of no component" : success();
  }

private:
  AffineOp op;
};

/// The matrix over the components of a recurrence.
LogicalResult checkCoupling(FactorChecker &factors, AffineOp op, ArrayRef<int64_t> rowSide) {
  // c71
  int64_t count = op.componentCount();
  ArrayAttr coupling = op.getCouplingAttr();
  if ((count > 1) != (coupling != nullptr) || (coupling && op.getRowDecayAttr()))
    return op.emitOpError("has a coupling in place of a row decay where it has several components, "
                          "and nowhere else");
  if (!coupling)
    return success();
  llvm::SmallDenseSet<std::pair<int64_t, int64_t>> seen;
  for (auto entry : coupling.getAsRange<CouplingAttr>()) {
    int64_t to = entry.getTo(), from = entry.getFrom();
    if (to < 0 || to >= count || from < 0 || from >= count || !seen.insert({to, from}).second)
      return op.emitOpError() << "couples components " << to << " and " << from << " of " << count
                              << ", or does it twice";
    if (failed(factors.check(entry.getFactor(), rowSide, "coupling")))
      return failure();
  }
  return success();
}

LogicalResult checkRead(FactorChecker &factors, AffineOp op, RowReadAttr read) {
  bool isOfColumns = sumsColumns(read.getKind());
  if (failed(factors.check(read.getRow(), op.withOuter(op.factorSide(read.getKind())),
                           isOfColumns ? "factor of a sum over columns" : "row")))
    return failure();
  if (!read.getResult())
    // c76
    return read.getKind() == ReadKind::Rows ? success()
                                            : op.emitOpError() << "a read of kind "
                                                               << stringifyReadKind(read.getKind())
                                                               << " has no result";
  // c37
  auto produced = findAs<ProducedOp>(op, read.getResult());
  ArrayAttr stateDims = findAs<StateOp>(op, op.getStateAttr()).getDims();
  SmallVector<Attribute> dims;
  for (int64_t number : op.withOuter(op.resultSide(read.getKind())))
    dims.push_back(stateDims[number]);
  if (!produced || produced.getDims().getValue().drop_front() != ArrayRef<Attribute>(dims))
    return op.emitOpError() << "read " << read.getResult()
                            << " is not a produced tensor over the token, the outer dims and the "
                            << (isOfColumns ? "rows" : "columns");
  return success();
}

/// Whether the numbers of the dims are 0 .. count-1, each once.
bool isPartition(SmallVector<int64_t> all, size_t count) {
  llvm::sort(all);
  return all.size() == count && llvm::all_of(llvm::enumerate(all), [](auto entry) {
           return static_cast<int64_t>(entry.index()) == entry.value();
         });
}

} // namespace

SmallVector<FlatSymbolRefAttr, 2> AffineOp::states() {
  SmallVector<FlatSymbolRefAttr, 2> all{getStateAttr()};
  if (ArrayAttr others = getOthersAttr())
    llvm::append_range(all, others.getAsRange<FlatSymbolRefAttr>());
  return all;
}

bool AffineOp::makes(StringAttr state) {
  return llvm::any_of(states(), [&](FlatSymbolRefAttr own) { return own.getAttr() == state; });
}

int64_t AffineOp::innerSize() {
  if (!getInner())
    return 1;
  auto dims = findAs<StateOp>(*this, getStateAttr()).getDims();
  return *findAs<DimOp>(*this, cast<FlatSymbolRefAttr>(dims[*getInner()])).getSize();
}

ArrayRef<int64_t> AffineOp::outerDims() {
  auto outer = getOuter();
  return outer ? *outer : ArrayRef<int64_t>();
}

SmallVector<int64_t> AffineOp::factorSide(ReadKind kind) {
  SmallVector<int64_t> side(kind == ReadKind::Columns ? getCols() : getRows());
  if (weighsElements(kind))
    llvm::append_range(side, getCols());
  llvm::sort(side);
  return side;
}

SmallVector<int64_t> AffineOp::withOuter(ArrayRef<int64_t> side) {
  SmallVector<int64_t> numbers(outerDims());
  llvm::append_range(numbers, side);
  llvm::sort(numbers);
  return numbers;
}

SmallVector<int64_t> AffineOp::numbersOf(FlatSymbolRefAttr factor, ArrayRef<int64_t> side) {
  ArrayAttr stateDims = findAs<StateOp>(*this, getStateAttr()).getDims();
  SmallVector<int64_t> numbers, from = withOuter(side);
  auto next = from.begin();
  for (auto [place, dim] : llvm::enumerate(dimsOf(find(*this, factor)))) {
    if (place == 0 && isDim(*this, dim, DimKind::Runtime))
      continue;
    next = std::find_if(next, from.end(), [&](int64_t number) { return stateDims[number] == dim; });
    if (next == from.end())
      break; // in another order than the state's
    numbers.push_back(*next++);
  }
  return numbers;
}

LogicalResult AffineOp::verify() {
  auto state = findAs<StateOp>(*this, getStateAttr());
  for (FlatSymbolRefAttr symbol : states()) {
    // c32
    auto own = findAs<StateOp>(*this, symbol);
    if (!own)
      return emitOpError() << symbol << " is not a state";
    if (own.getDirection() != getDirection())
      return emitOpError() << "runs " << stringifyDirection(getDirection())
                           << ", its state the other way";
    // c70
    if (own.getDims() != state.getDims() || llvm::count(states(), symbol) > 1)
      return emitOpError() << symbol << " is not another state of the same dims";
  }
  // c33
  SmallVector<int64_t> all = withOuter(getRows());
  llvm::append_range(all, getCols());
  if (getInner())
    all.push_back(*getInner());
  if (!isPartition(all, state.getDims().size()))
    return emitOpError(
        "'outer', 'inner', 'rows' and 'cols' must number each dim of the state once");
  FactorChecker factors(*this);
  SmallVector<int64_t> rowSide = withOuter(getRows()), colSide = withOuter(getCols());
  if (getRowDecayAttr() && failed(factors.check(getRowDecayAttr(), rowSide, "row decay")))
    return failure();
  if (getColDecayAttr() && failed(factors.check(getColDecayAttr(), colSide, "column decay")))
    return failure();
  if (failed(checkCoupling(factors, *this, rowSide)))
    return failure();
  auto reads = llvm::to_vector(getReads().getAsRange<RowReadAttr>());
  for (auto update : getUpdates().getAsRange<UpdateAttr>()) {
    if (failed(factors.check(update.getLefts(), rowSide, "left factor")))
      return failure();
    for (TermAttr term : update.getTerms()) {
      if (term.getCoef() && failed(factors.check(term.getCoef(), colSide, "coefficient")))
        return failure();
      // c36
      if ((term.getRight() != nullptr) == (term.getRead() != -1))
        return emitOpError("a term has either a right factor or a read");
      if (term.getRight()) {
        if (failed(factors.check(term.getRight(), colSide, "right factor")))
          return failure();
        continue;
      }
      if (term.getRead() < 0 || term.getRead() >= static_cast<int64_t>(reads.size()) ||
          !reads[term.getRead()].getBefore())
        return emitOpError() << "a term uses read " << term.getRead()
                             << ", which is no read before the update";
      // c75
      if (reads[term.getRead()].getKind() != ReadKind::Rows)
        return emitOpError() << "a term uses read " << term.getRead()
                             << ", which is no sum over rows with one factor for all columns";
    }
  }
  for (RowReadAttr read : reads)
    if (failed(checkRead(factors, *this, read)))
      return failure();
  return success();
}

LogicalResult RecurrenceOp::verify() {
  // c38
  if (getMembers().empty() || !allDifferent(getMembers()))
    return emitOpError("names its members, each once");
  for (auto member : getMembers().getAsRange<FlatSymbolRefAttr>())
    if (!findAs<DefineOp>(*this, member) && !findNext(*this, member))
      return emitOpError() << "member " << member << " has no equation";
  // c39
  for (auto symbol : getStates().getAsRange<FlatSymbolRefAttr>()) {
    auto state = findAs<StateOp>(*this, symbol);
    if (!state || !llvm::is_contained(getMembers(), symbol))
      return emitOpError() << symbol << " is not a state among the members";
    if (state.getDirection() != getDirection())
      return emitOpError() << "runs " << stringifyDirection(getDirection()) << ", " << symbol
                           << " the other way";
  }
  // c40
  if (getLanesAttr() && !isDim(*this, getLanesAttr(), DimKind::Fixed))
    return emitOpError() << getLanesAttr() << " is not a fixed dim";
  // c41
  auto mixer = (*this)->getParentOfType<MixerOp>();
  for (auto other : mixer.getOps<RecurrenceOp>())
    for (Attribute member : other.getMembers())
      if (other != *this && llvm::is_contained(getMembers(), member))
        return emitOpError() << "member " << member << " belongs to another recurrence too";
  return success();
}

LogicalResult TransitionOp::verify() {
  // c62
  auto to = findAs<StateOp>(*this, getToAttr()), from = findAs<StateOp>(*this, getFromAttr());
  if (!to || !from || to.getDims() != from.getDims())
    return emitOpError() << "must be between states of the same dims";
  // c63
  if (getFactors().size() > 2 || getPlaces().size() != getFactors().size())
    return emitOpError("has at most two factors and the places of each");
  for (auto [factor, attr] : llvm::zip_equal(getFactors().getAsRange<FlatSymbolRefAttr>(),
                                             getPlaces().getAsRange<DenseI64ArrayAttr>())) {
    SmallVector<Attribute> dims;
    int64_t last = -1;
    for (int64_t place : attr.asArrayRef()) {
      if (place <= last || place >= static_cast<int64_t>(to.getDims().size()))
        return emitOpError("numbers the places of a factor upwards, among the dims of the state");
      dims.push_back(to.getDims()[last = place]);
    }
    auto state = findAs<StateOp>(*this, factor);
    if (!state || state.getDims().getValue() != ArrayRef<Attribute>(dims))
      return emitOpError() << factor << " is not a state over the dims at its places";
  }
  return success();
}

LogicalResult mlir::seq::verify::checkSummary(MixerOp mixer) {
  // c64
  FlatSymbolRefAttr of = mixer.getSummaryOfAttr();
  if (!of)
    return mixer.getOps<TransitionOp>().empty()
               ? success()
               : (*mixer.getOps<TransitionOp>().begin())
                     .emitOpError("stands in a mixer that is no summary");
  auto module = mixer->getParentOfType<ModuleOp>();
  auto whole = module ? module.lookupSymbol<MixerOp>(of.getAttr()) : MixerOp();
  if (!whole || whole.getSummaryOfAttr())
    return mixer.emitOpError() << "is the summary of " << of
                               << ", which is no mixer beside it with outputs of its own";
  if (!mixer.getOps<OutputOp>().empty())
    return mixer.emitOpError("is a summary and has an output");
  return success();
}

LogicalResult mlir::seq::verify::checkForm(MixerOp mixer) {
  // c74
  if (auto products = mixer.getFormProducts();
      products &&
      (products->size() != 3 || llvm::any_of(*products, [](int64_t n) { return n < 0; })))
    return mixer.emitOpError("has `form_products` that are not three numbers of at least 0");
  // c69
  FlatSymbolRefAttr of = mixer.getFormOfAttr();
  if (!of)
    return success();
  auto module = mixer->getParentOfType<ModuleOp>();
  auto other = module ? module.lookupSymbol<MixerOp>(of.getAttr()) : MixerOp();
  auto declarations = [](MixerOp op) {
    SmallVector<StringAttr> names;
    for (auto tensor : op.getOps<TensorOp>())
      names.push_back(tensor.getSymNameAttr());
    for (auto output : op.getOps<OutputOp>())
      names.push_back(output.getSourceAttr().getAttr());
    return names;
  };
  if (!other || other.getFormOfAttr() || declarations(mixer) != declarations(other))
    return mixer.emitOpError() << "is a form of " << of
                               << ", which is no mixer beside it with the same tensors and outputs";
  // c74
  if (!mixer.getFormProducts() || !other.getFormProducts())
    return mixer.emitOpError() << "is a form of " << of << ": both need `form_products`";
  return success();
}
