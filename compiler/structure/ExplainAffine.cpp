//===- ExplainAffine.cpp - canonical affine recurrences in words --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/ExplainText.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
namespace {

class AffineExplainer {
public:
  explicit AffineExplainer(ExplainText &shared) : shared(shared) {}

  void run(StateOp state, AffineOp op) {
    auto names = op->getAttrOfType<ArrayAttr>("seq.names").getAsRange<StringAttr>();
    auto name = names.begin();
    Var token = context.freshVar(tokenDim(), *name);
    SmallVector<Var> all, rows{token}, cols{token};
    for (auto dim : state.getDims().getAsRange<FlatSymbolRefAttr>())
      all.push_back(context.freshVar(dim.getAttr(), *++name));
    // The variables of one side, as factors have them; an outer one belongs to both sides.
    for (int64_t place : op.withOuter(op.getRows()))
      rows.push_back(all[place]);
    for (int64_t place : op.withOuter(op.getCols()))
      cols.push_back(all[place]);
    SmallVector<Var> outer, onlyRows, onlyCols;
    for (int64_t place : op.outerDims())
      outer.push_back(all[place]);
    for (int64_t place : op.getRows())
      onlyRows.push_back(all[place]);
    for (int64_t place : op.getCols())
      onlyCols.push_back(all[place]);
    std::string t = token->name.str();
    std::string past = t + (op.getDirection() == Direction::Forward ? "-1" : "+1");

    Expr rowDecay = op.getRowDecayAttr() ? inlineMade(readAt(op.getRowDecayAttr(), rows)) : nullptr;
    Expr colDecay = op.getColDecayAttr() ? inlineMade(readAt(op.getColDecayAttr(), cols)) : nullptr;
    unsigned rank = 0;
    for (auto update : op.getUpdates().getAsRange<UpdateAttr>())
      rank += llvm::any_of(update.getTerms(), [](TermAttr term) { return term.getRead() >= 0; });

    shared.os << fmt::format("\nstate {}: {}, {}\n", stateText(state, all, ""),
                             affineClass(rowDecay, colDecay, onlyRows, token, rank),
                             ExplainText::words(op.getDirection()));
    line("factors", fmt::format("{} = {}", stateText(state, all, t),
                                decayText(rowDecay, colDecay, stateText(state, all, past))));
    for (auto update : op.getUpdates().getAsRange<UpdateAttr>())
      line("", fmt::format("    + {}", updateText(update, op, rows, cols)));
    for (auto [number, read] : llvm::enumerate(op.getReads().getAsRange<RowReadAttr>()))
      line("", fmt::format("{} = {}", readName(op, number, cols),
                           sumText(read, onlyRows, rows,
                                   stateText(state, all, read.getBefore() ? past : t))));
    std::string each = outer.empty() ? "" : fmt::format(", a matrix for each {}", listed(outer));
    line("shape", fmt::format("rows {} and columns {}{} ({})", listed(onlyRows), listed(onlyCols),
                              each, shared.sizes(state.getDims())));
    explainBlock(state, rank);
    explainDecay("decay", rowDecay, colDecay);
    explainFactors(op, rows, cols);
    explainRejected(state, rank);
  }

private:
  std::string listed(ArrayRef<Var> vars) {
    std::string text;
    for (Var var : vars)
      text += (text.empty() ? "" : ",") + var->name.str();
    return text;
  }

  std::string affineClass(Expr rowDecay, Expr colDecay, ArrayRef<Var> rows, Var token,
                          unsigned rank) {
    bool overRows = rowDecay && llvm::any_of(rows, [&](Var v) { return rowDecay->dependsOn(v); });
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
    bool varies =
        (rowDecay && rowDecay->dependsOn(token)) || (colDecay && colDecay->dependsOn(token));
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

  void explainBlock(StateOp state, unsigned rank) {
    int64_t block = 0;
    if (shared.options.kernel)
      shared.options.kernel.walk([&](SolveOp solve) {
        if (solve.getStateAttr().getAttr() == state.getSymNameAttr())
          block = solve.getBlock();
      });
    std::string tokens = block == 1 ? "each token"
                         : block    ? fmt::format("{} tokens", block)
                                    : "several tokens";
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
        shared.collectExponents(decay, exponents);
    if (exponents.empty())
      return "none: decays are multiplied as they are";
    std::string text;
    Facts distinct;
    for (Expr e : exponents) {
      distinct.insert(shared.exponentFact(e));
      shared.explained.insert(e);
    }
    text = fmt::format("{}", fmt::join(distinct.list, "; "));
    return text + "; taken once a token, never of differences of sums";
  }

  // Exponents in what else the recurrence is made of; the user's definitions tell of their own.
  void explainFactors(AffineOp op, ArrayRef<Var> rows, ArrayRef<Var> cols) {
    SmallVector<Expr> exponents;
    auto collect = [&](FlatSymbolRefAttr factor, ArrayRef<Var> side) {
      if (factor && factor.getValue().contains('.'))
        shared.collectExponents(inlineMade(readAt(factor, side)), exponents);
    };
    for (auto update : op.getUpdates().getAsRange<UpdateAttr>()) {
      collect(update.getLeft(), rows);
      for (TermAttr term : update.getTerms()) {
        collect(term.getCoef(), cols);
        collect(term.getRight(), cols);
      }
    }
    for (auto read : op.getReads().getAsRange<RowReadAttr>())
      collect(read.getRow(), rows);
    shared.explainExponents(exponents);
  }

  void explainRejected(StateOp state, unsigned rank) {
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

  // The shared parts, under their own names.
  ExplainText &shared;
  Model &model = shared.model;
  ExprContext &context = shared.context;
  Ranges &ranges = shared.ranges;
  MixerOp mixer = shared.mixer;

  void line(StringRef label, const std::string &text) { shared.line(label, text); }
  std::string show(Expr e) { return shared.show(e); }
  Expr inlineMade(Expr e) { return shared.inlineMade(e); }
};

} // namespace

void explainAffine(ExplainText &text, StateOp state, AffineOp op) {
  AffineExplainer(text).run(state, op);
}

} // namespace seqmix
