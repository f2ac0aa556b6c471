//===- SeqDialect.td - the seq dialect ---------------------------*- tablegen -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQ_DIALECT
#define SEQ_DIALECT

include "mlir/IR/OpBase.td"

def Seq_Dialect : Dialect {
  let name = "seq";
  let cppNamespace = "::mlir::seq";
  let summary = "Sequence mixers as equations over named dims, and their canonical recurrences";
  let description = [{
    A `seq.mixer` holds declarations (dims, tensors, states), one op an equation, and, once the structure
    stage has run, canonical recurrences that refer to per-token tensors by symbol. Values inside equations are
    `f64` (a real number), `index` (an integer) or `i1` (a truth value); storage types appear on tensors only.
    `SPEC.md` beside this file numbers the constraints that the verifiers check.
  }];
  let useDefaultAttributePrinterParser = 1;
}

#endif // SEQ_DIALECT
