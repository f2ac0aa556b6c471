//===- ReassociateProducts.cpp - which rows pairs of positions read ---------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/structure/LatentRows.h"
#include "dialect/Carry.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
#define GEN_PASS_DEF_REASSOCIATEPRODUCTS
#include "compiler/Passes.h.inc"

namespace {

/// Batch dims behind the first, heads say, are taken to be that long: a row that they share counts
/// once.
constexpr double kHeads = 8;
/// Rows are not made smaller when a pair then takes more than this times the products.
constexpr double kMostWork = 8;

class Reassociation {
public:
  explicit Reassociation(MixerOp mixer) : model(mixer), rows(model) {}

  void run() {
    Choice best = choiceOf({});
    const Choice asWritten = best;
    for (const LatentRows::Names &group : groups()) {
      LatentRows::Names more = best.replaced;
      more.insert(group.begin(), group.end());
      Choice other = choiceOf(more);
      if (other.isPossible && isBetter(other, best))
        best = std::move(other);
    }
    if (best.replaced.empty())
      return;
    // The runtime gives each sequence of a call the form that takes fewer products for its lengths.
    if (best.products > asWritten.products)
      keepExpanded(best, asWritten);
    record(best, asWritten);
    for (auto &[name, body] : best.bodies)
      model.equation(name)->body = body;
    model.write();
  }

private:
  struct Choice {
    LatentRows::Names replaced;
    LatentRows::Bodies bodies;
    llvm::MapVector<StringAttr, int64_t> reads;
    LatentRows::Work work;
    double bytes = 0;    // of a token's rows, of all heads
    double products = 0; // of a pair
    bool isPossible = true;
  };

  Model model;
  LatentRows rows;

  Choice choiceOf(const LatentRows::Names &replaced) {
    Choice choice;
    choice.replaced = replaced;
    choice.bodies = rows.rewritten(replaced);
    choice.work = rows.work();
    choice.reads = rows.rowReads(choice.bodies);
    for (auto [name, count] : choice.reads) {
      choice.products += double(count);
      choice.bytes += bytesOf(name) * sharedOver(name);
      choice.isPossible &= !replaced.contains(name);
    }
    return choice;
  }

  static bool isBetter(const Choice &a, const Choice &b) {
    if (a.bytes < b.bytes)
      return a.products <= kMostWork * b.products;
    return a.bytes == b.bytes && a.products < b.products;
  }

  /// Candidates that are made from the same rows belong together.
  SmallVector<LatentRows::Names> groups() {
    struct Group {
      LatentRows::Names members, sources;
    };
    SmallVector<Group> groups;
    for (StringAttr name : rows.candidates()) {
      Group group;
      group.members.insert(name);
      group.sources = rows.sourcesOf(name);
      llvm::erase_if(groups, [&](Group &other) {
        bool isSame =
            llvm::any_of(other.sources, [&](StringAttr s) { return group.sources.contains(s); });
        if (isSame) {
          group.members.insert(other.members.begin(), other.members.end());
          group.sources.insert(other.sources.begin(), other.sources.end());
        }
        return isSame;
      });
      groups.push_back(std::move(group));
    }
    SmallVector<LatentRows::Names> result;
    for (Group &group : groups)
      result.push_back(std::move(group.members));
    return result;
  }

  double bytesOf(StringAttr name) {
    auto tensor = dyn_cast<TensorOp>(model.lookup(name));
    unsigned bits =
        (tensor ? tensor.getDtype() : model.mixer().getCompute()).getIntOrFloatBitWidth();
    double bytes = std::max(1U, bits / 8);
    for (auto dim : model.dimsOf(name).getAsRange<FlatSymbolRefAttr>())
      if (!model.isRuntime(dim.getAttr()))
        bytes *= double(model.size(dim.getAttr()));
    return bytes;
  }

  double sharedOver(StringAttr name) {
    bool isFirst = true;
    StringAttr first;
    for (auto dim : model.mixer().getOps<DimOp>())
      if (dim.getKind() == DimKind::Batch && isFirst) {
        first = dim.getSymNameAttr();
        isFirst = false;
      }
    double count = 1;
    for (BatchAttr batch : batchDimsOf(model.mixer(), name.getValue()))
      if (batch.getDim().getAttr() != first)
        count *= std::max(1.0, kHeads / double(batch.getDiv()));
    return count;
  }

  void keepExpanded(const Choice &chosen, const Choice &asWritten) {
    MixerOp mixer = model.mixer();
    OpBuilder builder(mixer.getContext());
    auto products = [&](const Choice &of, int64_t column, int64_t row) {
      return builder.getDenseI64ArrayAttr({static_cast<int64_t>(of.products), column, row});
    };
    builder.setInsertionPointAfter(mixer);
    auto copy = cast<MixerOp>(builder.clone(*mixer));
    copy.setSymName((mixer.getSymName() + ".expanded").str());
    copy.setFormOfAttr(FlatSymbolRefAttr::get(mixer.getSymNameAttr()));
    copy.setFormProductsAttr(products(asWritten, chosen.work.ofColumns, 0));
    mixer.setFormProductsAttr(products(chosen, 0, chosen.work.ofRows));
  }

  //===--- words ----------------------------------------------------------===//

  std::string kept(StringAttr name) {
    std::string over;
    for (BatchAttr batch : batchDimsOf(model.mixer(), name.getValue())) {
      over += (over.empty() ? "" : ", ") + batch.getDim().getValue().str();
      if (batch.getDiv() > 1)
        over += "/" + std::to_string(batch.getDiv());
    }
    return fmt::format("{} ({:.0f} bytes a token{}{})", std::string_view(name.getValue()),
                       bytesOf(name), over.empty() ? "" : ", one for each of ", over);
  }

  void record(const Choice &chosen, const Choice &asWritten) {
    auto list = [&](const Choice &choice, const Choice &other) {
      std::string text;
      for (auto [name, count] : choice.reads)
        if (!other.reads.contains(name))
          text += (text.empty() ? "" : ", ") + kept(name);
      return text;
    };
    std::string made;
    for (StringAttr name : rows.candidates())
      if (chosen.replaced.contains(name))
        made += (made.empty() ? "" : ", ") + name.str();
    std::string latent = list(chosen, asWritten);
    SmallVector<std::string> lines = {
        fmt::format("{}: linear in rows of the same position, so that their weights are multiplied "
                    "with what is read at the other one, or behind the sum",
                    made),
        fmt::format("kept {}, instead of {}", latent.empty() ? "is nothing more" : latent,
                    list(asWritten, chosen)),
        fmt::format("a pair takes {:.0f} products, instead of {:.0f}", chosen.products,
                    asWritten.products)};
    if (chosen.products > asWritten.products)
      lines.back() += fmt::format("; the weights {} at each position t, instead of {} at each s",
                                  chosen.work.ofRows, chosen.work.ofColumns);
    model.mixer()->setAttr(
        "seq.latent_rows",
        Builder(model.mixer().getContext()).getStrArrayAttr(llvm::to_vector_of<StringRef>(lines)));
  }
};

class ReassociateProducts : public impl::ReassociateProductsBase<ReassociateProducts> {
  void runOnOperation() override {
    for (auto mixer : llvm::to_vector(getOperation().getOps<MixerOp>()))
      if (tokenDimOf(mixer) && reducesOverTokens(mixer))
        Reassociation(mixer).run();
  }
};

} // namespace
} // namespace seqmix
