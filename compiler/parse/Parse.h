//===- Parse.h - From the text of a .seq file to a checked tree ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#pragma once

#include "compiler/parse/Ast.h"
#include "compiler/parse/Diagnostics.h"
#include <map>
#include <memory>
#include <string>

namespace seqmix {

/// Sizes and constants given on the command line, by name.
using Overrides = std::map<std::string, ast::Number>;

/// Adds `K=128` or `alpha=0.5` to `overrides`; false, with a sentence in `error`, if it is not of
/// that form.
bool addOverride(llvm::StringRef text, Overrides &overrides, std::string &error);

/// Parses a file and checks everything that the language says about it. Errors are reported to
/// `diagnostics`; the result is null if there was one, and keeps the promises of Ast.h otherwise.
std::unique_ptr<ast::File> parseAndCheck(SourceFile source, const Overrides &overrides,
                                         Diagnostics &diagnostics);

} // namespace seqmix
