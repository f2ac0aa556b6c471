//===- Lexer.h - Tokens of a .seq file -------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#pragma once

#include "compiler/parse/Ast.h"
#include "compiler/parse/Diagnostics.h"
#include <vector>

namespace seqmix {

enum class TokenKind { Name, Number, Punctuation, Newline, Invalid, End };

/// A token. Keywords are names; punctuation is compared by its text. Invalid ones were reported.
struct Token {
  TokenKind kind = TokenKind::End;
  SourceRange range;
  llvm::StringRef text;
  ast::Number number; ///< of a Number
  /// First token of a physical line: where a declaration may begin.
  bool startsLine = false;

  bool is(llvm::StringRef punctuation) const {
    return kind == TokenKind::Punctuation && text == punctuation;
  }
  bool isName(llvm::StringRef name) const { return kind == TokenKind::Name && text == name; }
};

/// Splits the text into tokens; the last one is End. A line ends with a Newline token unless a
/// bracket is open or its last token is an operator or a comma. Empty lines give no token.
std::vector<Token> lex(const SourceFile &source, Diagnostics &diagnostics);

/// Words that cannot be names: keywords, reserved words and `inf`.
bool isKeyword(llvm::StringRef word);
/// Keywords that begin a line: `mixer`, `dims`, `input`, ..., `where`.
bool isLineKeyword(llvm::StringRef word);
/// Words that the language keeps for later versions.
bool isReservedForLater(llvm::StringRef word);
/// Names of built-in functions, reductions and maps.
bool isBuiltinName(llvm::StringRef word);

} // namespace seqmix
