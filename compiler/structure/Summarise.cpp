//===- Summarise.cpp - what a segment of tokens does to the carry -------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/structure/LinearForm.h"
#include "compiler/structure/TransitionBounds.h"
#include "dialect/Carry.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
#define GEN_PASS_DEF_SUMMARISE
#include "compiler/Passes.h.inc"

namespace {

// The product of the transitions of this many states at one index has the square of it as elements.
constexpr size_t kMostCoupled = 4;

std::string_view view(StringAttr name) { return std::string_view(name.getValue()); }

/// The tokens around its own that a read of something with tokens, a state aside, touches.
struct Reach {
  bool perToken = false;
  std::optional<std::pair<int64_t, int64_t>> span;
};

Reach reachOf(MixerOp mixer, ReadOp read) {
  Operation *source = SymbolTable::lookupSymbolIn(mixer, read.getSourceAttr().getAttr());
  if (!isa<TensorOp, DefineOp, ProducedOp>(source) ||
      !isTokenIndexed(mixer, source->getAttrOfType<ArrayAttr>("dims")))
    return {};
  return {true, tokenSpan(mixer, read)};
}

/// Why tokens in the middle of a sequence cannot be run by themselves, whatever the states; empty
/// when they can.
std::string whyNotApart(MixerOp mixer) {
  if (!mixer.getOps<PairsOp>().empty() || !mixer.getOps<ConvolutionOp>().empty() ||
      carriesRows(mixer))
    return "it reads all positions in front of a token";
  StateOp first = *mixer.getOps<StateOp>().begin();
  for (auto state : mixer.getOps<StateOp>())
    if (state.getDirection() != first.getDirection())
      return fmt::format("{} and {} run in different directions", view(first.getSymNameAttr()),
                         view(state.getSymNameAttr()));
  for (auto output : mixer.getOps<OutputOp>()) {
    Operation *source = SymbolTable::lookupSymbolIn(mixer, output.getSourceAttr().getAttr());
    if (!isa<StateOp>(source) && !isTokenIndexed(mixer, source->getAttrOfType<ArrayAttr>("dims")))
      return fmt::format("the output {} has no tokens", std::string_view(output.getSource()));
  }
  std::string reason;
  mixer.walk([&](ReadOp read) {
    Reach reach = reachOf(mixer, read);
    if (!reach.perToken)
      return;
    Operation *source = SymbolTable::lookupSymbolIn(mixer, read.getSourceAttr().getAttr());
    if (!reach.span || reach.span->second > 0)
      reason = fmt::format("{} is read ahead", std::string_view(read.getSource()));
    else if (reach.span->first < 0 && !isa<TensorOp>(source))
      reason = fmt::format("{} is read at earlier tokens and is no input",
                           std::string_view(read.getSource()));
  });
  return reason;
}

/// Turns a copy of a mixer into its summary.
class Summariser {
public:
  explicit Summariser(MixerOp mixer)
      : mixer(mixer), model(mixer), context(model.exprs()), forms(model), bounds(model) {}

  /// Empty, or why there is no summary; the mixer is then of no use.
  std::string run() {
    for (auto affine : mixer.getOps<AffineOp>())
      if (std::string why = whyNotDiagonal(affine); !why.empty())
        return why;
    for (auto &[name, equation] : model.nexts()) {
      std::string why;
      auto form = forms.of(equation, why);
      if (!form)
        return why;
      transitions[name] = std::move(*form);
    }
    std::string why;
    auto clusters = findClusters(why);
    if (!why.empty())
      return why;
    for (auto state : mixer.getOps<StateOp>())
      state.setInitAttr(FloatAttr::get(state.getInitAttr().getType(), 0.0));
    for (const auto &cluster : clusters)
      if (!addProducts(cluster, why))
        return why;
    SmallVector<ProducedOp> produced(mixer.getOps<ProducedOp>());
    for (auto affine : llvm::to_vector(mixer.getOps<AffineOp>()))
      if (!addDecays(affine, why))
        return why;
    model.write();
    for (ProducedOp op : produced)
      op.erase();
    keepWindows();
    return "";
  }

private:
  //===--- affine recurrences ---------------------------------------------===//

  int64_t extent(StateOp state, ArrayRef<int64_t> places) {
    int64_t size = 1;
    for (int64_t place : places)
      size *= model.size(cast<FlatSymbolRefAttr>(state.getDims()[place]).getAttr());
    return size;
  }

  std::string whyNotDiagonal(AffineOp affine) {
    StringAttr name = affine.getStateAttr().getAttr();
    for (StringAttr factor : factorsOf(affine))
      if (forms.isCarried(factor))
        return fmt::format("the factors of {} depend on another state", view(name));
    if (affine.getInner())
      return fmt::format(
          "the elements of an inner dim of {} mix with each other, and a segment would "
          "need a state for each",
          view(name));
    if (affine.states().size() > kMostCoupled)
      return fmt::format("{} states are coupled with {}", affine.states().size() - 1, view(name));
    size_t rank = 0;
    for (auto update : affine.getUpdates().getAsRange<UpdateAttr>())
      rank += llvm::any_of(update.getTerms(), [](TermAttr term) { return term.getRead() >= 0; });
    if (rank == 0)
      return "";
    // Reads and updates of the product and of the state from zero, against the forward pass's.
    StateOp state = model.state(name);
    double rows = extent(state, affine.getRows()) * affine.componentCount();
    double cols = extent(state, affine.getCols());
    double work = (rank + affine.getUpdates().size()) * (rows + cols) /
                  ((affine.getReads().size() + affine.getUpdates().size()) * cols);
    return fmt::format("the transition of {} is a {} plus rank {}: products of it are dense, "
                       "{:.0f} by {:.0f}, and with them a summary takes {:.1f} of the work itself",
                       view(name), affine.getCouplingAttr() ? "coupling" : "diagonal", rank, rows,
                       rows, work);
  }

  /// A state for the running product of a decay over some of the dims of a matrix state.
  bool addDecay(AffineOp affine, FlatSymbolRefAttr decay, ArrayRef<int64_t> side,
                SmallVectorImpl<Attribute> &factors, SmallVectorImpl<Attribute> &places,
                std::string &why) {
    if (!decay)
      return true;
    StateOp state = model.state(affine.getStateAttr().getAttr());
    StringAttr token = tokenDimOf(mixer).getAttr();
    auto dims = llvm::to_vector(model.dimsOf(decay.getAttr()).getAsRange<FlatSymbolRefAttr>());
    bool perToken = model.variesOverTokens(decay.getAttr());
    SmallVector<int64_t> at = affine.numbersOf(decay, side);
    StringAttr &name = decays[decay.getAttr()];
    if (!name) {
      SmallVector<Attribute> own;
      // The file's names of the token and of the state's dims.
      auto names = affine->getAttrOfType<ArrayAttr>("seq.names");
      auto nameOf = [&](int64_t dim) { return cast<StringAttr>(names[dim + 1]); };
      SmallVector<Var> left{context.freshVar(token, nameOf(-1))};
      SmallVector<Expr> subscripts;
      if (perToken)
        subscripts.push_back(context.index(left[0]));
      for (FlatSymbolRefAttr dim : llvm::drop_begin(dims, perToken ? 1 : 0)) {
        own.push_back(dim);
        left.push_back(context.freshVar(dim.getAttr(), nameOf(at[own.size() - 1])));
        subscripts.push_back(context.index(left.back()));
      }
      name = addState(decay.getValue() + ".product", own, 1, state);
      Transition factor{{context.read(decay.getAttr(), subscripts)}};
      if (!bounds.apply(factor, state.getSymNameAttr(), left, affine.getLoc(), why))
        return false;
      explainBound(name, why);
      addNext(name, left, context.mul(factor[0][0], readBefore(name, left, state.getDirection())),
              affine.getLoc());
    }
    factors.push_back(FlatSymbolRefAttr::get(name));
    places.push_back(DenseI64ArrayAttr::get(context.mlirContext(), at));
    return true;
  }

  /// The matrices over coupled states, in variables of the token and of the dims that an entry has.
  bool addCoupling(AffineOp affine, std::string &why) {
    ProductShape shape;
    if (!addDecay(affine, affine.getColDecayAttr(), affine.getCols(), shape.factors, shape.places,
                  why))
      return false;
    SmallVector<StringAttr> states;
    for (FlatSymbolRefAttr state : affine.states())
      states.push_back(state.getAttr());
    auto entries = llvm::to_vector(affine.getCouplingAttr().getAsRange<CouplingAttr>());
    for (CouplingAttr entry : entries)
      llvm::append_range(shape.dims, affine.numbersOf(entry.getFactor(), affine.getRows()));
    llvm::sort(shape.dims);
    shape.dims.erase(llvm::unique(shape.dims), shape.dims.end());
    auto names = affine->getAttrOfType<ArrayAttr>("seq.names");
    ArrayAttr stateDims = model.state(states[0]).getDims();
    SmallVector<Var> left{
        context.freshVar(tokenDimOf(mixer).getAttr(), cast<StringAttr>(names[0]))};
    llvm::SmallDenseMap<int64_t, Expr> at;
    for (int64_t dim : shape.dims) {
      left.push_back(context.freshVar(cast<FlatSymbolRefAttr>(stateDims[dim]).getAttr(),
                                      cast<StringAttr>(names[dim + 1])));
      at[dim] = context.index(left.back());
    }
    Transition matrix(states.size(), SmallVector<Expr>(states.size(), nullptr));
    for (CouplingAttr entry : entries) {
      StringAttr factor = entry.getFactor().getAttr();
      SmallVector<Expr> subscripts;
      if (model.variesOverTokens(factor))
        subscripts.push_back(context.index(left[0]));
      for (int64_t dim : affine.numbersOf(entry.getFactor(), affine.getRows()))
        subscripts.push_back(at[dim]);
      matrix[entry.getTo()][entry.getFrom()] = context.read(factor, subscripts);
    }
    return addProducts(states, matrix, left, shape, affine.getLoc(), why);
  }

  bool addDecays(AffineOp affine, std::string &why) {
    affine.setReadsAttr(ArrayAttr::get(context.mlirContext(), {}));
    if (affine.getCouplingAttr())
      return addCoupling(affine, why);
    SmallVector<Attribute> factors, places;
    if (!addDecay(affine, affine.getRowDecayAttr(), affine.getRows(), factors, places, why) ||
        !addDecay(affine, affine.getColDecayAttr(), affine.getCols(), factors, places, why))
      return false;
    addTransition(affine.getStateAttr(), affine.getStateAttr(), factors, places, affine.getLoc());
    return true;
  }

  //===--- states with equations ------------------------------------------===//

  /// States that mix with each other, directly or through others, in declared order.
  std::vector<SmallVector<StringAttr>> findClusters(std::string &why) {
    std::vector<SmallVector<StringAttr>> clusters;
    llvm::DenseSet<StringAttr> seen;
    for (auto state : mixer.getOps<StateOp>()) {
      StringAttr first = state.getSymNameAttr();
      if (!transitions.contains(first) || !seen.insert(first).second)
        continue;
      SmallVector<StringAttr> cluster{first};
      for (size_t i = 0; i < cluster.size(); ++i)
        for (auto &[name, form] : transitions)
          if ((form.contains(cluster[i]) || transitions[cluster[i]].contains(name)) &&
              seen.insert(name).second)
            cluster.push_back(name);
      llvm::sort(cluster, [&](StringAttr a, StringAttr b) {
        return model.state(a)->isBeforeInBlock(model.state(b));
      });
      if (cluster.size() > kMostCoupled) {
        why = fmt::format("{} states are coupled with {}", cluster.size() - 1, view(first));
        return {};
      }
      clusters.push_back(std::move(cluster));
    }
    return clusters;
  }

  /// The matrix of a cluster's transitions, in the variables of its first equation.
  Transition matrixOf(ArrayRef<StringAttr> cluster) {
    ArrayRef<Var> left = model.equation(cluster[0])->left;
    Transition matrix(cluster.size(), SmallVector<Expr>(cluster.size(), nullptr));
    for (size_t i = 0; i < cluster.size(); ++i) {
      Substitution map;
      for (auto [own, common] : llvm::zip(model.equation(cluster[i])->left, left))
        map[own] = context.index(common);
      for (size_t j = 0; j < cluster.size(); ++j)
        if (auto found = transitions[cluster[i]].find(cluster[j]);
            found != transitions[cluster[i]].end())
          matrix[i][j] = context.substitute(found->second, map);
    }
    return matrix;
  }

  /// States for the elements of the product of a cluster's transitions, each over the dims of its
  /// state so that they are computed, and split, as the state is.
  bool addProducts(ArrayRef<StringAttr> cluster, std::string &why) {
    size_t count = cluster.size();
    Transition at = matrixOf(cluster);
    auto reach = closure(at);
    if (count == 1 && reach[0][0] && at[0][0]->isReal(1)) {
      FlatSymbolRefAttr name = FlatSymbolRefAttr::get(cluster[0]);
      addTransition(name, name, {}, {}, model.state(cluster[0]).getLoc());
      return true;
    }
    ProductShape shape;
    shape.dims = llvm::to_vector(llvm::seq<int64_t>(0, model.state(cluster[0]).getDims().size()));
    return addProducts(cluster, at, model.equation(cluster[0])->left, shape,
                       model.equation(cluster[0])->loc, why);
  }

  /// The dims of states that the elements of a product of transitions have, by their numbers, and
  /// what else multiplies each of them.
  struct ProductShape {
    SmallVector<int64_t> dims;
    SmallVector<Attribute> factors, places;
  };

  bool addProducts(ArrayRef<StringAttr> cluster, Transition at, ArrayRef<Var> vars,
                   const ProductShape &shape, Location loc, std::string &why) {
    // They may be those of an equation, which moves when others are added.
    SmallVector<Var> left(vars);
    size_t count = cluster.size();
    auto reach = closure(at);
    if (!bounds.apply(at, cluster, left, loc, why))
      return false;
    // What starts from one is there even when nothing is left of it after a token.
    auto has = [&](size_t i, size_t j) { return i == j || reach[i][j]; };
    SmallVector<SmallVector<StringAttr>> names(count, SmallVector<StringAttr>(count));
    for (size_t j = 0; j < count; ++j)
      for (size_t i = 0; i < count; ++i)
        if (has(i, j) && llvm::any_of(llvm::seq(count), [&](size_t k) { return reach[k][j]; })) {
          StateOp state = model.state(cluster[i]);
          std::string base = cluster[i].str() + ".product";
          if (count > 1)
            base += "." + cluster[j].str();
          SmallVector<Attribute> dims;
          for (int64_t dim : shape.dims)
            dims.push_back(state.getDims()[dim]);
          names[i][j] = addState(base, dims, i == j ? 1 : 0, state);
          explainBound(names[i][j], why);
        }
    for (size_t j = 0; j < count; ++j)
      for (size_t i = 0; i < count; ++i) {
        if (!names[i][j])
          continue;
        StateOp state = model.state(cluster[i]);
        Expr body = nullptr;
        for (size_t via = 0; via < count; ++via)
          if (at[i][via] && names[via][j]) {
            Expr term =
                context.mul(at[i][via], readBefore(names[via][j], left, state.getDirection()));
            body = body ? context.add(body, term) : term;
          }
        addNext(names[i][j], left, body ? body : context.real(0), loc);
        if (!reach[i][j])
          continue;
        SmallVector<Attribute> factors{FlatSymbolRefAttr::get(names[i][j])},
            places{DenseI64ArrayAttr::get(context.mlirContext(), shape.dims)};
        llvm::append_range(factors, shape.factors);
        llvm::append_range(places, shape.places);
        addTransition(FlatSymbolRefAttr::get(cluster[i]), FlatSymbolRefAttr::get(cluster[j]),
                      factors, places, loc);
      }
    return true;
  }

  //===--- writing --------------------------------------------------------===//

  StringAttr addState(const Twine &base, ArrayRef<Attribute> dims, double init, StateOp like) {
    StringAttr name = model.freshName(base);
    OpBuilder builder(context.mlirContext());
    // Behind the states there are: the first components of the carry are those of the mixer.
    StateOp last = like;
    for (auto state : mixer.getOps<StateOp>())
      last = state;
    builder.setInsertionPointAfter(last);
    model.declare(StateOp::create(builder, like.getLoc(), name, builder.getArrayAttr(dims),
                                  builder.getF64FloatAttr(init), like.getDirectionAttr()));
    return name;
  }

  void explainBound(StringAttr product, const std::string &words) {
    model.state(product)->setAttr("seq.bound", StringAttr::get(context.mlirContext(), words));
  }

  Expr readBefore(StringAttr name, ArrayRef<Var> left, Direction direction) {
    int64_t past = direction == Direction::Forward ? -1 : 1;
    SmallVector<Expr> subscripts{context.add(context.index(left[0]), context.integer(past))};
    for (Var var : left.drop_front())
      subscripts.push_back(context.index(var));
    return context.read(name, subscripts);
  }

  void addNext(StringAttr name, ArrayRef<Var> left, Expr body, Location loc) {
    model.nexts().insert({name, Equation{name, llvm::to_vector(left), body, nullptr, loc}});
  }

  void addTransition(FlatSymbolRefAttr to, FlatSymbolRefAttr from, ArrayRef<Attribute> factors,
                     ArrayRef<Attribute> places, Location loc) {
    auto builder = OpBuilder::atBlockEnd(&mixer.getBody().front());
    TransitionOp::create(builder, loc, to, from, builder.getArrayAttr(factors),
                         builder.getArrayAttr(places));
  }

  /// Windows of what is still read at earlier tokens.
  void keepWindows() {
    llvm::DenseSet<StringAttr> wanted;
    mixer.walk([&](ReadOp read) {
      if (Reach reach = reachOf(mixer, read); reach.span && reach.span->first < 0)
        wanted.insert(read.getSourceAttr().getAttr());
    });
    keepCarryWindows(mixer, [&](StringAttr name) { return wanted.contains(name); });
  }

  MixerOp mixer;
  Model model;
  ExprContext &context;
  LinearForms forms;
  TransitionBounds bounds;
  llvm::DenseMap<StringAttr, LinearForm> transitions; // of states with equations
  llvm::DenseMap<StringAttr, StringAttr> decays;      // decay -> state of its product
};

class Summarise : public impl::SummariseBase<Summarise> {
  void runOnOperation() override {
    SmallVector<MixerOp> mixers(getOperation().getOps<MixerOp>());
    for (MixerOp mixer : mixers)
      if (!mixer.getSummaryOf() && !mixer.getOps<StateOp>().empty())
        summarise(mixer);
  }

  void summarise(MixerOp mixer) {
    std::string reason = whyNotApart(mixer);
    if (reason.empty()) {
      OpBuilder builder(mixer.getContext());
      builder.setInsertionPointAfter(mixer);
      auto copy = cast<MixerOp>(builder.clone(*mixer));
      copy.setSymName((mixer.getSymName() + ".summary").str());
      copy.setSummaryOfAttr(FlatSymbolRefAttr::get(mixer.getSymNameAttr()));
      for (auto output : llvm::make_early_inc_range(copy.getOps<OutputOp>()))
        output.erase();
      reason = Summariser(copy).run();
      if (reason.empty())
        return;
      copy.erase();
    }
    mixer->setAttr("seq.unsplit", StringAttr::get(mixer.getContext(), reason));
  }
};

} // namespace
} // namespace seqmix
