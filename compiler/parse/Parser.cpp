//===- Parser.cpp - Declarations and equations -----------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Parser.h"
#include "compiler/parse/ExprParser.h"

#include "llvm/ADT/StringSwitch.h"
#include <fmt/format.h>

using namespace seqmix;
using namespace seqmix::ast;

namespace {

class Parser : ExprParser {
public:
  using ExprParser::ExprParser;

  std::vector<RawMixer> run() {
    while (!atEnd()) {
      if (diagnostics.full())
        break;
      parseLine();
    }
    if (mixers.empty() && !diagnostics.hasErrors())
      diagnostics.error(SourceRange(), "the file has no mixer; expected 'mixer NAME'");
    return std::move(mixers);
  }

private:
  std::vector<RawMixer> mixers;
  Equation *lastEquation = nullptr; ///< the one that a following `where` belongs to
  bool toldAboutMixer = false;
  /// Behind a line that begins a mixer and has errors.
  bool isNameless = false;

  RawMixer &current() { return mixers.back(); }
  Mixer &mixer() { return *mixers.back().mixer; }

  /// A suffix keyword ends a list of names.
  bool atSuffix() const { return token().is(":") || token().isName("in") || token().isName("per"); }

  void parseLine() {
    if (token().kind == TokenKind::Newline) {
      advance();
      return;
    }
    Equation *previous = lastEquation;
    lastEquation = nullptr;
    if (lineIsInvalid()) { // the lexer said why
      isNameless |= token().isName("mixer");
      skipLine();
      toldAboutMixer = true;
      if (!mixers.empty())
        current().hasErrors = true;
      return;
    }
    bool ok = false;
    if (token().isName("mixer")) {
      ok = parseMixer();
      isNameless = !ok;
    } else if (isNameless) { // its lines belong to no mixer
      skipLine();
      return;
    } else if (mixers.empty()) {
      if (!toldAboutMixer)
        errorHere(fmt::format("expected 'mixer NAME' before anything else, found {}", found()));
      toldAboutMixer = true;
    } else if (token().kind == TokenKind::Name) {
      ok = parseDeclaration(previous);
    } else {
      errorHere(fmt::format("expected a declaration or an equation, found {}{}", found(),
                            token().is("//")            ? "; comments begin with '#'"
                            : atOperatorOfAnotherLine() ? "; a line goes on after an operator: end "
                                                          "the line above with it"
                                                        : ""));
    }
    if (ok)
      ok = expectLineEnd();
    if (!ok) {
      skipLine();
      if (!mixers.empty())
        current().hasErrors = true;
    }
    if (!mixers.empty())
      mixer().range = mixer().range.to(previousRange());
  }

  bool expectLineEnd() {
    if (token().kind == TokenKind::Newline || atEnd())
      return true;
    if (token().isName("where"))
      return true; // reported or parsed by the next round
    if (token().is("=") && continuation())
      diagnostics.error(continuation()->range,
                        fmt::format("expected an expression after '{}', found the next equation",
                                    continuation()->text.str()));
    else if (token().is("="))
      errorHere("expected the end of the line, found a second '='; use '==' to compare");
    else if (token().is(")") || token().is("]"))
      errorHere(fmt::format("'{}' closes no bracket", token().text.str()));
    else
      errorHere(fmt::format("expected an operator or the end of the line, found {}", found()));
    return false;
  }

  bool parseDeclaration(Equation *previous) {
    llvm::StringRef word = token().text;
    if (word == "dims")
      return parseDims();
    if (word == "const")
      return parseConst();
    if (word == "input" || word == "param")
      return parseTensors(word == "param" ? Decl::Kind::Param : Decl::Kind::Input);
    if (word == "state")
      return parseStates();
    if (word == "output")
      return parseOutputs();
    if (word == "fn")
      return parseFn();
    if (word == "where")
      return parseWhere(previous);
    if (isReservedForLater(word)) {
      errorHere(fmt::format("'{}' is reserved for a later version of the language", word.str()));
      return false;
    }
    if (isKeyword(word)) {
      errorHere(fmt::format("expected a declaration or an equation, found '{}'", word.str()));
      return false;
    }
    return parseEquation();
  }

  bool atOperatorOfAnotherLine() const {
    return token().kind == TokenKind::Punctuation &&
           llvm::StringRef("+-*/^%<>").contains(token().text.front());
  }

  bool parseMixer() {
    SourceRange start = token().range;
    advance();
    std::optional<Token> name = expectNewName("a name after 'mixer'");
    if (!name)
      return false;
    auto *made = file.make<Mixer>(start.to(name->range));
    made->name = name->text.str();
    made->nameRange = name->range;
    file.mixers.push_back(made);
    mixers.push_back({made, {}, {}, {}, false});
    return true;
  }

  //===---------------------------------------------------------------------------------------===//
  // dims, const
  //===---------------------------------------------------------------------------------------===//

  bool parseDims() {
    advance();
    do {
      if (token().kind == TokenKind::Newline && !mixer().dims.empty())
        return true; // a ';' at the end
      if (!parseDimGroup())
        return false;
    } while (accept(";"));
    return true;
  }

  bool parseDimGroup() {
    std::vector<Token> names;
    do {
      std::optional<Token> name = expectNewName("the name of a dim or an index");
      if (!name)
        return false;
      names.push_back(*name);
    } while (accept(","));
    if (token().isName("batch")) {
      advance();
      for (const Token &name : names) {
        auto *dim = file.make<BatchDim>(name.text.str(), name.range);
        dim->position = mixer().batchDims.size();
        mixer().batchDims.push_back(dim);
      }
      return true;
    }
    if (!token().isName("in")) {
      errorHere(fmt::format("expected 'in DIM' or 'batch' after '{}', found {}",
                            names.back().text.str(), found()));
      return false;
    }
    advance();
    std::optional<Token> name = expectNewName("the name of the dim after 'in'");
    if (!name)
      return false;
    auto *dim = file.make<Dim>(name->text.str(), name->range);
    mixer().dims.push_back(dim);
    for (const Token &indexName : names) {
      auto *index = file.make<Index>(indexName.text.str(), indexName.range);
      index->dim = dim;
      dim->indices.push_back(index);
      mixer().indices.push_back(index);
    }
    if (accept("=")) {
      dim->sizeExpr = parseExpr();
      if (!dim->sizeExpr)
        return false;
      dim->range = dim->nameRange.to(dim->sizeExpr->range);
    }
    return true;
  }

  bool parseConst() {
    advance();
    do {
      std::optional<Token> name = expectNewName("the name of a constant");
      if (!name || !expect("=", fmt::format("after the constant '{}'", name->text.str())))
        return false;
      auto *constant = file.make<Const>(name->text.str(), name->range);
      constant->valueExpr = parseExpr();
      if (!constant->valueExpr)
        return false;
      constant->range = name->range.to(constant->valueExpr->range);
      mixer().consts.push_back(constant);
    } while (accept(","));
    return true;
  }

  //===---------------------------------------------------------------------------------------===//
  // input, param, state, output
  //===---------------------------------------------------------------------------------------===//

  /// `i`, `T`, `H/4`.
  std::optional<RawPlace> parsePlace(llvm::StringRef what) {
    if (token().kind == TokenKind::Number) {
      errorHere(fmt::format("expected {}, found {}; a place is declared by an index or a dim",
                            what.str(), found()));
      return std::nullopt;
    }
    std::optional<Token> name = expectName(what);
    if (!name)
      return std::nullopt;
    RawPlace place{name->text.str(), 1, false, name->range};
    if (accept("/")) {
      if (token().kind != TokenKind::Number || !token().number.isInteger ||
          token().number.integer < 1) {
        errorHere(
            fmt::format("expected a whole number of at least 1 after '/', found {}", found()));
        return std::nullopt;
      }
      place.group = token().number.integer;
      place.hasGroup = true;
      place.range = place.range.to(token().range);
      advance();
    }
    return place;
  }

  /// `[i, j]` or nothing.
  bool parsePlaces(llvm::StringRef name, std::vector<RawPlace> &places) {
    if (!accept("["))
      return true;
    if (accept("]"))
      return true;
    do {
      std::optional<RawPlace> place = parsePlace("an index or a dim");
      if (!place)
        return false;
      places.push_back(*place);
      if (tooMany(places.size()))
        return false;
    } while (accept(","));
    return expect("]", fmt::format("after the places of '{}'", name.str()));
  }

  std::optional<DType> parseType() {
    SourceRange at = token().range;
    std::string word = token().text.str();
    if (token().kind != TokenKind::Name) {
      errorHere(fmt::format("expected a type (f64, f32, bf16, f16, i32, bool), found {}", found()));
      return std::nullopt;
    }
    DType type = llvm::StringSwitch<DType>(word)
                     .Case("f64", DType::F64)
                     .Case("f32", DType::F32)
                     .Case("bf16", DType::BF16)
                     .Case("f16", DType::F16)
                     .Case("i32", DType::I32)
                     .Case("bool", DType::Bool)
                     .Default(DType::Default);
    if (type == DType::Default) {
      if (llvm::StringRef(word).starts_with("complex") || word == "c64" || word == "c128")
        diagnostics.error(at, "complex types are reserved for a later version of the language; "
                              "write the real and the imaginary part as two tensors");
      else
        diagnostics.error(
            at, fmt::format("'{}' is not a type; expected f64, f32, bf16, f16, i32 or bool", word));
      return std::nullopt;
    }
    advance();
    return type;
  }

  bool parseTensors(Decl::Kind kind) {
    std::string keyword = token().text.str();
    advance();
    size_t first = current().tensors.size();
    do {
      std::optional<Token> name = expectNewName(fmt::format("a name after '{}'", keyword));
      if (!name)
        return false;
      auto *tensor = file.make<Tensor>(kind, name->text.str(), name->range);
      RawTensor raw{tensor, {}, {}, false, {}, nullptr, nullptr, {}};
      if (!parsePlaces(tensor->name, raw.places))
        return false;
      tensor->range = name->range.to(previousRange());
      mixer().tensors.push_back(tensor);
      current().tensors.push_back(std::move(raw));
    } while (accept(","));
    RawTensor suffix{nullptr, {}, {}, false, {}, nullptr, nullptr, {}};
    DType type = DType::Default;
    if (!parseTensorSuffixes(suffix, type))
      return false;
    for (RawTensor &raw : llvm::MutableArrayRef(current().tensors).drop_front(first)) {
      raw.decl->dtype = type;
      raw.per = suffix.per;
      raw.hasPer = suffix.hasPer;
      raw.perRange = suffix.perRange;
      raw.low = suffix.low;
      raw.high = suffix.high;
      raw.boundsRange = suffix.boundsRange;
    }
    return true;
  }

  bool parseTensorSuffixes(RawTensor &suffix, DType &type) {
    if (accept(":")) {
      std::optional<DType> parsed = parseType();
      if (!parsed)
        return false;
      type = *parsed;
    }
    if (token().isName("in")) {
      suffix.boundsRange = token().range;
      advance();
      if (!expect("[", "after 'in'"))
        return false;
      suffix.low = parseExpr();
      if (!suffix.low || !expect(",", "between the ends of the range"))
        return false;
      suffix.high = parseExpr();
      if (!suffix.high || !expect("]", "after the range"))
        return false;
      suffix.boundsRange = suffix.boundsRange.to(previousRange());
    }
    if (token().isName("per")) {
      suffix.hasPer = true;
      suffix.perRange = token().range;
      advance();
      do {
        std::optional<RawPlace> batch = parsePlace("a batch dim after 'per'");
        if (!batch)
          return false;
        suffix.per.push_back(*batch);
        if (tooMany(suffix.per.size()))
          return false;
      } while (accept(","));
      suffix.perRange = suffix.perRange.to(previousRange());
    }
    if (atSuffix()) {
      errorHere(fmt::format("{} stands too late; the order is ': type', 'in [a, b]', 'per ...', "
                            "each at most once",
                            found()));
      return false;
    }
    return true;
  }

  bool parseStates() {
    advance();
    size_t first = current().states.size();
    do {
      std::optional<Token> name = expectNewName("a name after 'state'");
      if (!name)
        return false;
      RawState raw{file.make<State>(name->text.str(), name->range), {}};
      if (!parsePlaces(raw.decl->name, raw.places))
        return false;
      raw.decl->range = name->range.to(previousRange());
      mixer().states.push_back(raw.decl);
      current().states.push_back(std::move(raw));
    } while (accept(","));
    if (atSuffix()) {
      errorHere(fmt::format("a state has no {} suffix: it is a real number for every batch element",
                            found()));
      return false;
    }
    if (!token().is("=")) {
      errorHere(
          fmt::format("expected the initial value of the state, as in '= 0', found {}", found()));
      return false;
    }
    advance();
    Expr *init = parseExpr();
    if (!init)
      return false;
    for (RawState &raw : llvm::MutableArrayRef(current().states).drop_front(first))
      raw.decl->initExpr = init;
    return true;
  }

  bool parseOutputs() {
    advance();
    size_t first = mixer().outputs.size();
    do {
      std::optional<Token> name = expectName("the name of an output");
      if (!name)
        return false;
      auto *output = file.make<Output>(name->range);
      output->name = name->text.str();
      output->nameRange = name->range;
      if (token().is("[")) {
        output->hasBrackets = true;
        std::vector<RawPlace> places;
        if (!parsePlaces(output->name, places))
          return false;
        for (RawPlace &place : places) {
          if (place.hasGroup) {
            diagnostics.error(place.range, "expected the name of an index");
            return false;
          }
          output->indices.push_back({place.name, place.range, nullptr});
        }
      }
      output->range = name->range.to(previousRange());
      mixer().outputs.push_back(output);
    } while (accept(","));
    if (accept(":")) {
      std::optional<DType> type = parseType();
      if (!type)
        return false;
      for (Output *output : llvm::ArrayRef(mixer().outputs).drop_front(first))
        output->dtype = *type;
    }
    if (atSuffix()) {
      errorHere(fmt::format("an output has no '{}' suffix; only ': type' may follow its indices",
                            token().text.str()));
      return false;
    }
    return true;
  }

  //===---------------------------------------------------------------------------------------===//
  // fn, equations, where
  //===---------------------------------------------------------------------------------------===//

  bool parseFn() {
    advance();
    std::optional<Token> name = expectNewName("the name of a function after 'fn'");
    if (!name || !expect("(", fmt::format("after 'fn {}'", name->text.str())))
      return false;
    auto *fn = file.make<Fn>(name->text.str(), name->range);
    do {
      std::optional<Token> param = expectNewName("the name of an argument");
      if (!param)
        return false;
      RawFnParam raw{file.make<FnParam>(param->text.str(), param->range), "", {}};
      if (accept("[")) {
        std::optional<Token> index = expectName("the index of the argument");
        if (!index || !expect("]", "after the one index of an argument"))
          return false;
        raw.index = index->text.str();
        raw.indexRange = index->range;
        raw.decl->range = param->range.to(previousRange());
      }
      fn->params.push_back(raw.decl);
      current().fnParams.push_back(raw);
      if (tooMany(fn->params.size()))
        return false;
    } while (accept(","));
    if (!expect(")", "after the arguments") || !expect("=", "before the body of the function"))
      return false;
    fn->body = parseExpr();
    if (!fn->body)
      return false;
    fn->range = name->range.to(fn->body->range);
    mixer().fns.push_back(fn);
    return true;
  }

  bool parseEquation() {
    std::optional<Token> name = expectNewName("the name that the equation defines");
    if (!name)
      return false;
    auto *equation = file.make<Equation>(name->range);
    equation->name = name->text.str();
    equation->nameRange = name->range;
    if (accept("[") && !accept("]")) {
      do {
        Expr *index = parseExpr();
        if (!index)
          return false;
        auto *ref = llvm::dyn_cast<RefExpr>(index);
        if (!ref || ref->hasBrackets) {
          diagnostics.error(index->range, "the left side is defined for every value of its "
                                          "indices: expected the name of an index");
          return false;
        }
        equation->indices.push_back({ref->name, ref->range, nullptr});
        if (tooMany(equation->indices.size()))
          return false;
      } while (accept(","));
      if (!expect("]", fmt::format("after the indices of '{}'", equation->name)))
        return false;
    }
    equation->lhsRange = name->range.to(previousRange());
    if (!token().is("=")) {
      std::vector<std::string> words = {"mixer", "dims",  "const",  "input", "param",
                                        "state", "where", "output", "fn"};
      std::string near = token().kind == TokenKind::Name ? nearestName(name->text, words) : "";
      if (!near.empty())
        diagnostics.error(name->range, fmt::format("'{}' begins no declaration; did you mean '{}'?",
                                                   name->text.str(), near));
      else if (token().is("=="))
        errorHere("an equation is written with '='; '==' compares");
      else
        errorHere(fmt::format("expected '=' after '{}', found {}",
                              file.source.text(equation->lhsRange).str(), found()));
      return false;
    }
    advance();
    equation->rhs = parseExpr();
    if (!equation->rhs)
      return false;
    equation->range = equation->lhsRange.to(equation->rhs->range);
    mixer().equations.push_back(equation);
    lastEquation = equation;
    return true;
  }

  bool parseWhere(Equation *equation) {
    SourceRange at = token().range;
    advance();
    Expr *condition = parseExpr();
    if (!condition)
      return false;
    if (!equation) {
      diagnostics.error(at, "'where' must stand directly under the equation that it restricts");
      return false;
    }
    if (equation->where) {
      diagnostics.error(at, "an equation has one 'where'; join the conditions with 'and'")
          .note(equation->whereRange, "the first one is here");
      return false;
    }
    equation->where = condition;
    equation->whereRange = at.to(condition->range);
    equation->range = equation->range.to(condition->range);
    lastEquation = equation; // so that a second 'where' is found
    return true;
  }
};

} // namespace

std::vector<RawMixer> seqmix::parseMixers(File &file, Diagnostics &diagnostics) {
  return Parser(file, diagnostics).run();
}
