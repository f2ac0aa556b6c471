//===- Parser.h - Tokens to an unchecked tree ------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
// The parser fills in everything but the meaning of names. Bracketed places of declarations are
// names until the checker knows all dims; they stand beside the tree, in RawMixer.
//
//===-----------------------------------------------------------------------------------------===//
#pragma once

#include "compiler/parse/Ast.h"
#include "compiler/parse/Diagnostics.h"
#include "compiler/parse/Lexer.h"

namespace seqmix {

/// A name in the brackets of a declaration, or one batch dim after `per`: `i`, `T`, `H/4`.
struct RawPlace {
  std::string name;
  int64_t group = 1;
  bool hasGroup = false;
  SourceRange range;
};

struct RawTensor {
  ast::Tensor *decl;
  std::vector<RawPlace> places;
  std::vector<RawPlace> per; ///< shared by every name of the line
  bool hasPer;
  SourceRange perRange;
  ast::Expr *low = nullptr;
  ast::Expr *high = nullptr;
  SourceRange boundsRange;
};

struct RawState {
  ast::State *decl;
  std::vector<RawPlace> places;
};

struct RawFnParam {
  ast::FnParam *decl;
  std::string index; ///< empty for `x`
  SourceRange indexRange;
};

struct RawMixer {
  ast::Mixer *mixer;
  std::vector<RawTensor> tensors;
  std::vector<RawState> states;
  std::vector<RawFnParam> fnParams;
  bool hasErrors = false; ///< a line of it could not be parsed
};

/// Parses all mixers of `file.source` into `file`. Recovers at the end of a line.
std::vector<RawMixer> parseMixers(ast::File &file, Diagnostics &diagnostics);

/// Trees higher than this are refused: the stages walk trees recursively. Brackets make no level of
/// the tree; their nesting has a limit of its own, wide enough for whatever the printer writes.
inline constexpr unsigned maxExprDepth = 256;
inline constexpr unsigned maxNesting = 2 * maxExprDepth;
/// The most places of one name, indices of one reduction, arguments of one function.
inline constexpr unsigned maxPlaces = 32;

/// Sets `depth` from the operands of a new node.
void setDepth(ast::Expr *e);

} // namespace seqmix
