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
    SmallVector<Var> both{token}; // the sides of a factor for every element
    for (int64_t place : op.withOuter(op.factorSide(ReadKind::RowElements)))
      both.push_back(all[place]);
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

    // Of several components.
    SmallVector<Expr> coupling(op.componentCount() * op.componentCount());
    if (ArrayAttr entries = op.getCouplingAttr())
      for (auto entry : entries.getAsRange<CouplingAttr>())
        coupling[entry.getTo() * op.componentCount() + entry.getFrom()] =
            inlineMade(readAt(entry.getFactor(), rows));

    std::string title;
    for (FlatSymbolRefAttr symbol : op.states())
      title += (title.empty() ? "" : ", ") + stateText(symbol.getAttr(), all, "");
    bool isCoupled = op.componentCount() > 1;
    shared.os << fmt::format("\nstate{} {}: {}, {}\n", op.states().size() > 1 ? "s" : "", title,
                             isCoupled ? coupledClass(op, coupling, onlyRows, token, rank)
                                       : affineClass(rowDecay, colDecay, onlyRows, token, rank),
                             ExplainText::words(op.getDirection()));
    auto component = [&](int64_t number, const std::string &at) {
      return componentText(op, number, all, at);
    };
    for (int64_t a = 0; a < op.componentCount(); ++a) {
      std::string kept = isCoupled ? mixedText(coupling, colDecay, a,
                                               [&](int64_t b) { return component(b, past); })
                                   : decayText(rowDecay, colDecay, component(a, past));
      line(a ? "" : "factors", fmt::format("{} = {}", component(a, t), kept));
      for (auto update : op.getUpdates().getAsRange<UpdateAttr>())
        for (RowFactorAttr left : update.getLefts())
          if (left.getComponent() == a)
            line("", fmt::format("    + {}", updateText(update, left, op, rows, cols)));
    }
    for (auto [number, read] : llvm::enumerate(op.getReads().getAsRange<RowReadAttr>()))
      line("",
           fmt::format("{} = {}", readName(op, number, sumsColumns(read.getKind()) ? rows : cols),
                       sumText(read, sumsColumns(read.getKind()) ? onlyCols : onlyRows,
                               factorVars(read.getKind(), rows, cols, both), [&](int64_t number) {
                                 return component(number, read.getBefore() ? past : t);
                               })));
    if (isCoupled)
      line("coupling", couplingText(op, coupling, component));
    std::string each = outer.empty() ? "" : fmt::format(", a matrix for each {}", listed(outer));
    line("shape", fmt::format("rows {} and columns {}{} ({})", listed(onlyRows), listed(onlyCols),
                              each, shared.sizes(state.getDims())));
    if (!shared.options.isForDevice)
      explainBlock(op, state, rank);
    if (isCoupled)
      explainCoupling(coupling, colDecay);
    else
      explainDecay("decay", rowDecay, colDecay);
    explainFactors(op, rows, cols, both);
    if (!shared.options.isForDevice)
      explainRejected(op, state, rank);
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

  std::string coupledClass(AffineOp op, ArrayRef<Expr> coupling, ArrayRef<Var> rows, Var token,
                           unsigned rank) {
    auto depends = [&](auto on) {
      return llvm::any_of(coupling, [&](Expr entry) { return entry && on(entry); });
    };
    bool overRows = depends(
        [&](Expr entry) { return llvm::any_of(rows, [&](Var v) { return entry->dependsOn(v); }); });
    std::string text = fmt::format("affine, {} coupled matrices, ", op.componentCount());
    text += overRows ? "coupling per row" : "scalar coupling";
    if (op.getColDecayAttr())
      text += " and a decay over columns";
    else if (!depends([&](Expr entry) { return entry->dependsOn(token); }))
      text += ", the same for every token";
    return rank ? text + fmt::format(" plus rank {}", rank) : text;
  }

  // Which component takes which at the token before.
  std::string couplingText(AffineOp op, ArrayRef<Expr> coupling,
                           llvm::function_ref<std::string(int64_t, const std::string &)> name) {
    int64_t count = op.componentCount();
    std::string text;
    for (int64_t a = 0; a < count; ++a) {
      std::string from;
      for (int64_t b = 0; b < count; ++b)
        if (coupling[a * count + b])
          from += (from.empty() ? "" : ", ") + name(b, "");
      text += fmt::format("{}{} from {}", text.empty() ? "" : "; ", name(a, ""),
                          from.empty() ? "none" : from);
    }
    int64_t entries = llvm::count_if(coupling, [](Expr entry) { return entry != nullptr; });
    return text +
           fmt::format(": {} of {} entries of the matrices over them", entries, count * count);
  }

  std::string mixedText(ArrayRef<Expr> coupling, Expr colDecay, int64_t to,
                        llvm::function_ref<std::string(int64_t)> state) {
    int64_t count = 0;
    while (count * count < static_cast<int64_t>(coupling.size()))
      ++count;
    std::string text;
    int64_t terms = 0;
    for (int64_t from = 0; from < count; ++from)
      if (Expr entry = coupling[to * count + from]) {
        bool isNegative = terms > 0 && entry->isUnary(UnaryFn::Neg);
        entry = isNegative ? entry->operand(0) : entry;
        text += (terms++ == 0 ? ""
                 : isNegative ? " - "
                              : " + ") +
                decayText(entry->isReal(1) ? nullptr : entry, nullptr, state(from));
      }
    if (terms == 0)
      return "0";
    if (!colDecay)
      return text;
    return bracket(colDecay) + " * " + (terms > 1 ? "(" + text + ")" : text);
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

  std::string updateText(UpdateAttr update, RowFactorAttr factor, AffineOp op, ArrayRef<Var> rows,
                         ArrayRef<Var> cols) {
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
    Expr left = inlineMade(readAt(factor.getSymbol(), rows));
    bool isSum = update.getTerms().size() > 1;
    if (left->isReal(1))
      return terms;
    return bracket(left) + " * " + (isSum || terms[0] == '-' ? "(" + terms + ")" : terms);
  }

  // What the factors of a read may vary over.
  static ArrayRef<Var> factorVars(ReadKind kind, ArrayRef<Var> rows, ArrayRef<Var> cols,
                                  ArrayRef<Var> both) {
    if (weighsElements(kind))
      return both;
    return sumsColumns(kind) ? cols : rows;
  }

  std::string sumText(RowReadAttr read, ArrayRef<Var> summed, ArrayRef<Var> vars,
                      llvm::function_ref<std::string(int64_t)> state) {
    std::string text;
    for (RowFactorAttr factor : read.getRow()) {
      Expr row = inlineMade(readAt(factor.getSymbol(), vars));
      Product p = context.factors(row);
      bool isNegative = p.coef < 0 && !text.empty();
      p.coef = isNegative ? -p.coef : p.coef;
      row = context.product(p);
      text += (text.empty() ? ""
               : isNegative ? " - "
                            : " + ") +
              (row->isReal(1) ? "" : bracket(row) + " * ") + state(factor.getComponent());
    }
    return fmt::format("sum[{}] {}", listed(summed),
                       read.getRow().size() > 1 ? "(" + text + ")" : text);
  }

  void explainBlock(AffineOp op, StateOp state, unsigned rank) {
    int64_t block = 0;
    if (shared.options.kernel)
      shared.options.kernel.walk([&](SolveOp solve) {
        if (solve.getStateAttr().getAttr() == state.getSymNameAttr())
          block = solve.getBlock();
      });
    std::string tokens = block == 1 ? "each token"
                         : block    ? fmt::format("{} tokens", block)
                                    : "several tokens";
    std::string text = fmt::format("block form: the {} read and written once for {}",
                                   op.states().size() > 1 ? "states are" : "state is", tokens);
    if (rank)
      text += fmt::format(", with a unit lower triangular solve of {} row{} a token", rank,
                          rank > 1 ? "s" : "");
    line("form", text);
    bool readsElements =
        llvm::any_of(op.getReads().getAsRange<RowReadAttr>(),
                     [](RowReadAttr read) { return read.getKind() != ReadKind::Rows; });
    if (readsElements)
      line("", "sums over columns, and those with a factor for every element, are taken in "
               "registers, where each row of the state takes the tokens one by one");
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
      line("exponents", exponentText({rowDecay, colDecay}));
  }

  void explainCoupling(ArrayRef<Expr> coupling, Expr colDecay) {
    SmallVector<Expr> all(coupling);
    all.push_back(colDecay);
    line("decay", "blocks multiply the matrices of their tokens, which grow only as the equations "
                  "themselves do");
    line("exponents", exponentText(all));
  }

  std::string exponentText(ArrayRef<Expr> decays) {
    SmallVector<Expr> exponents;
    for (Expr decay : decays)
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
  void explainFactors(AffineOp op, ArrayRef<Var> rows, ArrayRef<Var> cols, ArrayRef<Var> both) {
    SmallVector<Expr> exponents;
    auto collect = [&](FlatSymbolRefAttr factor, ArrayRef<Var> side) {
      if (factor && factor.getValue().contains('.'))
        shared.collectExponents(inlineMade(readAt(factor, side)), exponents);
    };
    for (auto update : op.getUpdates().getAsRange<UpdateAttr>()) {
      for (RowFactorAttr left : update.getLefts())
        collect(left.getSymbol(), rows);
      for (TermAttr term : update.getTerms()) {
        collect(term.getCoef(), cols);
        collect(term.getRight(), cols);
      }
    }
    for (auto read : op.getReads().getAsRange<RowReadAttr>())
      for (RowFactorAttr row : read.getRow())
        collect(row.getSymbol(), factorVars(read.getKind(), rows, cols, both));
    shared.explainExponents(exponents);
  }

  void explainRejected(AffineOp op, StateOp state, unsigned rank) {
    double bytes = (mixer.getCompute().isF64() ? 8.0 : 4.0) * op.states().size();
    for (auto dim : state.getDims().getAsRange<FlatSymbolRefAttr>())
      bytes *= model.size(dim.getAttr());
    line("rejected",
         fmt::format("token-by-token loop: moves the {:.0f} bytes of the state{} through "
                     "registers for every token",
                     bytes, op.states().size() > 1 ? "s" : ""));
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

  std::string stateText(StringAttr state, ArrayRef<Var> vars, StringRef token) {
    std::string text = token.str();
    for (Var var : vars)
      text += (text.empty() ? "" : ",") + var->name.str();
    return fmt::format("{}[{}]", view(state), text);
  }

  // A component with its inner index, if any, as a number.
  std::string componentText(AffineOp op, int64_t component, ArrayRef<Var> vars, StringRef token) {
    StringAttr state = op.states()[component / op.innerSize()].getAttr();
    SmallVector<Var> at(vars);
    if (auto inner = op.getInner())
      at[*inner] = context.freshVar(vars[*inner]->dim,
                                    context.attr(std::to_string(component % op.innerSize())));
    return stateText(state, at, token);
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
