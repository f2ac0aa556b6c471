//===- Explain.cpp - what was derived from a mixer, in words ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Explain.h"

#include "compiler/structure/Range.h"
#include "compiler/structure/Work.h"
#include "dialect/Carry.h"
#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
namespace {

std::string_view view(StringAttr name) { return name.getValue(); }

class Explainer {
public:
  Explainer(MixerOp mixer, llvm::raw_ostream &os, ExplainOptions options)
      : mixer(mixer), model(mixer), context(model.exprs()), ranges(model), os(os),
        options(options) {}

  void run() {
    for (auto group : mixer.getOps<RecurrenceOp>())
      for (auto member : group.getMembers().getAsRange<FlatSymbolRefAttr>())
        inLoops.insert(member.getAttr());
    os << fmt::format("mixer {}   (values in {}{})\n", std::string_view(mixer.getSymName()),
                      mixer.getCompute().isF64() ? "f64" : "f32", schedule());
    for (auto state : mixer.getOps<StateOp>())
      explainState(state);
    if (mixer.getOps<StateOp>().empty())
      os << "\nno states: every definition is made for all tokens at once\n";
    explainAround();
    explainCarry();
    explainWork();
    os << "\n";
  }

private:
  //===--- text -----------------------------------------------------------===//

  void line(StringRef label, const std::string &text) {
    os << fmt::format("  {:<10}{}\n", std::string_view(label), text);
  }

  std::string show(Expr e) { return toString(context, inlineMade(e)); }

  // Definitions that the compiler added have a dot in their names; people want to see what they
  // are.
  Expr inlineMade(Expr e) {
    return context.inlineReads(e, [&](StringAttr name) -> const Equation * {
      auto found = model.definitions().find(name);
      bool isMade = name.getValue().contains('.') && !inLoops.contains(name);
      return found != model.definitions().end() && isMade ? &found->second : nullptr;
    });
  }

  std::string schedule() {
    if (!options.kernel)
      return "";
    std::string text = fmt::format("; {} tokens a chunk", options.kernel.getChunk());
    if (auto split = options.kernel.getSplitAttr())
      text += fmt::format("; tasks of {} elements of {}", *options.kernel.getSplitSize(),
                          view(split.getAttr()));
    return text;
  }

  //===--- variables ------------------------------------------------------===//

  StringAttr tokenDim() {
    for (auto dim : mixer.getOps<DimOp>())
      if (dim.getKind() == DimKind::Runtime)
        return dim.getSymNameAttr();
    return nullptr;
  }

  // A factor's symbol at variables with the same dims, in order.
  Expr readAt(FlatSymbolRefAttr symbol, ArrayRef<Var> vars) {
    SmallVector<Expr> subscripts;
    auto next = vars.begin();
    for (auto dim : model.dimsOf(symbol.getAttr()).getAsRange<FlatSymbolRefAttr>()) {
      next = std::find_if(next, vars.end(), [&](Var v) { return v->dim == dim.getAttr(); });
      assert(next != vars.end() && "a factor over other dims");
      subscripts.push_back(context.index(*next++));
    }
    return context.read(symbol.getAttr(), subscripts);
  }

  std::string stateText(StateOp state, ArrayRef<Var> vars, StringRef token) {
    std::string text = token.str();
    for (Var var : vars)
      text += (text.empty() ? "" : ",") + var->name.str();
    return fmt::format("{}[{}]", view(state.getSymNameAttr()), text);
  }

  std::string sizes(ArrayAttr dims) {
    std::string text;
    for (auto dim : dims.getAsRange<FlatSymbolRefAttr>())
      text += fmt::format("{}{}", text.empty() ? "" : " x ", model.size(dim.getAttr()));
    return text.empty() ? "a scalar" : text;
  }

  //===--- states ---------------------------------------------------------===//

  void explainState(StateOp state) {
    for (auto affine : mixer.getOps<AffineOp>())
      if (affine.getStateAttr().getAttr() == state.getSymNameAttr())
        return explainAffine(state, affine);
    for (auto group : mixer.getOps<RecurrenceOp>()) {
      auto states = llvm::to_vector(group.getStates().getAsRange<FlatSymbolRefAttr>());
      if (states.front().getAttr() == state.getSymNameAttr())
        return explainGroup(group);
    }
  }

  static const char *words(Direction direction) {
    return direction == Direction::Forward ? "forwards" : "backwards (no step)";
  }

  void explainAffine(StateOp state, AffineOp op) {
    auto names = op->getAttrOfType<ArrayAttr>("seq.names").getAsRange<StringAttr>();
    auto name = names.begin();
    Var token = context.freshVar(tokenDim(), *name);
    SmallVector<Var> all, rows{token}, cols{token};
    for (auto dim : state.getDims().getAsRange<FlatSymbolRefAttr>())
      all.push_back(context.freshVar(dim.getAttr(), *++name));
    for (int64_t place : op.getRows())
      rows.push_back(all[place]);
    for (int64_t place : op.getCols())
      cols.push_back(all[place]);
    std::string t = token->name.str();
    std::string past = t + (op.getDirection() == Direction::Forward ? "-1" : "+1");

    Expr rowDecay = op.getRowDecayAttr() ? inlineMade(readAt(op.getRowDecayAttr(), rows)) : nullptr;
    Expr colDecay = op.getColDecayAttr() ? inlineMade(readAt(op.getColDecayAttr(), cols)) : nullptr;
    unsigned rank = 0;
    for (auto update : op.getUpdates().getAsRange<UpdateAttr>())
      rank += llvm::any_of(update.getTerms(), [](TermAttr term) { return term.getRead() >= 0; });

    os << fmt::format("\nstate {}: {}, {}\n", stateText(state, all, ""),
                      affineClass(op, rowDecay, colDecay, rows, cols, rank),
                      words(op.getDirection()));
    line("factors", fmt::format("{} = {}", stateText(state, all, t),
                                decayText(rowDecay, colDecay, stateText(state, all, past))));
    for (auto update : op.getUpdates().getAsRange<UpdateAttr>())
      line("", fmt::format("    + {}", updateText(update, op, rows, cols)));
    for (auto [number, read] : llvm::enumerate(op.getReads().getAsRange<RowReadAttr>()))
      line("", fmt::format("{} = {}", readName(op, number, cols),
                           sumText(read, ArrayRef(rows).drop_front(), rows,
                                   stateText(state, all, read.getBefore() ? past : t))));
    line("shape", fmt::format("rows {} and columns {} ({})", listed(ArrayRef(rows).drop_front()),
                              listed(ArrayRef(cols).drop_front()), sizes(state.getDims())));
    explainBlock(state, op, rank);
    explainDecay("decay", rowDecay, colDecay);
    explainRejected(state, op, rank);
  }

  std::string listed(ArrayRef<Var> vars) {
    std::string text;
    for (Var var : vars)
      text += (text.empty() ? "" : ",") + var->name.str();
    return text;
  }

  std::string affineClass(AffineOp op, Expr rowDecay, Expr colDecay, ArrayRef<Var> rows,
                          ArrayRef<Var> cols, unsigned rank) {
    bool overRows =
        rowDecay && llvm::any_of(rows.drop_front(), [&](Var v) { return rowDecay->dependsOn(v); });
    std::string text = "affine, ";
    if (!rowDecay && !colDecay)
      text += rank ? "identity" : "no decay";
    else if (rowDecay && rowDecay->isReal(0))
      text += "nothing kept";
    else if (overRows && colDecay)
      text += "decay over rows and columns";
    else if (overRows)
      text += "per-row decay";
    else if (colDecay)
      text += "per-column decay";
    else
      text += "scalar decay";
    bool varies = (rowDecay && rowDecay->dependsOn(rows.front())) ||
                  (colDecay && colDecay->dependsOn(rows.front()));
    if ((rowDecay || colDecay) && !varies)
      text += ", the same for every token";
    if (rank)
      text += fmt::format(" plus rank {}", rank);
    return text;
  }

  std::string decayText(Expr rowDecay, Expr colDecay, const std::string &state) {
    if (rowDecay && rowDecay->isReal(0))
      return "0";
    Product p;
    for (Expr decay : {rowDecay, colDecay})
      if (decay)
        p.factors.push_back(decay);
    if (p.factors.empty())
      return state;
    return bracket(p.factors.size() == 1 ? p.factors[0] : context.product(p)) + " * " + state;
  }

  static bool needsBrackets(Expr e) {
    return e->isBinary(BinaryFn::Add) || e->isBinary(BinaryFn::Sub) || e->is(ExprKind::Select) ||
           e->is(ExprKind::Reduce);
  }
  std::string bracket(Expr e) { return needsBrackets(e) ? "(" + show(e) + ")" : show(e); }

  std::string readName(AffineOp op, int64_t number, ArrayRef<Var> cols) {
    auto read = cast<RowReadAttr>(op.getReads()[number]);
    std::string name = read.getResult()
                           ? read.getResult().getValue().str()
                           : fmt::format("{}.U{}", view(op.getStateAttr().getAttr()), number);
    return fmt::format("{}[{}]", name, listed(cols));
  }

  std::string updateText(UpdateAttr update, AffineOp op, ArrayRef<Var> rows, ArrayRef<Var> cols) {
    std::string terms;
    for (TermAttr term : update.getTerms()) {
      Product p;
      if (term.getCoef())
        p = context.factors(inlineMade(readAt(term.getCoef(), cols)));
      if (term.getRight()) {
        Product right = context.factors(inlineMade(readAt(term.getRight(), cols)));
        p.coef *= right.coef;
        llvm::append_range(p.factors, right.factors);
      }
      bool isNegative = p.coef < 0;
      p.coef = std::abs(p.coef);
      std::string text = p.coef == 1 && p.factors.empty() ? "" : bracket(context.product(p));
      if (term.getRead() >= 0)
        text += (text.empty() ? "" : " * ") + readName(op, term.getRead(), cols);
      if (text.empty())
        text = "1";
      terms += terms.empty() ? (isNegative ? "-" : "") + text : (isNegative ? " - " : " + ") + text;
    }
    Expr left = inlineMade(readAt(update.getLeft(), rows));
    bool isSum = update.getTerms().size() > 1;
    if (left->isReal(1))
      return terms;
    return bracket(left) + " * " + (isSum || terms[0] == '-' ? "(" + terms + ")" : terms);
  }

  std::string sumText(RowReadAttr read, ArrayRef<Var> rowVars, ArrayRef<Var> rows,
                      const std::string &state) {
    Expr row = inlineMade(readAt(read.getRow(), rows));
    return fmt::format("sum[{}] {}{}", listed(rowVars), row->isReal(1) ? "" : bracket(row) + " * ",
                       state);
  }

  void explainBlock(StateOp state, AffineOp op, unsigned rank) {
    int64_t block = 0;
    if (options.kernel)
      options.kernel.walk([&](SolveOp solve) {
        if (solve.getStateAttr().getAttr() == state.getSymNameAttr())
          block = solve.getBlock();
      });
    std::string tokens = block ? fmt::format("{} tokens", block) : "several tokens";
    std::string text = fmt::format("block form: the state is read and written once for {}", tokens);
    if (rank)
      text += fmt::format(", with a unit lower triangular solve of {} row{} a token", rank,
                          rank > 1 ? "s" : "");
    line("form", text);
  }

  // What is known about the size of decays, and of the exponentials in them.
  void explainDecay(StringRef label, Expr rowDecay, Expr colDecay) {
    bool any = false;
    for (Expr decay : {rowDecay, colDecay}) {
      if (!decay || decay->is(ExprKind::Real))
        continue;
      any = true;
      Interval range = ranges.of(decay);
      Facts facts;
      ranges.explain(decay, facts);
      std::string text = fmt::format("{} in {}", show(decay), toString(range));
      if (range.within(0, 1))
        text += ": no product of decays exceeds 1";
      else if (range.within(-1, 1))
        text += ": no product of decays exceeds 1 in size";
      else if (range.low >= 0)
        text += ": may exceed 1; blocks use running products, which grow only as the equation "
                "itself does";
      else
        text += ": of any sign and size; blocks use running products, which grow only as the "
                "equation itself does";
      line(label, text);
      if (!facts.list.empty())
        line("", fmt::format("because {}", fmt::join(facts.list, ", ")));
    }
    if (any)
      line("exponents", exponentText(rowDecay, colDecay));
  }

  std::string exponentText(Expr rowDecay, Expr colDecay) {
    SmallVector<Expr> exponents;
    for (Expr decay : {rowDecay, colDecay})
      if (decay)
        collectExponents(decay, exponents);
    if (exponents.empty())
      return "none: decays are multiplied as they are";
    std::string text;
    Facts distinct;
    for (Expr e : exponents)
      distinct.insert(exponentFact(e));
    text = fmt::format("{}", fmt::join(distinct.list, "; "));
    return text + "; taken once a token, never of differences of sums";
  }

  std::string exponentFact(Expr e) {
    Interval range = ranges.of(e);
    if (range.high <= 0)
      return fmt::format("{} <= 0", show(e));
    if (range.high < 80)
      return fmt::format("{} <= {:.4g}", show(e), range.high);
    return fmt::format("{} has no known bound, as in the equation", show(e));
  }

  void collectExponents(Expr e, SmallVectorImpl<Expr> &exponents) {
    Expr whole = context.inlineReads(e, [&](StringAttr name) -> const Equation * {
      auto found = model.definitions().find(name);
      return found != model.definitions().end() ? &found->second : nullptr;
    });
    context.walk(whole, [&](Expr node) {
      if (node->isUnary(UnaryFn::Exp) && !llvm::is_contained(exponents, node->operand(0)) &&
          isOpen(node))
        exponents.push_back(node->operand(0));
    });
  }

  // Not under a reduction, whose own variables would show.
  static bool isOpen(Expr e) {
    return llvm::all_of(e->freeVars(), [](Var v) { return v->level == 0; });
  }

  void explainRejected(StateOp state, AffineOp op, unsigned rank) {
    double bytes = mixer.getCompute().isF64() ? 8 : 4;
    for (auto dim : state.getDims().getAsRange<FlatSymbolRefAttr>())
      bytes *= model.size(dim.getAttr());
    line("rejected", fmt::format("token-by-token loop: moves the {:.0f} bytes of the state through "
                                 "registers for every token",
                                 bytes));
    if (rank)
      line("", fmt::format("elementwise scan: the transition mixes rows (rank {})", rank));
    else
      line("",
           fmt::format("elementwise scan: would keep the state of every token, {:.0f} bytes each",
                       bytes));
  }

  //===--- groups ---------------------------------------------------------===//

  static const char *words(StateClass stateClass) {
    switch (stateClass) {
    case StateClass::Elementwise:
      return "elementwise affine";
    case StateClass::Selective:
      return "selective: elementwise affine, the decay over several indices";
    case StateClass::CoupledLinear:
      return "linear, a few elements coupled at each index";
    case StateClass::DenseLinear:
      return "linear with a dense transition";
    case StateClass::Stabilised:
      return "maximum-carried (stabiliser)";
    case StateClass::NonlinearDiagonal:
      return "nonlinear, diagonal Jacobian";
    case StateClass::NonlinearDense:
      return "nonlinear, dense Jacobian";
    }
    llvm_unreachable("class");
  }

  void explainGroup(RecurrenceOp group) {
    auto states = llvm::to_vector(group.getStates().getAsRange<FlatSymbolRefAttr>());
    std::string names;
    for (FlatSymbolRefAttr name : states)
      names += fmt::format("{}{}", names.empty() ? "" : ", ",
                           leftText(*model.equation(name.getAttr()), true));
    StateOp first = model.state(states.front().getAttr());
    os << fmt::format("\nstate{} {}: {}, {}\n", states.size() > 1 ? "s" : "", names,
                      words(group.getStateClass()), words(group.getDirection()));
    StringRef label = "equations";
    for (auto member : group.getMembers().getAsRange<FlatSymbolRefAttr>()) {
      const Equation &equation = *model.equation(member.getAttr());
      line(label,
           fmt::format("{} = {}", leftText(equation, false), toString(context, equation.body)));
      label = "";
    }
    line("shape", fmt::format("{}", sizes(first.getDims())));
    explainLoop(group, first);
    explainExponents(group);
    if (auto reason = first->getAttrOfType<StringAttr>("seq.not_affine"))
      line("rejected", fmt::format("block form: {}", view(reason)));
    if (group.getStateClass() == StateClass::NonlinearDense ||
        group.getStateClass() == StateClass::NonlinearDiagonal)
      line("", "parallel scan: the transition is not linear in the state");
    if (group.getStateClass() == StateClass::DenseLinear)
      line("", "parallel scan: products of dense transitions cost more than the loop");
  }

  std::string leftText(const Equation &equation, bool isState) {
    SmallVector<Expr> left;
    for (Var var : ArrayRef(equation.left).drop_front(isState))
      left.push_back(context.index(var));
    std::string text = toString(context, context.read(equation.name, left));
    return isState && left.empty() ? text + "[]" : text;
  }

  void explainLoop(RecurrenceOp group, StateOp state) {
    std::string text = "token by token";
    if (auto lanes = group.getLanesAttr())
      text += fmt::format(", lanes over {} ({}): its elements are independent",
                          view(lanes.getAttr()), model.size(lanes.getAttr()));
    else if (state.getDims().empty())
      text += ", one scalar a batch element";
    else
      text += ", each equation for all its elements before the next: no index is independent of "
              "the others";
    line("form", text);
    auto members = llvm::to_vector(group.getMembers().getAsRange<FlatSymbolRefAttr>());
    auto isJoined = [&](FlatSymbolRefAttr member) {
      return !model.state(member.getAttr()) &&
             model.equation(member.getAttr())->body->is(ExprKind::Reduce);
    };
    auto joined = llvm::find_if(members, isJoined);
    if (joined != members.end() && state.getDims().size() > 1)
      line("", fmt::format("the state is never stored for all tokens: {} is made in the loop",
                           view(joined->getAttr())));
  }

  void explainExponents(RecurrenceOp group) {
    SmallVector<Expr> exponents;
    Facts facts;
    for (auto member : group.getMembers().getAsRange<FlatSymbolRefAttr>())
      collectExponents(model.equation(member.getAttr())->body, exponents);
    Facts distinct;
    for (Expr e : exponents) {
      distinct.insert(exponentFact(e));
      if (ranges.of(e).high <= 0)
        ranges.explain(e, facts);
    }
    if (distinct.list.empty())
      return;
    line("exponents", fmt::format("{}", fmt::join(distinct.list, "; ")));
    if (!facts.list.empty())
      line("", fmt::format("because {}", fmt::join(facts.list, ", ")));
  }

  //===--- around the states ----------------------------------------------===//

  // Definitions outside the recurrences; compiler-made ones show where they are used.
  void explainAround() {
    os << "\n";
    StringRef label = "around";
    for (auto &[name, equation] : model.definitions()) {
      if (inLoops.contains(name) || name.getValue().contains('.'))
        continue;
      line(label, fmt::format("{} = {}{}", leftText(equation, false), show(equation.body),
                              model.tokenOf(equation) ? "" : "   (once)"));
      label = "";
    }
  }

  //===--- carry and work -------------------------------------------------===//

  void explainCarry() {
    double total = 4;
    std::string components;
    bool isDouble = mixer.getCompute().isF64();
    for (const CarryComponent &component : carryComponents(mixer)) {
      double bytes = component.isInteger || !isDouble ? 4 : 8;
      std::string shape;
      for (int64_t size : component.shape) {
        bytes *= size;
        shape += fmt::format("{}{}", shape.empty() ? "" : ", ", size);
      }
      total += bytes;
      line(components.empty() ? "carry" : "",
           fmt::format("{} [{}]: {:.0f} bytes", component.name, shape, bytes));
      components += component.name;
    }
    line(components.empty() ? "carry" : "",
         fmt::format("position: 4 bytes; together {:.0f} bytes for each batch element", total));
    if (auto reason = mixer.getNoStepAttr())
      line("step", fmt::format("none: {}", view(reason)));
  }

  void explainWork() {
    Work work = workOf(model);
    line("work", fmt::format("{:.0f} operations and {:.0f} calls of functions, {:.0f} bytes in and "
                             "{:.0f} bytes out, for each token",
                             work.operations, work.functions, work.bytesIn, work.bytesOut));
    double bytes = work.bytesIn + work.bytesOut;
    if (bytes > 0)
      line("", fmt::format("{:.1f} operations a byte", (work.operations + work.functions) / bytes));
  }

  MixerOp mixer;
  Model model;
  ExprContext &context;
  Ranges ranges;
  llvm::raw_ostream &os;
  ExplainOptions options;
  llvm::DenseSet<StringAttr> inLoops; // members of recurrences
};

} // namespace

void explain(MixerOp mixer, llvm::raw_ostream &os, const ExplainOptions &options) {
  Explainer(mixer, os, options).run();
}

} // namespace seqmix
