//===- ExprParser.cpp ------------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/ExprParser.h"
#include "compiler/parse/Parser.h"

#include "llvm/ADT/StringSwitch.h"
#include <algorithm>
#include <fmt/format.h>

using namespace seqmix;
using namespace seqmix::ast;

void seqmix::setDepth(Expr *e) {
  unsigned highest = 0;
  forEachChild(e, [&](Expr *child) { highest = std::max(highest, child->depth); });
  e->depth = highest + 1;
}

bool ExprParser::checkDepth(Expr *e) {
  setDepth(e);
  if (e->depth <= maxExprDepth)
    return true;
  if (!tooDeep)
    diagnostics.error(e->range, fmt::format("the expression is too large (more than {} levels); "
                                            "define parts of it in equations of their own",
                                            maxExprDepth));
  tooDeep = true;
  return false;
}

bool ExprParser::enter() {
  if (++nesting <= maxNesting)
    return true;
  if (!tooDeep)
    errorHere(fmt::format("the expression is nested too deeply (more than {} levels)", maxNesting));
  tooDeep = true;
  return false;
}

std::string ExprParser::found() const {
  if (hiddenLineEnd())
    return "the end of the line";
  switch (token().kind) {
  case TokenKind::End:
    return "the end of the file";
  case TokenKind::Newline:
    return "the end of the line";
  case TokenKind::Name:
    if (isKeyword(token().text))
      return fmt::format("the keyword '{}'", token().text.str());
    return fmt::format("'{}'", token().text.take_front(60).str());
  case TokenKind::Number:
  case TokenKind::Punctuation:
  case TokenKind::Invalid:
    return fmt::format("'{}'", token().text.take_front(60).str());
  }
  return "";
}

bool ExprParser::accept(llvm::StringRef punctuation) {
  if (!token().is(punctuation))
    return false;
  advance();
  return true;
}

bool ExprParser::expect(llvm::StringRef punctuation, llvm::StringRef context) {
  if (accept(punctuation))
    return true;
  errorHere(fmt::format("expected '{}' {}, found {}", punctuation.str(), context.str(), found()));
  return false;
}

bool ExprParser::tooMany(size_t count) {
  if (count <= maxPlaces)
    return false;
  diagnostics.error(previousRange(), fmt::format("at most {} may stand here", maxPlaces));
  return true;
}

std::optional<Token> ExprParser::expectName(llvm::StringRef what) {
  if (token().kind != TokenKind::Name) {
    errorHere(fmt::format("expected {}, found {}", what.str(), found()));
    return std::nullopt;
  }
  llvm::StringRef word = token().text;
  if (isReservedForLater(word)) {
    errorHere(fmt::format("'{}' is reserved for a later version of the language", word.str()));
    return std::nullopt;
  }
  if (isKeyword(word) || isBuiltinName(word)) {
    errorHere(fmt::format("expected {}, found '{}', which is a {}", what.str(), word.str(),
                          isKeyword(word) ? "keyword" : "built-in function"));
    return std::nullopt;
  }
  Token result = token();
  advance();
  return result;
}

Expr *ExprParser::binary(BinaryOp op, const Token &opToken, Expr *lhs, Expr *rhs) {
  return finish(file.make<BinaryExpr>(op, lhs, rhs, opToken.range));
}

/// expr = or [ "if" or "else" expr ]
Expr *ExprParser::parseExpr() {
  Leave leave{nesting};
  if (!enter())
    return nullptr;
  Expr *value = parseOr();
  if (!value || !token().isName("if"))
    return value;
  advance();
  Expr *condition = parseOr();
  if (!condition)
    return nullptr;
  if (!token().isName("else")) {
    errorHere(fmt::format("expected 'else' after the condition of 'if', found {}", found()));
    return nullptr;
  }
  advance();
  Expr *otherwise = parseExpr();
  return otherwise ? finish(file.make<CondExpr>(value, condition, otherwise)) : nullptr;
}

Expr *ExprParser::parseOr() {
  Expr *lhs = parseAnd();
  while (lhs && token().isName("or")) {
    Token op = token();
    advance();
    Expr *rhs = parseAnd();
    lhs = rhs ? binary(BinaryOp::Or, op, lhs, rhs) : nullptr;
  }
  return lhs;
}

Expr *ExprParser::parseAnd() {
  Expr *lhs = parseNot();
  while (lhs && token().isName("and")) {
    Token op = token();
    advance();
    Expr *rhs = parseNot();
    lhs = rhs ? binary(BinaryOp::And, op, lhs, rhs) : nullptr;
  }
  return lhs;
}

Expr *ExprParser::parseNot() {
  if (!token().isName("not"))
    return parseComparison();
  Leave leave{nesting};
  if (!enter())
    return nullptr;
  SourceRange start = token().range;
  advance();
  Expr *operand = parseNot();
  if (!operand)
    return nullptr;
  return finish(file.make<UnaryExpr>(UnaryOp::Not, operand, start.to(operand->range)));
}

static std::optional<BinaryOp> comparisonOp(const Token &token) {
  if (token.kind != TokenKind::Punctuation)
    return std::nullopt;
  return llvm::StringSwitch<std::optional<BinaryOp>>(token.text)
      .Case("<", BinaryOp::Lt)
      .Case("<=", BinaryOp::Le)
      .Case(">", BinaryOp::Gt)
      .Case(">=", BinaryOp::Ge)
      .Case("==", BinaryOp::Eq)
      .Case("!=", BinaryOp::Ne)
      .Default(std::nullopt);
}

Expr *ExprParser::parseComparison() {
  Expr *lhs = parseSum();
  std::optional<BinaryOp> op = comparisonOp(token());
  if (!lhs || !op)
    return lhs;
  Token opToken = token();
  advance();
  Expr *rhs = parseSum();
  if (!rhs)
    return nullptr;
  if (std::optional<BinaryOp> second = comparisonOp(token())) {
    std::string middle = file.source.text(rhs->range).take_front(40).str();
    errorHere(fmt::format("comparisons cannot be chained; write '... {} {} and {} {} ...'",
                          spelling(*op).str(), middle, middle, spelling(*second).str()));
    return nullptr;
  }
  return binary(*op, opToken, lhs, rhs);
}

Expr *ExprParser::parseSum() {
  Expr *lhs = parseProduct();
  while (lhs && (token().is("+") || token().is("-"))) {
    Token op = token();
    advance();
    Expr *rhs = parseProduct();
    lhs = rhs ? binary(op.text == "+" ? BinaryOp::Add : BinaryOp::Sub, op, lhs, rhs) : nullptr;
  }
  return lhs;
}

/// product = unary { ("*" | "/" | "//" | "%") unary }
Expr *ExprParser::parseProduct() {
  Expr *lhs = parseUnary();
  while (lhs && (token().is("*") || token().is("/") || token().is("//") || token().is("%"))) {
    Token op = token();
    advance();
    size_t signs = 0;
    while (token(signs).is("-"))
      ++signs;
    const Token &word = token(signs);
    // The reduction would take the rest of the product, which reads as if it did not.
    if (op.text != "*" && word.kind == TokenKind::Name && token(signs + 1).is("[") &&
        llvm::is_contained({"sum", "prod", "max", "min", "logsumexp"}, word.text)) {
      diagnostics.error(word.range,
                        fmt::format("a reduction after '{}' must be bracketed: write '{} ({}[...] "
                                    "...)'",
                                    op.text.str(), op.text.str(), word.text.str()));
      return nullptr;
    }
    Expr *rhs = parseUnary();
    BinaryOp kind = llvm::StringSwitch<BinaryOp>(op.text)
                        .Case("*", BinaryOp::Mul)
                        .Case("/", BinaryOp::Div)
                        .Case("//", BinaryOp::FloorDiv)
                        .Default(BinaryOp::Mod);
    lhs = rhs ? binary(kind, op, lhs, rhs) : nullptr;
  }
  return lhs;
}

bool ExprParser::atReduction() const {
  if (token().kind != TokenKind::Name)
    return false;
  llvm::StringRef word = token().text;
  if (word == "max" || word == "min")
    return token(1).is("[");
  return word == "sum" || word == "prod" || word == "logsumexp" || word == "softmax" ||
         word == "cumsum" || word == "topk";
}

Expr *ExprParser::parseUnary() {
  if (token().is("-")) {
    Leave leave{nesting};
    if (!enter())
      return nullptr;
    SourceRange start = token().range;
    advance();
    Expr *operand = parseUnary();
    if (!operand)
      return nullptr;
    return finish(file.make<UnaryExpr>(UnaryOp::Neg, operand, start.to(operand->range)));
  }
  if (atReduction())
    return parseReduction();
  return parsePower();
}

/// power = primary [ "^" exponent ]
Expr *ExprParser::parsePower() {
  Expr *base = parsePrimary();
  if (!base || !token().is("^"))
    return base;
  Token op = token();
  advance();
  Expr *exponent = parseExponent();
  return exponent ? binary(BinaryOp::Pow, op, base, exponent) : nullptr;
}

/// exponent = "-" exponent | power
Expr *ExprParser::parseExponent() {
  Leave leave{nesting};
  if (!enter())
    return nullptr;
  if (!token().is("-"))
    return parsePower();
  SourceRange start = token().range;
  advance();
  Expr *operand = parseExponent();
  if (!operand)
    return nullptr;
  return finish(file.make<UnaryExpr>(UnaryOp::Neg, operand, start.to(operand->range)));
}

Expr *ExprParser::parsePrimary() {
  if (token().kind == TokenKind::Number) {
    auto *number = file.make<NumberExpr>(token().number, token().range);
    number->type = number->value.isInteger ? Type::Integer : Type::Real;
    advance();
    return number;
  }
  if (token().is("(")) {
    SourceRange open = token().range;
    advance();
    Expr *inner = parseExpr();
    if (!inner)
      return nullptr;
    if (!token().is(")")) {
      errorHere(fmt::format("expected ')' or an operator, found {}", found()))
          .note(open, "to close this bracket");
      return nullptr;
    }
    advance();
    return inner;
  }
  if (token().kind == TokenKind::Name)
    return parseName();
  bool isPower = token().is("*") && previousRange().end == token().range.begin;
  errorHere(fmt::format("expected an expression, found {}{}", found(),
                        isPower ? "; powers are written with '^'" : ""));
  return nullptr;
}

Expr *ExprParser::parseName() {
  Token name = token();
  if (name.text == "inf") {
    advance();
    return file.make<NumberExpr>(Number::ofReal(std::numeric_limits<double>::infinity()),
                                 name.range);
  }
  if (isReservedForLater(name.text)) {
    errorHere(fmt::format("'{}' is reserved for a later version of the language", name.text.str()));
    return nullptr;
  }
  if (isKeyword(name.text)) {
    errorHere(fmt::format("expected an expression, found {}{}", found(),
                          name.text == "if" ? "; write 'VALUE if CONDITION else OTHER'" : ""));
    return nullptr;
  }
  if (atReduction()) {
    errorHere(fmt::format("'{}[...]' must be bracketed here", name.text.str()));
    return nullptr;
  }
  advance();
  if (token().is("(")) {
    advance();
    std::vector<Expr *> args;
    if (!parseArguments(")", fmt::format("after the arguments of '{}'", name.text.str()), args))
      return nullptr;
    return finish(file.make<CallExpr>(name.text.str(), name.range, std::move(args),
                                      name.range.to(previousRange())));
  }
  if (isBuiltinName(name.text)) {
    errorHere(
        fmt::format("expected '(' after the function '{}', found {}", name.text.str(), found()));
    return nullptr;
  }
  auto *ref = file.make<RefExpr>(name.text.str(), name.range);
  if (token().is("[")) {
    advance();
    ref->hasBrackets = true;
    if (!parseArguments("]", fmt::format("after the indices of '{}'", ref->name), ref->indices))
      return nullptr;
    ref->range = name.range.to(previousRange());
  }
  return finish(ref);
}

/// Comma-separated expressions up to and with `close`; the opening bracket is consumed.
bool ExprParser::parseArguments(llvm::StringRef close, llvm::StringRef context,
                                std::vector<Expr *> &args) {
  if (accept(close))
    return true;
  do {
    Expr *arg = parseExpr();
    if (!arg)
      return false;
    args.push_back(arg);
    if (tooMany(args.size()))
      return false;
  } while (accept(","));
  return expect(close, context);
}

/// The operand of `max[s]`, `softmax[s]` and the like: a name with indices, a call or a bracket.
Expr *ExprParser::parseOneOperand(llvm::StringRef reduction) {
  if (!token().is("(") &&
      (token().kind != TokenKind::Name || isKeyword(token().text) || atReduction())) {
    errorHere(fmt::format("'{}' takes one operand: a name with indices, a call or a bracket; "
                          "found {}",
                          reduction.str(), found()));
    return nullptr;
  }
  Expr *operand = parsePrimary();
  if (operand && token().is("^")) {
    errorHere(fmt::format("bracket the operand of '{}' or its result before '^'", reduction.str()));
    return nullptr;
  }
  return operand;
}

/// `sum[i,n] product`, `max[s] operand`, `softmax[s] operand`, `topk[s, 16] operand`.
Expr *ExprParser::parseReduction() {
  Leave leave{nesting};
  if (!enter())
    return nullptr;
  Token word = token();
  std::string name = word.text.str();
  advance();
  if (!token().is("[")) {
    errorHere(fmt::format("expected '[' and an index after '{}', as in '{}[i] ...', found {}", name,
                          name, found()));
    return nullptr;
  }
  advance();
  std::vector<IndexUse> indices;
  Expr *count = nullptr;
  bool isTopk = name == "topk";
  do {
    if (isTopk && indices.size() == 1) {
      count = parseExpr();
      if (!count)
        return nullptr;
      break;
    }
    std::optional<Token> index = expectName(fmt::format("the index of '{}'", name));
    if (!index)
      return nullptr;
    indices.push_back({index->text.str(), index->range, nullptr});
    if (tooMany(indices.size()))
      return nullptr;
  } while (accept(","));
  if (!expect("]", fmt::format("after the indices of '{}'", name)))
    return nullptr;
  if (isTopk && !count) {
    diagnostics.error(word.range, "'topk' needs the number of elements, as in 'topk[s, 16]'");
    return nullptr;
  }
  bool isMap = isTopk || name == "softmax" || name == "cumsum";
  if (isMap && indices.size() > 1) {
    diagnostics.error(indices[1].range, fmt::format("'{}' runs over one index", name));
    return nullptr;
  }
  Expr *operand = name == "sum" || name == "prod" ? parseProduct() : parseOneOperand(name);
  if (!operand)
    return nullptr;
  SourceRange range = word.range.to(previousRange());
  if (isMap) {
    MapOp op = isTopk ? MapOp::Topk : name == "softmax" ? MapOp::Softmax : MapOp::Cumsum;
    auto *map = file.make<MapExpr>(op, indices[0], operand, range);
    map->countExpr = count;
    return finish(map);
  }
  Reduction op = llvm::StringSwitch<Reduction>(name)
                     .Case("sum", Reduction::Sum)
                     .Case("prod", Reduction::Prod)
                     .Case("max", Reduction::Max)
                     .Case("min", Reduction::Min)
                     .Default(Reduction::LogSumExp);
  return finish(file.make<ReduceExpr>(op, std::move(indices), operand, range));
}
