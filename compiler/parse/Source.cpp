//===- Source.cpp ----------------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Source.h"

#include <algorithm>

using namespace seqmix;

SourceFile::SourceFile(std::string name, std::string text) {
  auto made = std::make_shared<Data>();
  made->name = std::move(name);
  made->text = std::move(text);
  made->lineStarts.push_back(0);
  for (size_t i = 0; i + 1 < made->text.size(); ++i)
    if (made->text[i] == '\n')
      made->lineStarts.push_back(i + 1);
  data = std::move(made);
}

LineColumn SourceFile::lineColumn(uint32_t offset) const {
  offset = std::min<size_t>(offset, data->text.size());
  const auto &starts = data->lineStarts;
  auto it = std::upper_bound(starts.begin(), starts.end(), offset);
  LineColumn result;
  result.line = it - starts.begin();
  for (uint32_t i = starts[result.line - 1]; i < offset; ++i)
    if ((static_cast<unsigned char>(data->text[i]) & 0xC0) != 0x80) // not a continuation byte
      ++result.column;
  return result;
}

llvm::StringRef SourceFile::line(unsigned number) const {
  size_t begin = lineStart(number);
  size_t end = number < lineCount() ? lineStart(number + 1) : data->text.size();
  llvm::StringRef line = text().slice(begin, end);
  if (line.ends_with("\n"))
    line = line.drop_back();
  if (line.ends_with("\r"))
    line = line.drop_back();
  return line;
}
