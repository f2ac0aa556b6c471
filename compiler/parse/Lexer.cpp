//===- Lexer.cpp -----------------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Lexer.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/ConvertUTF.h"
#include <cmath>
#include <fmt/format.h>

using namespace seqmix;

bool seqmix::isLineKeyword(llvm::StringRef word) {
  return llvm::StringSwitch<bool>(word)
      .Cases({"mixer", "dims", "const", "input", "param"}, true)
      .Cases({"state", "output", "fn", "where"}, true)
      .Default(false);
}

bool seqmix::isReservedForLater(llvm::StringRef word) { return word == "grad" || word == "block"; }

bool seqmix::isKeyword(llvm::StringRef word) {
  return isLineKeyword(word) || isReservedForLater(word) ||
         llvm::StringSwitch<bool>(word)
             .Cases({"in", "per", "batch", "if", "else"}, true)
             .Cases({"and", "or", "not", "inf"}, true)
             .Default(false);
}

bool seqmix::isBuiltinName(llvm::StringRef word) {
  return ast::builtinNamed(word) ||
         llvm::StringSwitch<bool>(word)
             .Cases({"sum", "prod", "logsumexp", "softmax", "cumsum", "topk"}, true)
             .Default(false);
}

namespace {

class Lexer {
public:
  Lexer(const SourceFile &source, Diagnostics &diagnostics)
      : text(source.text()), diagnostics(diagnostics) {}

  std::vector<Token> run() {
    if (text.starts_with("\xEF\xBB\xBF"))
      at = 3; // byte order mark
    while (at < text.size() && !diagnostics.full())
      next();
    newline();
    push(TokenKind::End, text.size(), text.size());
    return std::move(tokens);
  }

private:
  llvm::StringRef text;
  Diagnostics &diagnostics;
  std::vector<Token> tokens;
  size_t at = 0;
  unsigned openBrackets = 0;
  bool lineStart = true;

  char peek(size_t ahead = 0) const { return at + ahead < text.size() ? text[at + ahead] : '\0'; }

  Token &push(TokenKind kind, size_t begin, size_t end) {
    Token token;
    token.kind = kind;
    token.range = {static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
    token.text = text.slice(begin, end);
    token.startsLine = lineStart;
    lineStart = false;
    tokens.push_back(token);
    return tokens.back();
  }

  /// Ends the logical line at the current offset, if it has any token.
  void newline() {
    if (!tokens.empty() && tokens.back().kind != TokenKind::Newline) {
      push(TokenKind::Newline, at, at);
      lineStart = true;
    }
  }

  bool lineContinues() const {
    if (openBrackets > 0)
      return true;
    if (tokens.empty())
      return false;
    const Token &last = tokens.back();
    if (last.kind == TokenKind::Name)
      return last.text == "and" || last.text == "or" || last.text == "not" || last.text == "if" ||
             last.text == "else";
    return last.kind == TokenKind::Punctuation && last.text != ")" && last.text != "]" &&
           last.text != ";" && last.text != ":";
  }

  void next() {
    char c = peek();
    if (c == '\n') {
      if (!lineContinues())
        newline();
      lineStart = true;
      ++at;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      ++at;
    } else if (c == '#') {
      while (at < text.size() && text[at] != '\n')
        ++at;
    } else if (llvm::isAlpha(c) || c == '_' || isHigh(c)) {
      name();
    } else if (llvm::isDigit(c) || (c == '.' && llvm::isDigit(peek(1)))) {
      number();
    } else {
      punctuation();
    }
  }

  /// Reports the text from `begin` to the current offset and leaves a token that no line can use.
  void invalid(size_t begin, std::string message) {
    push(TokenKind::Invalid, begin, at);
    diagnostics.error(tokens.back().range, std::move(message));
  }

  void name() {
    size_t begin = at;
    bool isAscii = true;
    for (; llvm::isAlnum(peek()) || peek() == '_' || isHigh(peek()); ++at)
      isAscii &= !isHigh(peek());
    if (!isAscii)
      return invalidName(begin);
    llvm::StringRef word = text.slice(begin, at);
    // A declaration cannot stand inside a bracket, so the bracket was never closed: end its line
    // here and let the parser say so, instead of swallowing the rest of the file.
    if (openBrackets > 0 && lineStart && isLineKeyword(word)) {
      openBrackets = 0;
      size_t end = at;
      at = tokens.back().range.end;
      newline();
      at = end;
      lineStart = true;
    }
    push(TokenKind::Name, begin, at);
  }

  static bool isHigh(char c) { return static_cast<unsigned char>(c) >= 0x80; }

  void invalidName(size_t begin) {
    const auto *bytes = reinterpret_cast<const llvm::UTF8 *>(text.data() + begin);
    const auto *end = reinterpret_cast<const llvm::UTF8 *>(text.data() + at);
    if (!llvm::isLegalUTF8String(&bytes, end))
      invalid(begin, "the file is not valid UTF-8 here");
    else
      invalid(begin, "names consist of the letters a-z and A-Z, digits and '_'; other characters "
                     "may stand in comments only" +
                         substitute(text.slice(begin, at)));
  }

  /// What is written for a symbol that papers use.
  static std::string substitute(llvm::StringRef word) {
    static constexpr std::pair<llvm::StringLiteral, llvm::StringLiteral> symbols[] = {
        {"\xE2\x88\x92", "-"},   {"\xE2\x80\x93", "-"},       {"\xC3\x97", "*"},
        {"\xC2\xB7", "*"},       {"\xE2\x8B\x85", "*"},       {"\xE2\x8A\x99", "*"},
        {"\xE2\x89\xA4", "<="},  {"\xE2\x89\xA5", ">="},      {"\xE2\x89\xA0", "!="},
        {"\xE2\x88\x9E", "inf"}, {"\xE2\x88\x91", "sum[...]"}};
    for (const auto &[symbol, written] : symbols)
      if (word.contains(symbol))
        return fmt::format("; write '{}' for '{}'", written.str(), symbol.str());
    return "";
  }

  void number() {
    size_t begin = at;
    bool isInteger = true;
    while (llvm::isDigit(peek()))
      ++at;
    if (peek() == '.') {
      isInteger = false;
      ++at;
      while (llvm::isDigit(peek()))
        ++at;
    }
    if (peek() == 'e' || peek() == 'E') {
      size_t sign = peek(1) == '+' || peek(1) == '-' ? 1 : 0;
      if (llvm::isDigit(peek(1 + sign))) {
        isInteger = false;
        at += 1 + sign;
        while (llvm::isDigit(peek()))
          ++at;
      }
    }
    if (llvm::isAlpha(peek()) || peek() == '_') {
      while (llvm::isAlnum(peek()) || peek() == '_')
        ++at;
      return invalid(begin, fmt::format("'{}' is neither a number nor a name",
                                        text.slice(begin, at).take_front(40).str()));
    }
    llvm::StringRef spelled = text.slice(begin, at);
    ast::Number number;
    if (isInteger) {
      int64_t value;
      if (spelled.getAsInteger(10, value))
        return invalid(begin, "the integer does not fit into 64 bits; write it with a '.' or an "
                              "exponent to make it a real number");
      number = ast::Number::ofInteger(value);
    } else {
      double value = 0;
      std::string whole = (spelled[0] == '.' ? "0" : "") + spelled.str(); // ".5" is allowed
      if (llvm::StringRef(whole).getAsDouble(value, /*AllowInexact=*/true) || std::isinf(value))
        return invalid(begin, "the number is too large for a double; write 'inf' for infinity");
      number = ast::Number::ofReal(value);
    }
    push(TokenKind::Number, begin, at).number = number;
  }

  void punctuation() {
    static constexpr llvm::StringLiteral twoChars[] = {"//", "==", "!=", "<=", ">="};
    for (llvm::StringRef two : twoChars)
      if (text.substr(at).starts_with(two)) {
        at += 2;
        push(TokenKind::Punctuation, at - 2, at);
        return;
      }
    char c = peek();
    if (llvm::StringRef("+-*/%^()[],:;=<>").contains(c)) {
      if (c == '(' || c == '[')
        ++openBrackets;
      if ((c == ')' || c == ']') && openBrackets > 0)
        --openBrackets;
      ++at;
      push(TokenKind::Punctuation, at - 1, at);
      return;
    }
    unexpected();
  }

  /// Reports a character that no token begins with; a run of the same is one error.
  void unexpected() {
    size_t begin = at;
    char c = peek();
    while (at < text.size() && text[at] == c)
      ++at;
    if (c == '"' && at == begin + 1) {
      if (size_t end = text.find_first_of("\"\n", at); end != llvm::StringRef::npos)
        at = end + (text[end] == '"');
      return invalid(begin, "the language has no texts");
    }
    if (c == '!')
      return invalid(begin, "unexpected '!'; write 'not' or '!='");
    if (c == '&' || c == '|')
      return invalid(begin, fmt::format("unexpected '{}'; write {}",
                                        text.slice(begin, at).take_front(2).str(),
                                        c == '&'          ? "'and'"
                                        : at == begin + 1 ? "'or', or 'abs(x)' for |x|"
                                                          : "'or'"));
    if (c == '?')
      return invalid(begin, "unexpected '?'; write 'VALUE if CONDITION else OTHER'");
    if (c == '@')
      return invalid(begin, "unexpected '@'; write the sum of products, as in 'sum[i] q[t,i] * "
                            "k[t,i]'");
    if (c < 0x20 || c == 0x7F)
      return invalid(begin, fmt::format("unexpected control character (code {})",
                                        static_cast<unsigned>(static_cast<unsigned char>(c))));
    invalid(begin, fmt::format("unexpected character '{}'", c));
  }
};

} // namespace

std::vector<Token> seqmix::lex(const SourceFile &source, Diagnostics &diagnostics) {
  return Lexer(source, diagnostics).run();
}
