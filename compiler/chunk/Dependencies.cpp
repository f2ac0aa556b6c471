//===- Dependencies.cpp - the nodes of a mixer and their passes ---------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/chunk/Dependencies.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"

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

void addReadsOfBodies(MixerOp mixer, Node &node) {
  for (Operation *equation : node.bodies)
    equation->walk([&](ReadOp read) {
      addRead(node, read.getSourceAttr().getAttr(),
              readsToken(mixer, read) ? tokenSpan(mixer, read) : Span({0, 0}));
    });
}

Node defineNode(MixerOp mixer, DefineOp define) {
  Node node;
  node.op = define;
  node.bodies.push_back(define);
  node.makes.push_back(define.getSymNameAttr());
  node.tokenFree = !isTokenIndexed(mixer, define.getDims());
  addReadsOfBodies(mixer, node);
  return node;
}

Node affineNode(AffineOp affine) {
  Node node;
  node.op = affine;
  node.direction = affine.getDirection();
  auto factor = [&](FlatSymbolRefAttr name) {
    if (name)
      addRead(node, name.getAttr(), Span({0, 0}));
  };
  factor(affine.getRowDecayAttr());
  factor(affine.getColDecayAttr());
  for (auto update : affine.getUpdates().getAsRange<UpdateAttr>()) {
    factor(update.getLeft());
    for (TermAttr term : update.getTerms()) {
      factor(term.getCoef());
      factor(term.getRight());
    }
  }
  for (auto read : affine.getReads().getAsRange<RowReadAttr>()) {
    factor(read.getRow());
    if (read.getResult())
      node.makes.push_back(read.getResult().getAttr());
  }
  return node;
}

/// Reads at t are of the row's own token, reads at s of any.
Node pairsNode(MixerOp mixer, PairsOp pairs) {
  Node node;
  node.op = pairs;
  for (auto result : pairs.getOuts().getAsRange<PairResultAttr>())
    node.makes.push_back(result.getProduced().getAttr());
  for (Region &part : pairs.getParts())
    part.walk([&](ReadOp read) {
      bool isAny = false;
      if (readsToken(mixer, read)) {
        auto position = dyn_cast<AffineDimExpr>(read.getMap().getResult(0));
        isAny =
            !position || read.getOperands()[position.getPosition()] != pairs.rowOf(&part.front());
      }
      addRead(node, read.getSourceAttr().getAttr(), isAny ? Span() : Span({0, 0}));
    });
  return node;
}

/// Every operand is read at all its positions.
Node convolutionNode(ConvolutionOp convolution) {
  Node node;
  node.op = convolution;
  node.makes.push_back(convolution.getProducedAttr().getAttr());
  for (LagOperandAttr operand : convolution.getLagOperands())
    addRead(node, operand.getSymbol().getAttr(), Span());
  return node;
}

Node recurrenceNode(MixerOp mixer, RecurrenceOp recurrence,
                    const llvm::DenseMap<StringAttr, Operation *> &equations) {
  Node node;
  node.op = recurrence;
  node.direction = recurrence.getDirection();
  for (auto member : recurrence.getMembers().getAsRange<FlatSymbolRefAttr>()) {
    node.bodies.push_back(equations.lookup(member.getAttr()));
    node.makes.push_back(member.getAttr());
  }
  addReadsOfBodies(mixer, node);
  return node;
}

/// Depth-first post-order over the producers of what a node reads.
struct Sorter {
  SmallVector<Node> &nodes;
  llvm::DenseMap<StringAttr, unsigned> &producer;
  SmallVector<int> mark; // 0 new, 1 open, 2 done
  SmallVector<unsigned> order;

  LogicalResult visit(unsigned number) {
    if (mark[number] == 2)
      return success();
    if (mark[number] == 1)
      return nodes[number].op->emitOpError(
          "reads its own result through other steps; the structure stage should have grouped them");
    mark[number] = 1;
    for (auto &[source, span] : nodes[number].reads)
      if (auto found = producer.find(source); found != producer.end() && found->second != number)
        if (failed(visit(found->second)))
          return failure();
    mark[number] = 2;
    order.push_back(number);
    return success();
  }
};

/// Whether, in a pass of this direction, a read span of something made in the same pass is there in
/// time.
bool inTime(const ReadSpan &span, Direction direction) {
  return span.local && (direction == Direction::Forward ? span.max <= 0 : span.min >= 0);
}

void assignPasses(Dependencies &all) {
  auto firstDirection = [&] {
    for (Node &node : all.nodes)
      if (node.direction)
        return *node.direction;
    return Direction::Forward;
  };
  all.passes.push_back(firstDirection());
  auto require = [&](int pass, std::optional<Direction> direction) {
    for (;; ++pass) {
      if (pass == static_cast<int>(all.passes.size()))
        all.passes.push_back(direction.value_or(Direction::Forward));
      if (!direction || all.passes[pass] == *direction)
        return pass;
    }
  };
  for (auto [number, node] : llvm::enumerate(all.nodes)) {
    if (node.tokenFree)
      continue;
    int pass = require(0, node.direction);
    bool settled = false;
    while (!settled) {
      settled = true;
      for (auto &[source, span] : node.reads) {
        auto found = all.producer.find(source);
        if (found == all.producer.end() || found->second == number)
          continue;
        const Node &made = all.nodes[found->second];
        if (made.tokenFree)
          continue;
        int earliest = made.pass; // what comes from inputs is made again in later passes
        if (made.fromInputs ? !inTime(span, all.passes[pass])
                            : pass <= made.pass && !inTime(span, all.passes[made.pass]))
          earliest = made.pass + 1;
        if (pass < earliest) {
          pass = require(earliest, node.direction);
          settled = false;
        }
      }
    }
    node.pass = pass;
  }
}

void markFromInputs(Dependencies &all) {
  for (Node &node : all.nodes) {
    node.fromInputs = isa<DefineOp>(node.op);
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
      nodes.push_back(affineNode(affine));
    else if (auto pairs = dyn_cast<PairsOp>(op))
      nodes.push_back(pairsNode(mixer, pairs));
    else if (auto convolution = dyn_cast<ConvolutionOp>(op))
      nodes.push_back(convolutionNode(convolution));
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
  Sorter sorter{nodes, producer, SmallVector<int>(nodes.size(), 0), {}};
  for (unsigned number = 0; number < nodes.size(); ++number)
    if (failed(sorter.visit(number)))
      return failure();
  Dependencies all;
  for (unsigned number : sorter.order) {
    for (StringAttr name : nodes[number].makes)
      all.producer[name] = all.nodes.size();
    all.nodes.push_back(std::move(nodes[number]));
  }
  markFromInputs(all);
  assignPasses(all);
  return all;
}

} // namespace seqmix::chunk
