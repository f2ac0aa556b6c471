//===- Report.cpp - diagnostics of the IR as messages about the source --------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Report.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Location.h"

using namespace mlir;

namespace seqmix {

SourceReporter::SourceReporter(MLIRContext &context, SourceFile source, llvm::raw_ostream &os)
    : source(std::move(source)), os(os), handler(&context, [this](mlir::Diagnostic &diagnostic) {
        report(diagnostic);
        return success();
      }) {}

std::optional<SourceRange> SourceReporter::rangeOf(Location location) const {
  std::optional<SourceRange> found;
  location->walk([&](Location part) {
    auto at = dyn_cast<FileLineColRange>(part);
    if (!at || at.getFilename().getValue() != source.name() || at.getStartLine() == 0 ||
        at.getStartLine() > source.lineCount())
      return WalkResult::advance();
    // Columns count characters, the source's offsets bytes.
    auto offset = [&](unsigned line, unsigned column) {
      llvm::StringRef text = source.line(line);
      uint32_t byte = 0;
      for (unsigned seen = 1; seen < column && byte < text.size(); ++seen)
        do
          ++byte;
        while (byte < text.size() && (static_cast<unsigned char>(text[byte]) & 0xC0) == 0x80);
      return source.lineStart(line) + byte;
    };
    unsigned endLine = std::min(std::max(at.getEndLine(), at.getStartLine()), source.lineCount());
    found = SourceRange{offset(at.getStartLine(), at.getStartColumn()),
                        offset(endLine, at.getEndColumn())};
    return WalkResult::interrupt();
  });
  return found;
}

void SourceReporter::report(mlir::Diagnostic &diagnostic) {
  Diagnostics list;
  list.setFile(source);
  auto range = rangeOf(diagnostic.getLocation());
  std::string text = diagnostic.str();
  seqmix::Diagnostic *made = nullptr;
  if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
    made = range ? &list.error(*range, text) : &list.error(text);
  else if (range && diagnostic.getSeverity() == DiagnosticSeverity::Warning)
    made = &list.warning(*range, text);
  else if (range)
    made = &list.remark(*range, text);
  else
    return;
  for (mlir::Diagnostic &note : diagnostic.getNotes()) {
    if (auto at = rangeOf(note.getLocation()))
      made->note(*at, note.str());
    else
      made->note(note.str());
  }
  os << list.render();
}

} // namespace seqmix
