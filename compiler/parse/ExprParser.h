//===- ExprParser.h - Token stream and expressions -------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#pragma once

#include "compiler/parse/Ast.h"
#include "compiler/parse/Diagnostics.h"
#include "compiler/parse/Lexer.h"
#include <optional>
#include <vector>

namespace seqmix {

/// Recursive descent over expressions. Each parse function reports its error and returns null.
class ExprParser {
public:
  ExprParser(ast::File &file, Diagnostics &diagnostics)
      : file(file), diagnostics(diagnostics), tokens(lex(file.source, diagnostics)) {}

protected:
  ast::File &file;
  Diagnostics &diagnostics;

  const Token &token(size_t ahead = 0) const {
    size_t i = at + ahead;
    return i < tokens.size() ? tokens[i] : tokens.back();
  }
  bool atEnd() const { return token().kind == TokenKind::End; }
  void advance() {
    if (at + 1 < tokens.size())
      ++at;
  }
  SourceRange previousRange() const { return tokens[at > 0 ? at - 1 : 0].range; }
  void skipLine() {
    while (!atEnd() && token().kind != TokenKind::Newline)
      advance();
  }

  /// True if the lexer reported something between here and the end of the line.
  bool lineIsInvalid() const {
    size_t i = at;
    while (tokens[i].kind != TokenKind::Newline && tokens[i].kind != TokenKind::Invalid &&
           tokens[i].kind != TokenKind::End)
      ++i;
    return tokens[i].kind == TokenKind::Invalid;
  }
  /// The current token in words, for messages.
  std::string found() const;
  /// Reports at the current token, or behind the last one if that ended its line: an open bracket
  /// hides the end of a line.
  Diagnostic &errorHere(std::string message) {
    SourceRange at = token().range;
    if (hiddenLineEnd())
      at = {previousRange().end, previousRange().end};
    return diagnostics.error(at, std::move(message));
  }
  bool hiddenLineEnd() const {
    return token().startsLine && at > 0 && tokens[at - 1].kind != TokenKind::Newline;
  }
  /// The operator at the end of a line above that made this line a part of it, or null.
  const Token *continuation() const {
    for (size_t i = at; i > 0 && tokens[i - 1].kind != TokenKind::Newline; --i)
      if (tokens[i].startsLine)
        return &tokens[i - 1];
    return nullptr;
  }
  bool accept(llvm::StringRef punctuation);
  /// Consumes the punctuation or reports "expected '...' <context>".
  bool expect(llvm::StringRef punctuation, llvm::StringRef context);
  /// Reports a list longer than any mixer needs, at its last element.
  bool tooMany(size_t count);
  /// Any name that is not a keyword or a built-in.
  std::optional<Token> expectName(llvm::StringRef what);
  /// The same where a new name is declared.
  std::optional<Token> expectNewName(llvm::StringRef what) { return expectName(what); }

  ast::Expr *parseExpr();

private:
  std::vector<Token> tokens;
  size_t at = 0;
  unsigned nesting = 0;
  bool tooDeep = false;

  ast::Expr *parseOr();
  ast::Expr *parseAnd();
  ast::Expr *parseNot();
  ast::Expr *parseComparison();
  ast::Expr *parseSum();
  ast::Expr *parseProduct();
  ast::Expr *parseUnary();
  ast::Expr *parsePower();
  ast::Expr *parseExponent();
  ast::Expr *parsePrimary();
  ast::Expr *parseName();
  ast::Expr *parseReduction();
  ast::Expr *parseOneOperand(llvm::StringRef reduction);
  bool parseArguments(llvm::StringRef close, llvm::StringRef context,
                      std::vector<ast::Expr *> &args);
  bool atReduction() const;
  ast::Expr *binary(ast::BinaryOp op, const Token &opToken, ast::Expr *lhs, ast::Expr *rhs);

  /// Sets the depth of a new node; null, with an error, when the tree gets too high.
  template <typename T> T *finish(T *e) { return checkDepth(e) ? e : nullptr; }
  bool checkDepth(ast::Expr *e);
  bool enter();

  struct Leave {
    unsigned &nesting;
    ~Leave() { --nesting; }
  };
};

} // namespace seqmix
