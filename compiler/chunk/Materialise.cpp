//===- Materialise.cpp - decides which values get a name ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/chunk/Materialise.h"

#include "compiler/chunk/Layout.h"
#include "compiler/chunk/Reads.h"
#include "compiler/structure/Expr.h"
#include "dialect/Carry.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix::chunk;

namespace seqmix {
namespace {

/// A definition with more elements a token than this is not kept for all tokens of a chunk.
constexpr int64_t kLargestRow = 4096;

/// Work that is worth doing once instead of once for every element: anything but sums and products.
bool isExpensive(Expr e) {
  switch (e->kind()) {
  case ExprKind::Reduce:
  case ExprKind::Map:
    return true;
  case ExprKind::Unary:
    if (e->unaryFn() != UnaryFn::Neg && e->unaryFn() != UnaryFn::Abs &&
        e->unaryFn() != UnaryFn::Not && e->unaryFn() != UnaryFn::Relu)
      return true;
    break;
  case ExprKind::Binary:
    if (e->binaryFn() == BinaryFn::Div || e->binaryFn() == BinaryFn::Pow ||
        e->binaryFn() == BinaryFn::LogAddExp)
      return true;
    break;
  default:
    break;
  }
  return llvm::any_of(e->operands(), isExpensive);
}

class Materialiser {
public:
  explicit Materialiser(MixerOp mixer) : mixer(mixer), context(mixer.getContext()) {}

  void run() {
    collect();
    inlineDefinitions();
    for (auto &item : items)
      hoistFrom(item);
    write();
  }

private:
  struct Item {
    Operation *op;
    Equation equation;
    RecurrenceOp group; // or null
    bool changed = false;
    bool dropped = false;
  };
  struct Hoisted {
    Equation equation; // over canonical variables
    RecurrenceOp group;
    Operation *user; // the first, before which it stands
  };

  MixerOp mixer;
  ExprContext context;
  SmallVector<Item> items;
  llvm::DenseMap<StringAttr, unsigned> itemOf;
  llvm::DenseMap<StringAttr, RecurrenceOp> groupOf;
  llvm::DenseSet<StringAttr> pinned; // must keep their buffers
  llvm::DenseMap<std::pair<StringAttr, unsigned>, Var> canonicalVars;
  llvm::MapVector<std::pair<Expr, Operation *>, StringAttr>
      hoistedNames; // canonical body and loop -> definition
  llvm::DenseMap<StringAttr, Hoisted> hoisted;
  llvm::StringMap<unsigned> nextNumber;

  bool isToken(Var var) {
    return cast<DimOp>(lookup(mixer, var->dim)).getKind() == DimKind::Runtime;
  }
  int64_t size(Var var) {
    return isToken(var) ? 1 : fixedSize(mixer, FlatSymbolRefAttr::get(var->dim));
  }
  int64_t elements(ArrayRef<Var> vars) {
    int64_t count = 1;
    for (Var var : vars)
      count *= size(var);
    return count;
  }
  unsigned features(ArrayRef<Var> vars) {
    return llvm::count_if(vars, [&](Var var) { return !isToken(var); });
  }

  void collect() {
    for (auto recurrence : mixer.getOps<RecurrenceOp>())
      for (auto member : recurrence.getMembers().getAsRange<FlatSymbolRefAttr>())
        groupOf[member.getAttr()] = recurrence;
    for (auto output : mixer.getOps<OutputOp>())
      pinned.insert(output.getSourceAttr().getAttr());
    for (auto &component : carryComponents(mixer))
      pinned.insert(component.of.getAttr());
    for (auto affine : mixer.getOps<AffineOp>())
      affine->getAttrDictionary().walk(
          [&](FlatSymbolRefAttr name) { pinned.insert(name.getAttr()); });
    // What is compared for equality must be one number wherever it is read.
    mixer.walk([&](CompareOp compare) {
      if (compare.getPredicate() == Predicate::Eq)
        for (Value operand : compare.getOperands())
          if (auto read = operand.getDefiningOp<ReadOp>())
            pinned.insert(read.getSourceAttr().getAttr());
    });
    for (auto pairs : mixer.getOps<PairsOp>())
      pairs->walk([&](ReadOp read) { pinned.insert(read.getSourceAttr().getAttr()); });
    for (auto convolution : mixer.getOps<ConvolutionOp>())
      for (LagOperandAttr operand : convolution.getLagOperands())
        pinned.insert(operand.getSymbol().getAttr());
    for (Operation &op : mixer.getBody().front()) {
      Equation equation{{}, {}, nullptr, nullptr, op.getLoc()};
      if (auto define = dyn_cast<DefineOp>(op))
        equation = context.import(define);
      else if (auto next = dyn_cast<NextOp>(op))
        equation = context.import(next);
      else
        continue;
      itemOf[equation.name] = items.size();
      StringAttr name = equation.name;
      items.push_back({&op, std::move(equation), groupOf.lookup(name)});
    }
  }

  /// Definitions that are cheaper where they are used: a plain element, or so many elements a token
  /// that storing them costs more than computing them.
  bool wantsInlining(const Item &item) {
    if (!isa<DefineOp>(item.op) || item.group || item.equation.domain ||
        pinned.contains(item.equation.name))
      return false;
    Expr body = item.equation.body;
    if (body->is(ExprKind::Read) || body->operands().empty())
      return true;
    bool perToken = llvm::any_of(item.equation.left, [&](Var var) { return isToken(var); });
    bool reduces = false;
    context.walk(body, [&](Expr e) { reduces |= e->is(ExprKind::Reduce) || e->is(ExprKind::Map); });
    if (reduces)
      return false;
    return perToken && features(item.equation.left) >= 2 && elements(item.equation.left) >= 256;
  }

  void inlineDefinitions() {
    auto find = [&](StringAttr name) -> const Equation * {
      auto found = itemOf.find(name);
      return found != itemOf.end() && wantsInlining(items[found->second])
                 ? &items[found->second].equation
                 : nullptr;
    };
    llvm::DenseSet<StringAttr> stillRead;
    for (Item &item : items) {
      Expr body = context.inlineReads(item.equation.body, find);
      Expr domain =
          item.equation.domain ? context.inlineReads(item.equation.domain, find) : nullptr;
      item.changed = body != item.equation.body || domain != item.equation.domain;
      item.equation.body = body;
      item.equation.domain = domain;
    }
    // Reads that could not be inlined keep their definition, and so on down from it.
    SmallVector<StringAttr> work;
    auto note = [&](const Equation &equation) {
      auto visit = [&](Expr e) {
        if (e->is(ExprKind::Read) && stillRead.insert(e->symbol()).second)
          work.push_back(e->symbol());
      };
      context.walk(equation.body, visit);
      if (equation.domain)
        context.walk(equation.domain, visit);
    };
    for (Item &item : items)
      if (!wantsInlining(item))
        note(item.equation);
    while (!work.empty())
      if (auto found = itemOf.find(work.pop_back_val()); found != itemOf.end())
        note(items[found->second].equation);
    for (Item &item : items)
      item.dropped = wantsInlining(item) && !stillRead.contains(item.equation.name);
  }

  /// Whether a part over `vars` inside loops over `around` should have its own definition.
  bool worthHoisting(Expr e, ArrayRef<Var> vars, ArrayRef<Var> around) {
    if (e->type() != ValueType::Real || !isExpensive(e))
      return false;
    bool tokenAround = llvm::any_of(around, [&](Var var) { return isToken(var); });
    bool token = llvm::any_of(vars, [&](Var var) { return isToken(var); });
    if (tokenAround && !token)
      return elements(vars) <= (int64_t(1) << 24);
    return elements(vars) * 2 <= elements(around) && elements(vars) <= kLargestRow;
  }

  Var canonical(StringAttr dim, unsigned ordinal) {
    Var &var = canonicalVars[{dim, ordinal}];
    if (!var)
      var = context.freshVar(
          dim, StringAttr::get(mixer.getContext(),
                               dim.getValue().lower() + (ordinal ? std::to_string(ordinal) : "")));
    return var;
  }

  /// Reads of members or states of the group other than at earlier tokens' windows put a part into
  /// the group's loop.
  bool belongsToLoop(Expr e, RecurrenceOp group) {
    bool inside = false;
    context.walk(e, [&](Expr part) {
      if (!part->is(ExprKind::Read))
        return;
      auto own = groupOf.find(part->symbol());
      inside |= own != groupOf.end() && own->second == group;
      if (auto part2 = hoisted.find(part->symbol()); part2 != hoisted.end())
        inside |= part2->second.group == group;
    });
    return inside;
  }

  StringAttr nameFor(StringAttr owner) {
    StringRef base = owner.getValue();
    for (;;) {
      std::string name = (base + ".h" + std::to_string(nextNumber[base]++)).str();
      if (!SymbolTable::lookupSymbolIn(mixer, name))
        return StringAttr::get(mixer.getContext(), name);
    }
  }

  Expr hoist(Expr e, const Item &item) {
    // Token first, then the others as they were made: the order of the new definition's dims.
    SmallVector<Var> vars;
    for (bool token : {true, false})
      llvm::copy_if(e->freeVars(), std::back_inserter(vars),
                    [&](Var var) { return isToken(var) == token; });
    Substitution toCanonical;
    SmallVector<Var> left;
    SmallVector<Expr> subscripts;
    llvm::DenseMap<StringAttr, unsigned> ordinals;
    for (Var var : vars) {
      Var to = canonical(var->dim, ordinals[var->dim]++);
      toCanonical[var] = context.index(to);
      left.push_back(to);
      subscripts.push_back(context.index(var));
    }
    Expr body = context.substitute(e, toCanonical);
    RecurrenceOp group = item.group && belongsToLoop(e, item.group) ? item.group : RecurrenceOp();
    StringAttr &name = hoistedNames[{body, group}];
    if (!name) {
      name = nameFor(item.equation.name);
      Equation equation{name, left, body, nullptr, item.equation.loc};
      if (group)
        insertMember(group, name, item);
      hoisted.insert({name, Hoisted{std::move(equation), group, item.op}});
    }
    return context.read(name, subscripts);
  }

  void insertMember(RecurrenceOp group, StringAttr name, const Item &before) {
    SmallVector<Attribute> members(group.getMembers().begin(), group.getMembers().end());
    auto at = llvm::find(members, FlatSymbolRefAttr::get(before.equation.name));
    members.insert(at, FlatSymbolRefAttr::get(name));
    group.setMembersAttr(ArrayAttr::get(mixer.getContext(), members));
    groupOf[name] = group;
  }

  Expr hoistParts(Expr e, SmallVectorImpl<Var> &around, const Item &item) {
    if (e->operands().empty() || e->is(ExprKind::Read))
      return e;
    ArrayRef<Var> vars = e->freeVars();
    if (vars.size() < around.size() && worthHoisting(e, vars, around))
      return hoist(e, item);
    if (e->is(ExprKind::Reduce)) {
      OpenedExpr opened = context.open(e);
      around.append(opened.vars.begin(), opened.vars.end());
      Expr body = hoistParts(opened.body, around, item);
      around.truncate(around.size() - opened.vars.size());
      return body == opened.body
                 ? e
                 : context.reduce(e->reduceKind(), opened.vars, body, opened.domain);
    }
    if (e->is(ExprKind::Map))
      return e;
    SmallVector<Expr> operands;
    for (Expr operand : e->operands())
      operands.push_back(hoistParts(operand, around, item));
    return llvm::equal(operands, e->operands()) ? e : context.withOperands(e, operands);
  }

  void hoistFrom(Item &item) {
    if (item.dropped)
      return;
    SmallVector<Var> around(item.equation.left);
    Expr body = hoistParts(item.equation.body, around, item);
    item.changed |= body != item.equation.body;
    item.equation.body = body;
  }

  void write() {
    OpBuilder builder(mixer.getContext());
    for (Item &item : items) {
      if (item.dropped) {
        item.op->erase();
        continue;
      }
      if (!item.changed)
        continue;
      auto replace = [&](Region &region, Expr by) {
        region.dropAllReferences();
        region.getBlocks().clear();
        context.exportBody(by, item.equation.left, region, item.equation.loc);
      };
      replace(item.op->getRegion(0), item.equation.body);
      if (item.equation.domain)
        replace(item.op->getRegion(1), item.equation.domain);
    }
    for (auto &[key, name] : hoistedNames) {
      builder.setInsertionPoint(hoisted.find(name)->second.user);
      const Equation &equation = hoisted.find(name)->second.equation;
      SmallVector<Attribute> dims;
      SmallVector<StringRef> names;
      for (Var var : equation.left) {
        dims.push_back(FlatSymbolRefAttr::get(var->dim));
        names.push_back(var->name.getValue());
      }
      auto define = DefineOp::create(builder, equation.loc, name, builder.getArrayAttr(dims),
                                     builder.getStrArrayAttr(names));
      context.exportBody(equation.body, equation.left, define.getBody(), equation.loc);
    }
  }
};

} // namespace

void materialise(MixerOp mixer) { Materialiser(mixer).run(); }

} // namespace seqmix
