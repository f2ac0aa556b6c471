//===- Dependencies.cpp - the nodes of a mixer and their passes ---------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/chunk/Dependencies.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"

#include <utility>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::chunk {
namespace {

using Span = std::optional<std::pair<int64_t, int64_t>>;

void addRead(Node &node, StringAttr source, Span tokens) {
  ReadSpan &span = node.reads.insert({source, ReadSpan{}}).first->second;
  if (!tokens) {
    span.local = false;
    return;
  }
  span.min = span.near ? std::min(span.min, tokens->first) : tokens->first;
  span.max = span.near ? std::max(span.max, tokens->second) : tokens->second;
  span.near = true;
}

FlatSymbolRefAttr runtimeDim(MixerOp mixer, ArrayAttr dims) {
  return isTokenIndexed(mixer, dims) ? cast<FlatSymbolRefAttr>(dims[0]) : FlatSymbolRefAttr();
}

/// Reads of what varies over the node's own run-time dim are near when they stand at its position
/// plus a distance.
void addReadsOfBodies(MixerOp mixer, Node &node) {
  for (Operation *equation : node.bodies)
    equation->walk([&](ReadOp read) {
      FlatSymbolRefAttr dim = positionDim(mixer, read);
      addRead(node, read.getSourceAttr().getAttr(),
              !dim ? Span({0, 0})
              : dim == node.dim && !hasPairs(mixer, read.getSourceAttr().getAttr())
                  ? tokenSpan(mixer, read)
                  : Span());
    });
}

Node defineNode(MixerOp mixer, DefineOp define) {
  Node node;
  node.op = define;
  node.bodies.push_back(define);
  node.makes.push_back(define.getSymNameAttr());
  node.dim = runtimeDim(mixer, define.getDims());
  node.tokenFree = !node.dim;
  addReadsOfBodies(mixer, node);
  return node;
}

Node affineNode(MixerOp mixer, AffineOp affine) {
  Node node;
  node.op = affine;
  node.dim = tokenDimOf(mixer);
  node.direction = affine.getDirection();
  auto factor = [&](FlatSymbolRefAttr name) {
    if (name)
      addRead(node, name.getAttr(), Span({0, 0}));
  };
  factor(affine.getRowDecayAttr());
  factor(affine.getColDecayAttr());
  if (ArrayAttr coupling = affine.getCouplingAttr())
    for (auto entry : coupling.getAsRange<CouplingAttr>())
      factor(entry.getFactor());
  for (auto update : affine.getUpdates().getAsRange<UpdateAttr>()) {
    for (RowFactorAttr left : update.getLefts())
      factor(left.getSymbol());
    for (TermAttr term : update.getTerms()) {
      factor(term.getCoef());
      factor(term.getRight());
    }
  }
  for (auto read : affine.getReads().getAsRange<RowReadAttr>()) {
    for (RowFactorAttr row : read.getRow())
      factor(row.getSymbol());
    if (read.getResult())
      node.makes.push_back(read.getResult().getAttr());
  }
  return node;
}

/// Reads at t are of the row's own token, reads at s of any.
Node pairsNode(MixerOp mixer, PairsOp pairs) {
  Node node;
  node.op = pairs;
  node.dim = runtimeDim(mixer, pairs.getRows());
  node.tokenFree = !node.dim;
  for (auto result : pairs.getOuts().getAsRange<PairResultAttr>())
    node.makes.push_back(result.getProduced().getAttr());
  for (Region &part : pairs.getParts())
    part.walk([&](ReadOp read) {
      bool isAny = false;
      if (readsToken(mixer, read)) {
        auto position = dyn_cast<AffineDimExpr>(read.getMap().getResult(0));
        isAny = !position || hasPairs(mixer, read.getSourceAttr().getAttr()) ||
                read.getOperands()[position.getPosition()] != pairs.rowOf(&part.front());
      }
      addRead(node, read.getSourceAttr().getAttr(), isAny ? Span() : Span({0, 0}));
    });
  return node;
}

/// Every operand is read at all its positions.
Node convolutionNode(MixerOp mixer, ConvolutionOp convolution) {
  Node node;
  node.op = convolution;
  node.dim = tokenDimOf(mixer);
  node.makes.push_back(convolution.getProducedAttr().getAttr());
  for (LagOperandAttr operand : convolution.getLagOperands())
    addRead(node, operand.getSymbol().getAttr(), Span());
  return node;
}

Node recurrenceNode(MixerOp mixer, RecurrenceOp recurrence,
                    const llvm::DenseMap<StringAttr, Operation *> &equations) {
  Node node;
  node.op = recurrence;
  node.dim = tokenDimOf(mixer);
  node.direction = recurrence.getDirection();
  for (auto member : recurrence.getMembers().getAsRange<FlatSymbolRefAttr>()) {
    node.bodies.push_back(equations.lookup(member.getAttr()));
    node.makes.push_back(member.getAttr());
  }
  addReadsOfBodies(mixer, node);
  return node;
}

/// Depth-first post-order over the producers of what a node reads.
class Sorter {
public:
  /// With a direction in which all nodes run token by token, what was made for the token before is
  /// there in whatever order.
  Sorter(const SmallVector<Node> &nodes, const llvm::DenseMap<StringAttr, unsigned> &producer,
         std::optional<Direction> tokenByToken)
      : nodes(nodes), producer(producer), tokenByToken(tokenByToken), mark(nodes.size(), New) {}

  bool run() {
    for (unsigned number = 0; number < nodes.size(); ++number)
      if (!visit(number))
        return false;
    return true;
  }

  SmallVector<unsigned> order;
  Operation *cycle = nullptr; // a member of one, pairs if there are any

private:
  enum Mark { New, Open, Done };
  const SmallVector<Node> &nodes;
  const llvm::DenseMap<StringAttr, unsigned> &producer;
  std::optional<Direction> tokenByToken;
  SmallVector<Mark> mark;

  bool isThere(const ReadSpan &span) const {
    if (!tokenByToken || !span.local || !span.near)
      return false;
    return *tokenByToken == Direction::Forward ? span.max < 0 : span.min > 0;
  }

  bool visit(unsigned number) {
    if (mark[number] == Done)
      return true;
    if (mark[number] == Open) {
      cycle = nodes[number].op;
      for (auto [other, state] : llvm::enumerate(mark))
        if (state == Open && isa<PairsOp>(nodes[other].op))
          cycle = nodes[other].op;
      return false;
    }
    mark[number] = Open;
    for (auto &[source, span] : nodes[number].reads)
      if (auto found = producer.find(source); found != producer.end() && found->second != number)
        if (!isThere(span) && !visit(found->second))
          return false;
    mark[number] = Done;
    order.push_back(number);
    return true;
  }
};

std::optional<Direction> onlyDirection(ArrayRef<Node> nodes) {
  std::optional<Direction> only;
  for (const Node &node : nodes) {
    if (node.direction && only && *only != *node.direction)
      return std::nullopt;
    only = node.direction ? node.direction : only;
  }
  return only;
}

/// The order of the nodes, and whether it is one for each token.
FailureOr<std::pair<SmallVector<unsigned>, bool>>
orderOf(const SmallVector<Node> &nodes, const llvm::DenseMap<StringAttr, unsigned> &producer) {
  Sorter usual(nodes, producer, std::nullopt);
  if (usual.run())
    return std::pair(usual.order, false);
  if (!isa<PairsOp>(usual.cycle))
    return usual.cycle->emitOpError(
        "reads its own result through other steps; the structure stage should have grouped them");
  Sorter each(nodes, producer, onlyDirection(nodes));
  if (each.run())
    return std::pair(each.order, true);
  return emitError(each.cycle->getLoc())
         << "not lowered yet: a reduction over positions of what depends on its own results";
}

/// Whether, in a pass of this direction, a read span of something made in the same pass is there in
/// time.
bool inTime(const ReadSpan &span, Direction direction) {
  return span.local && (direction == Direction::Forward ? span.max <= 0 : span.min >= 0);
}

void markLate(Dependencies &all) {
  for (Node &node : all.nodes)
    if (node.tokenFree)
      node.late = isa<PairsOp>(node.op) || llvm::any_of(node.reads, [&](auto &entry) {
                    auto found = all.producer.find(entry.first);
                    return !entry.second.local ||
                           (found != all.producer.end() && all.nodes[found->second].late);
                  });
}

/// The first pass in which a node can stand after another has been made in the pass that it has.
/// What comes from inputs is made again in later passes.
int earliestAfter(const Dependencies &all, const Node &node, int pass, const Node &made,
                  const ReadSpan &span) {
  if (made.late)
    return node.late ? made.pass : made.pass + 1;
  if (node.late)
    return made.pass + 1;
  bool isLater = made.fromInputs
                     ? !inTime(span, all.passes[pass].direction)
                     : pass <= made.pass && !inTime(span, all.passes[made.pass].direction);
  return isLater ? made.pass + 1 : made.pass;
}

void assignPasses(MixerOp mixer, Dependencies &all) {
  auto firstDirection = [&] {
    for (Node &node : all.nodes)
      if (node.direction)
        return *node.direction;
    return Direction::Forward;
  };
  FlatSymbolRefAttr tokenDim = tokenDimOf(mixer);
  auto require = [&](int pass, const Node &node) {
    for (;; ++pass) {
      if (pass == static_cast<int>(all.passes.size())) {
        bool isFirst = node.dim && node.dim == tokenDim &&
                       llvm::none_of(all.passes, [&](auto &own) { return own.dim == tokenDim; });
        Direction usual = isFirst ? firstDirection() : Direction::Forward;
        all.passes.push_back({node.dim, node.direction.value_or(usual)});
      }
      if (all.passes[pass].dim == node.dim &&
          (!node.direction || all.passes[pass].direction == *node.direction))
        return pass;
    }
  };
  auto assign = [&](unsigned number, Node &node) {
    int pass = require(node.pass, node);
    bool settled = false;
    while (!settled) {
      settled = true;
      for (auto &[source, span] : node.reads) {
        auto found = all.producer.find(source);
        if (found == all.producer.end() || found->second == number)
          continue;
        const Node &made = all.nodes[found->second];
        if (made.tokenFree && !made.late)
          continue;
        int earliest = earliestAfter(all, node, pass, made, span);
        if (pass < earliest) {
          pass = require(earliest, node);
          settled = false;
        }
      }
    }
    return std::exchange(node.pass, pass) != pass;
  };
  // Once is enough but for what reads the token before of what stands behind it.
  for (bool moved = true; moved;) {
    moved = false;
    for (auto [number, node] : llvm::enumerate(all.nodes))
      if (!node.tokenFree || node.late)
        moved |= assign(number, node);
    moved &= all.tokenByToken;
  }
}

void markFromInputs(Dependencies &all) {
  for (Node &node : all.nodes) {
    node.fromInputs = isa<DefineOp>(node.op) && !node.late;
    for (auto &[source, span] : node.reads)
      if (auto found = all.producer.find(source); found != all.producer.end())
        node.fromInputs &= all.nodes[found->second].fromInputs;
  }
}

} // namespace

Region &bodyOf(Operation *equation) { return equation->getRegion(0); }

FailureOr<Dependencies> findDependencies(MixerOp mixer) {
  llvm::DenseMap<StringAttr, Operation *> equations;
  llvm::DenseSet<StringAttr> members;
  for (Operation &op : mixer.getBody().front()) {
    if (auto define = dyn_cast<DefineOp>(op))
      equations[define.getSymNameAttr()] = &op;
    else if (auto next = dyn_cast<NextOp>(op))
      equations[next.getStateAttr().getAttr()] = &op;
    else if (auto recurrence = dyn_cast<RecurrenceOp>(op))
      for (auto member : recurrence.getMembers().getAsRange<FlatSymbolRefAttr>())
        members.insert(member.getAttr());
  }
  SmallVector<Node> nodes;
  for (Operation &op : mixer.getBody().front()) {
    if (auto define = dyn_cast<DefineOp>(op); define && !members.contains(define.getSymNameAttr()))
      nodes.push_back(defineNode(mixer, define));
    else if (auto affine = dyn_cast<AffineOp>(op))
      nodes.push_back(affineNode(mixer, affine));
    else if (auto pairs = dyn_cast<PairsOp>(op))
      nodes.push_back(pairsNode(mixer, pairs));
    else if (auto convolution = dyn_cast<ConvolutionOp>(op))
      nodes.push_back(convolutionNode(mixer, convolution));
    else if (auto recurrence = dyn_cast<RecurrenceOp>(op))
      nodes.push_back(recurrenceNode(mixer, recurrence, equations));
    else if (auto next = dyn_cast<NextOp>(op);
             next && !members.contains(next.getStateAttr().getAttr()))
      return next.emitOpError("belongs to no recurrence; the structure stage has not run"),
             failure();
  }
  llvm::DenseMap<StringAttr, unsigned> producer;
  for (auto [number, node] : llvm::enumerate(nodes))
    for (StringAttr name : node.makes)
      producer[name] = number;
  auto sorted = orderOf(nodes, producer);
  if (failed(sorted))
    return failure();
  Dependencies all;
  all.tokenByToken = sorted->second;
  for (unsigned number : sorted->first) {
    for (StringAttr name : nodes[number].makes)
      all.producer[name] = all.nodes.size();
    all.nodes.push_back(std::move(nodes[number]));
  }
  markLate(all);
  markFromInputs(all);
  assignPasses(mixer, all);
  return all;
}

} // namespace seqmix::chunk
