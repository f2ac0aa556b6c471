//===- StoredTokens.h - what launches leave for later ones --------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The workspace of a mixer whose states run in both directions has two regions. Rows: for each
// token and batch element what launches store for later ones (Directions.h). Edges: for each batch
// element what stands in front of the first row (behind the last one, of a state that runs
// backwards): states that the walk begins with and definitions of earlier calls. Later launches
// cannot read these from the carry, which is perhaps written by then.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_LANES_STOREDTOKENS_H
#define SEQMIX_COMPILER_GPU_LANES_STOREDTOKENS_H

#include "compiler/gpu/kernels/LaneBlock.h"
#include "compiler/gpu/lanes/Directions.h"

#include "llvm/ADT/MapVector.h"

namespace seqmix::gpu {

struct StoredSymbol {
  int64_t offset = 0, edgeOffset = 0, bytes = 0; ///< in a row, in an edge record, of one token
  int64_t edges = 0;                             ///< tokens in the edge record
  bool isBackward = false;                       ///< they are those behind the last row
  SeqDType dtype = SEQ_F32;
  llvm::SmallVector<int64_t> strides; ///< by dim, in elements
};

/// The layout for one mixer.
struct StoredTokens {
  StoredTokens(mlir::seq::MixerOp mixer, llvm::ArrayRef<LanePhase> phases);

  llvm::MapVector<mlir::StringAttr, StoredSymbol> symbols;
  int64_t rowBytes = 0, edgeBytes = 0;
  std::vector<AmountPlan> regions(const MixerPlan &plan) const;

  enum Region { kRows = 0, kEdges = 1, kRegions = 2 };
};

/// As a block sees them.
class StoredBlock {
public:
  StoredBlock(const StoredTokens &tokens, LaneBlock &block);

  /// What a symbol is at a row, the token's number in the call: zero beyond the edges.
  mlir::Value load(mlir::StringAttr name, llvm::ArrayRef<Place> features, mlir::Value row);
  void store(mlir::StringAttr name, llvm::ArrayRef<Place> features, mlir::Value row,
             mlir::Value value);
  /// The edge's tokens in order.
  void storeEdge(mlir::StringAttr name, llvm::ArrayRef<Place> features, int64_t number,
                 mlir::Value value);
  int64_t edgesOf(mlir::StringAttr name) const { return tokens.symbols.lookup(name).edges; }

private:
  LaneArray at(mlir::Value base, const StoredSymbol &symbol, mlir::Value number, int64_t bytes,
               int64_t offset);

  const StoredTokens &tokens;
  LaneBlock &block;
  mlir::Value rows, edges; ///< of the sequence
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_LANES_STOREDTOKENS_H
