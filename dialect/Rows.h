//===- Rows.h - what is read at earlier positions -------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_DIALECT_ROWS_H
#define SEQMIX_DIALECT_ROWS_H

#include "dialect/Seq.h"

#include <optional>
#include <string>

namespace mlir::seq {

/// The rows of inputs and definitions over tokens that equations read at other positions than their
/// own token: `k[s,i]` under `sum[s]`, `x[idx[t],i]`. Reads of the own token and of a fixed number
/// of tokens before it are no such reads.
struct RowReads {
  /// Why a later token's rows are read, or may be: then a sequence cannot be given in parts. Empty
  /// when all reads are at positions up to the own token.
  std::string later;

  struct Source {
    Operation *of; ///< an input's `seq.tensor` or a `seq.define`
    /// The last rows are enough, this many with the own one.
    std::optional<int64_t> window;
  };
  SmallVector<Source> sources;
};

/// For a mixer at the seq stage.
RowReads findRowReads(MixerOp mixer);

/// Whether what has these dims has one value, or a fixed number of them, for each token.
bool isPerToken(MixerOp mixer, FlatSymbolRefAttr time, ArrayAttr dims);

} // namespace mlir::seq

#endif // SEQMIX_DIALECT_ROWS_H
