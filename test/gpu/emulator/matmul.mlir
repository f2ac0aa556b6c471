// RUN: %sm80 %s -o %t.80
// RUN: %sm90a %s -o %t.90

// C = A B for 64x64 matrices: bf16 in, f32 out, 128 threads. Slices of 16 columns of A and rows of B come by asynchronous
// copies into two stages of shared memory; each warp has 16 rows of C. A row of A's slice is two chunks of 16 bytes, one of B's
// eight; chunks are permuted such that 8 rows at the same chunk, which ldmatrix reads at once, are in different banks.
// The unit test takes barriers out and changes swizzles by the marks in comments.

gpu.module @matmul {

llvm.mlir.global external @stages() {addr_space = 3 : i32, alignment = 128 : i64} : !llvm.array<0 x i8>

// The place of a 16-byte chunk in a slice of A: rows 4 to 7 of each 8 have their two chunks exchanged.
llvm.func @place_a(%row: i32, %chunk: i32) -> i32 {
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %c2 = llvm.mlir.constant(2 : i32) : i32
  %c4 = llvm.mlir.constant(4 : i32) : i32
  %c5 = llvm.mlir.constant(5 : i32) : i32
  %high = llvm.lshr %row, %c2 : i32
  %swap = llvm.and %high, %c1 : i32
  %swizzled = llvm.xor %chunk, %swap : i32 // swizzle of A
  %begin = llvm.shl %row, %c5 : i32
  %offset = llvm.shl %swizzled, %c4 : i32
  %place = llvm.add %begin, %offset : i32
  llvm.return %place : i32
}

// In a slice of B: chunk c of row r is at c xor (r mod 8).
llvm.func @place_b(%row: i32, %chunk: i32) -> i32 {
  %c4 = llvm.mlir.constant(4 : i32) : i32
  %c7 = llvm.mlir.constant(7 : i32) : i32
  %swap = llvm.and %row, %c7 : i32
  %swizzled = llvm.xor %chunk, %swap : i32 // swizzle of B
  %begin = llvm.shl %row, %c7 : i32
  %offset = llvm.shl %swizzled, %c4 : i32
  %place = llvm.add %begin, %offset : i32
  llvm.return %place : i32
}

// Each thread copies one chunk of A and one of B for the slice with that number.
llvm.func @copy_slice(%a: !llvm.ptr<1>, %b: !llvm.ptr<1>, %slice: i32) {
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %c3 = llvm.mlir.constant(3 : i32) : i32
  %c4 = llvm.mlir.constant(4 : i32) : i32
  %c5 = llvm.mlir.constant(5 : i32) : i32
  %c7 = llvm.mlir.constant(7 : i32) : i32
  %c11 = llvm.mlir.constant(11 : i32) : i32
  %c12 = llvm.mlir.constant(12 : i32) : i32
  %thread = nvvm.read.ptx.sreg.tid.x : i32
  %stages = llvm.mlir.addressof @stages : !llvm.ptr<3>
  %parity = llvm.and %slice, %c1 : i32
  %stage = llvm.shl %parity, %c12 : i32
  // A: row thread / 2, chunk thread % 2; a row of the matrix is 128 bytes.
  %row_a = llvm.lshr %thread, %c1 : i32
  %chunk_a = llvm.and %thread, %c1 : i32
  %place_a = llvm.call @place_a(%row_a, %chunk_a) : (i32, i32) -> i32
  %to_a0 = llvm.getelementptr %stages[%stage] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
  %to_a = llvm.getelementptr %to_a0[%place_a] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
  %line_a = llvm.shl %row_a, %c7 : i32
  %slice_a = llvm.shl %slice, %c5 : i32
  %part_a = llvm.shl %chunk_a, %c4 : i32
  %from_a0 = llvm.getelementptr %a[%line_a] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
  %from_a1 = llvm.getelementptr %from_a0[%slice_a] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
  %from_a = llvm.getelementptr %from_a1[%part_a] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
  nvvm.cp.async.shared.global %to_a, %from_a, 16, cache = cg : !llvm.ptr<3>, !llvm.ptr<1> // copy of A
  // B: row thread / 8 of the slice, chunk thread % 8.
  %row_b = llvm.lshr %thread, %c3 : i32
  %chunk_b = llvm.and %thread, %c7 : i32
  %place_b = llvm.call @place_b(%row_b, %chunk_b) : (i32, i32) -> i32
  %to_b0 = llvm.getelementptr %stages[%stage] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
  %to_b1 = llvm.getelementptr %to_b0[2048] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
  %to_b = llvm.getelementptr %to_b1[%place_b] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
  %slice_b = llvm.shl %slice, %c11 : i32
  %line_b = llvm.shl %row_b, %c7 : i32
  %part_b = llvm.shl %chunk_b, %c4 : i32
  %from_b0 = llvm.getelementptr %b[%slice_b] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
  %from_b1 = llvm.getelementptr %from_b0[%line_b] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
  %from_b = llvm.getelementptr %from_b1[%part_b] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
  nvvm.cp.async.shared.global %to_b, %from_b, 16, cache = cg : !llvm.ptr<3>, !llvm.ptr<1> // copy of B
  llvm.return
}

llvm.func @matmul(%a: !llvm.ptr<1>, %b: !llvm.ptr<1>, %c: !llvm.ptr<1>) attributes {gpu.kernel, nvvm.kernel,
    nvvm.reqntid = array<i32: 128, 1, 1>} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c3 = arith.constant 3 : i32
  %c4 = arith.constant 4 : i32
  %c5 = arith.constant 5 : i32
  %c7 = arith.constant 7 : i32
  %c12 = arith.constant 12 : i32
  %c15 = arith.constant 15 : i32
  %c31 = arith.constant 31 : i32
  %zero = llvm.mlir.zero : !llvm.struct<(f32, f32, f32, f32)>
  %stages = llvm.mlir.addressof @stages : !llvm.ptr<3>
  %thread = nvvm.read.ptx.sreg.tid.x : i32
  %lane = arith.andi %thread, %c31 : i32
  %warp = arith.shrui %thread, %c5 : i32
  %first_row = arith.shli %warp, %c4 : i32
  // The row and chunk whose address the lane gives to ldmatrix: lanes 8 to 15 and 24 to 31 the lower rows, from 16 on the right chunk.
  %row16 = arith.andi %lane, %c15 : i32
  %right = arith.shrui %lane, %c4 : i32
  %row_a = arith.addi %first_row, %row16 : i32
  %place_a = llvm.call @place_a(%row_a, %right) : (i32, i32) -> i32
  %chunk0 = arith.constant 0 : i32
  %chunk_b0 = arith.addi %right, %chunk0 : i32
  %place_b0 = llvm.call @place_b(%row16, %chunk_b0) : (i32, i32) -> i32
  %chunk1 = arith.constant 2 : i32
  %chunk_b1 = arith.addi %right, %chunk1 : i32
  %place_b1 = llvm.call @place_b(%row16, %chunk_b1) : (i32, i32) -> i32
  %chunk2 = arith.constant 4 : i32
  %chunk_b2 = arith.addi %right, %chunk2 : i32
  %place_b2 = llvm.call @place_b(%row16, %chunk_b2) : (i32, i32) -> i32
  %chunk3 = arith.constant 6 : i32
  %chunk_b3 = arith.addi %right, %chunk3 : i32
  %place_b3 = llvm.call @place_b(%row16, %chunk_b3) : (i32, i32) -> i32
  llvm.call @copy_slice(%a, %b, %c0) : (!llvm.ptr<1>, !llvm.ptr<1>, i32) -> ()
  nvvm.cp.async.commit.group
  %sums:8 = scf.for %slice = %c0 to %c4 step %c1 iter_args(%acc0 = %zero, %acc1 = %zero, %acc2 = %zero, %acc3 = %zero, %acc4 = %zero, %acc5 = %zero, %acc6 = %zero, %acc7 = %zero)
      -> (!llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>) : i32 {
    %next = arith.addi %slice, %c1 : i32
    %more = arith.cmpi ult, %next, %c4 : i32
    scf.if %more {
      llvm.call @copy_slice(%a, %b, %next) : (!llvm.ptr<1>, !llvm.ptr<1>, i32) -> ()
    }
    nvvm.cp.async.commit.group
    nvvm.cp.async.wait.group 1 // wait for the slice
    nvvm.barrier // the slice is there
    %parity = arith.andi %slice, %c1 : i32
    %stage = arith.shli %parity, %c12 : i32
    %slice_a = llvm.getelementptr %stages[%stage] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %slice_b = llvm.getelementptr %slice_a[2048] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %pa = llvm.getelementptr %slice_a[%place_a] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %fa = nvvm.ldmatrix %pa {num = 4 : i32, layout = #nvvm.mma_layout<row>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = #nvvm.ld_st_matrix_elt_type<b16>} : (!llvm.ptr<3>) -> !llvm.struct<(i32, i32, i32, i32)> // fragments of A
    %a0 = llvm.extractvalue %fa[0] : !llvm.struct<(i32, i32, i32, i32)>
    %a1 = llvm.extractvalue %fa[1] : !llvm.struct<(i32, i32, i32, i32)>
    %a2 = llvm.extractvalue %fa[2] : !llvm.struct<(i32, i32, i32, i32)>
    %a3 = llvm.extractvalue %fa[3] : !llvm.struct<(i32, i32, i32, i32)>
    %pb0 = llvm.getelementptr %slice_b[%place_b0] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %fb0 = nvvm.ldmatrix %pb0 {num = 4 : i32, layout = #nvvm.mma_layout<col>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = #nvvm.ld_st_matrix_elt_type<b16>} : (!llvm.ptr<3>) -> !llvm.struct<(i32, i32, i32, i32)> // fragments of B 0
    %b0_0 = llvm.extractvalue %fb0[0] : !llvm.struct<(i32, i32, i32, i32)>
    %b0_1 = llvm.extractvalue %fb0[1] : !llvm.struct<(i32, i32, i32, i32)>
    %b0_2 = llvm.extractvalue %fb0[2] : !llvm.struct<(i32, i32, i32, i32)>
    %b0_3 = llvm.extractvalue %fb0[3] : !llvm.struct<(i32, i32, i32, i32)>
    %pb1 = llvm.getelementptr %slice_b[%place_b1] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %fb1 = nvvm.ldmatrix %pb1 {num = 4 : i32, layout = #nvvm.mma_layout<col>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = #nvvm.ld_st_matrix_elt_type<b16>} : (!llvm.ptr<3>) -> !llvm.struct<(i32, i32, i32, i32)> // fragments of B 1
    %b1_0 = llvm.extractvalue %fb1[0] : !llvm.struct<(i32, i32, i32, i32)>
    %b1_1 = llvm.extractvalue %fb1[1] : !llvm.struct<(i32, i32, i32, i32)>
    %b1_2 = llvm.extractvalue %fb1[2] : !llvm.struct<(i32, i32, i32, i32)>
    %b1_3 = llvm.extractvalue %fb1[3] : !llvm.struct<(i32, i32, i32, i32)>
    %pb2 = llvm.getelementptr %slice_b[%place_b2] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %fb2 = nvvm.ldmatrix %pb2 {num = 4 : i32, layout = #nvvm.mma_layout<col>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = #nvvm.ld_st_matrix_elt_type<b16>} : (!llvm.ptr<3>) -> !llvm.struct<(i32, i32, i32, i32)> // fragments of B 2
    %b2_0 = llvm.extractvalue %fb2[0] : !llvm.struct<(i32, i32, i32, i32)>
    %b2_1 = llvm.extractvalue %fb2[1] : !llvm.struct<(i32, i32, i32, i32)>
    %b2_2 = llvm.extractvalue %fb2[2] : !llvm.struct<(i32, i32, i32, i32)>
    %b2_3 = llvm.extractvalue %fb2[3] : !llvm.struct<(i32, i32, i32, i32)>
    %pb3 = llvm.getelementptr %slice_b[%place_b3] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %fb3 = nvvm.ldmatrix %pb3 {num = 4 : i32, layout = #nvvm.mma_layout<col>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = #nvvm.ld_st_matrix_elt_type<b16>} : (!llvm.ptr<3>) -> !llvm.struct<(i32, i32, i32, i32)> // fragments of B 3
    %b3_0 = llvm.extractvalue %fb3[0] : !llvm.struct<(i32, i32, i32, i32)>
    %b3_1 = llvm.extractvalue %fb3[1] : !llvm.struct<(i32, i32, i32, i32)>
    %b3_2 = llvm.extractvalue %fb3[2] : !llvm.struct<(i32, i32, i32, i32)>
    %b3_3 = llvm.extractvalue %fb3[3] : !llvm.struct<(i32, i32, i32, i32)>
    %s0_0 = llvm.extractvalue %acc0[0] : !llvm.struct<(f32, f32, f32, f32)>
    %s0_1 = llvm.extractvalue %acc0[1] : !llvm.struct<(f32, f32, f32, f32)>
    %s0_2 = llvm.extractvalue %acc0[2] : !llvm.struct<(f32, f32, f32, f32)>
    %s0_3 = llvm.extractvalue %acc0[3] : !llvm.struct<(f32, f32, f32, f32)>
    %new0 = nvvm.mma.sync A[%a0, %a1, %a2, %a3] B[%b0_0, %b0_1] C[%s0_0, %s0_1, %s0_2, %s0_3] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<bf16>, multiplicandBPtxType = #nvvm.mma_type<bf16>, shape = #nvvm.shape<m = 16, n = 8, k = 16>} : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
    %s1_0 = llvm.extractvalue %acc1[0] : !llvm.struct<(f32, f32, f32, f32)>
    %s1_1 = llvm.extractvalue %acc1[1] : !llvm.struct<(f32, f32, f32, f32)>
    %s1_2 = llvm.extractvalue %acc1[2] : !llvm.struct<(f32, f32, f32, f32)>
    %s1_3 = llvm.extractvalue %acc1[3] : !llvm.struct<(f32, f32, f32, f32)>
    %new1 = nvvm.mma.sync A[%a0, %a1, %a2, %a3] B[%b0_2, %b0_3] C[%s1_0, %s1_1, %s1_2, %s1_3] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<bf16>, multiplicandBPtxType = #nvvm.mma_type<bf16>, shape = #nvvm.shape<m = 16, n = 8, k = 16>} : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
    %s2_0 = llvm.extractvalue %acc2[0] : !llvm.struct<(f32, f32, f32, f32)>
    %s2_1 = llvm.extractvalue %acc2[1] : !llvm.struct<(f32, f32, f32, f32)>
    %s2_2 = llvm.extractvalue %acc2[2] : !llvm.struct<(f32, f32, f32, f32)>
    %s2_3 = llvm.extractvalue %acc2[3] : !llvm.struct<(f32, f32, f32, f32)>
    %new2 = nvvm.mma.sync A[%a0, %a1, %a2, %a3] B[%b1_0, %b1_1] C[%s2_0, %s2_1, %s2_2, %s2_3] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<bf16>, multiplicandBPtxType = #nvvm.mma_type<bf16>, shape = #nvvm.shape<m = 16, n = 8, k = 16>} : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
    %s3_0 = llvm.extractvalue %acc3[0] : !llvm.struct<(f32, f32, f32, f32)>
    %s3_1 = llvm.extractvalue %acc3[1] : !llvm.struct<(f32, f32, f32, f32)>
    %s3_2 = llvm.extractvalue %acc3[2] : !llvm.struct<(f32, f32, f32, f32)>
    %s3_3 = llvm.extractvalue %acc3[3] : !llvm.struct<(f32, f32, f32, f32)>
    %new3 = nvvm.mma.sync A[%a0, %a1, %a2, %a3] B[%b1_2, %b1_3] C[%s3_0, %s3_1, %s3_2, %s3_3] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<bf16>, multiplicandBPtxType = #nvvm.mma_type<bf16>, shape = #nvvm.shape<m = 16, n = 8, k = 16>} : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
    %s4_0 = llvm.extractvalue %acc4[0] : !llvm.struct<(f32, f32, f32, f32)>
    %s4_1 = llvm.extractvalue %acc4[1] : !llvm.struct<(f32, f32, f32, f32)>
    %s4_2 = llvm.extractvalue %acc4[2] : !llvm.struct<(f32, f32, f32, f32)>
    %s4_3 = llvm.extractvalue %acc4[3] : !llvm.struct<(f32, f32, f32, f32)>
    %new4 = nvvm.mma.sync A[%a0, %a1, %a2, %a3] B[%b2_0, %b2_1] C[%s4_0, %s4_1, %s4_2, %s4_3] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<bf16>, multiplicandBPtxType = #nvvm.mma_type<bf16>, shape = #nvvm.shape<m = 16, n = 8, k = 16>} : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
    %s5_0 = llvm.extractvalue %acc5[0] : !llvm.struct<(f32, f32, f32, f32)>
    %s5_1 = llvm.extractvalue %acc5[1] : !llvm.struct<(f32, f32, f32, f32)>
    %s5_2 = llvm.extractvalue %acc5[2] : !llvm.struct<(f32, f32, f32, f32)>
    %s5_3 = llvm.extractvalue %acc5[3] : !llvm.struct<(f32, f32, f32, f32)>
    %new5 = nvvm.mma.sync A[%a0, %a1, %a2, %a3] B[%b2_2, %b2_3] C[%s5_0, %s5_1, %s5_2, %s5_3] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<bf16>, multiplicandBPtxType = #nvvm.mma_type<bf16>, shape = #nvvm.shape<m = 16, n = 8, k = 16>} : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
    %s6_0 = llvm.extractvalue %acc6[0] : !llvm.struct<(f32, f32, f32, f32)>
    %s6_1 = llvm.extractvalue %acc6[1] : !llvm.struct<(f32, f32, f32, f32)>
    %s6_2 = llvm.extractvalue %acc6[2] : !llvm.struct<(f32, f32, f32, f32)>
    %s6_3 = llvm.extractvalue %acc6[3] : !llvm.struct<(f32, f32, f32, f32)>
    %new6 = nvvm.mma.sync A[%a0, %a1, %a2, %a3] B[%b3_0, %b3_1] C[%s6_0, %s6_1, %s6_2, %s6_3] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<bf16>, multiplicandBPtxType = #nvvm.mma_type<bf16>, shape = #nvvm.shape<m = 16, n = 8, k = 16>} : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
    %s7_0 = llvm.extractvalue %acc7[0] : !llvm.struct<(f32, f32, f32, f32)>
    %s7_1 = llvm.extractvalue %acc7[1] : !llvm.struct<(f32, f32, f32, f32)>
    %s7_2 = llvm.extractvalue %acc7[2] : !llvm.struct<(f32, f32, f32, f32)>
    %s7_3 = llvm.extractvalue %acc7[3] : !llvm.struct<(f32, f32, f32, f32)>
    %new7 = nvvm.mma.sync A[%a0, %a1, %a2, %a3] B[%b3_2, %b3_3] C[%s7_0, %s7_1, %s7_2, %s7_3] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<bf16>, multiplicandBPtxType = #nvvm.mma_type<bf16>, shape = #nvvm.shape<m = 16, n = 8, k = 16>} : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
    nvvm.barrier // the stage may be filled again
    scf.yield %new0, %new1, %new2, %new3, %new4, %new5, %new6, %new7 : !llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>, !llvm.struct<(f32, f32, f32, f32)>
  }
  // Lane: row lane / 4 and 8 further down, columns 2 (lane % 4) and the next.
  %c2 = arith.constant 2 : i32
  %c8 = arith.constant 8 : i32
  %group = arith.shrui %lane, %c2 : i32
  %member = arith.andi %lane, %c3 : i32
  %column = arith.shli %member, %c1 : i32
  %row0 = arith.addi %first_row, %group : i32
  %c6 = arith.constant 6 : i32
  %line = arith.shli %row0, %c6 : i32
  %element = arith.addi %line, %column : i32
  %to = llvm.getelementptr %c[%element] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
  %undef = llvm.mlir.undef : vector<2xf32>
  %r0_0 = llvm.extractvalue %sums#0[0] : !llvm.struct<(f32, f32, f32, f32)>
  %r0_1 = llvm.extractvalue %sums#0[1] : !llvm.struct<(f32, f32, f32, f32)>
  %v0_0a = llvm.insertelement %r0_0, %undef[%c0 : i32] : vector<2xf32>
  %v0_0 = llvm.insertelement %r0_1, %v0_0a[%c1 : i32] : vector<2xf32>
  %to0_0 = llvm.getelementptr %to[0] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v0_0, %to0_0 : vector<2xf32>, !llvm.ptr<1>
  %r0_2 = llvm.extractvalue %sums#0[2] : !llvm.struct<(f32, f32, f32, f32)>
  %r0_3 = llvm.extractvalue %sums#0[3] : !llvm.struct<(f32, f32, f32, f32)>
  %v0_1a = llvm.insertelement %r0_2, %undef[%c0 : i32] : vector<2xf32>
  %v0_1 = llvm.insertelement %r0_3, %v0_1a[%c1 : i32] : vector<2xf32>
  %to0_1 = llvm.getelementptr %to[512] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v0_1, %to0_1 : vector<2xf32>, !llvm.ptr<1>
  %r1_0 = llvm.extractvalue %sums#1[0] : !llvm.struct<(f32, f32, f32, f32)>
  %r1_1 = llvm.extractvalue %sums#1[1] : !llvm.struct<(f32, f32, f32, f32)>
  %v1_0a = llvm.insertelement %r1_0, %undef[%c0 : i32] : vector<2xf32>
  %v1_0 = llvm.insertelement %r1_1, %v1_0a[%c1 : i32] : vector<2xf32>
  %to1_0 = llvm.getelementptr %to[8] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v1_0, %to1_0 : vector<2xf32>, !llvm.ptr<1>
  %r1_2 = llvm.extractvalue %sums#1[2] : !llvm.struct<(f32, f32, f32, f32)>
  %r1_3 = llvm.extractvalue %sums#1[3] : !llvm.struct<(f32, f32, f32, f32)>
  %v1_1a = llvm.insertelement %r1_2, %undef[%c0 : i32] : vector<2xf32>
  %v1_1 = llvm.insertelement %r1_3, %v1_1a[%c1 : i32] : vector<2xf32>
  %to1_1 = llvm.getelementptr %to[520] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v1_1, %to1_1 : vector<2xf32>, !llvm.ptr<1>
  %r2_0 = llvm.extractvalue %sums#2[0] : !llvm.struct<(f32, f32, f32, f32)>
  %r2_1 = llvm.extractvalue %sums#2[1] : !llvm.struct<(f32, f32, f32, f32)>
  %v2_0a = llvm.insertelement %r2_0, %undef[%c0 : i32] : vector<2xf32>
  %v2_0 = llvm.insertelement %r2_1, %v2_0a[%c1 : i32] : vector<2xf32>
  %to2_0 = llvm.getelementptr %to[16] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v2_0, %to2_0 : vector<2xf32>, !llvm.ptr<1>
  %r2_2 = llvm.extractvalue %sums#2[2] : !llvm.struct<(f32, f32, f32, f32)>
  %r2_3 = llvm.extractvalue %sums#2[3] : !llvm.struct<(f32, f32, f32, f32)>
  %v2_1a = llvm.insertelement %r2_2, %undef[%c0 : i32] : vector<2xf32>
  %v2_1 = llvm.insertelement %r2_3, %v2_1a[%c1 : i32] : vector<2xf32>
  %to2_1 = llvm.getelementptr %to[528] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v2_1, %to2_1 : vector<2xf32>, !llvm.ptr<1>
  %r3_0 = llvm.extractvalue %sums#3[0] : !llvm.struct<(f32, f32, f32, f32)>
  %r3_1 = llvm.extractvalue %sums#3[1] : !llvm.struct<(f32, f32, f32, f32)>
  %v3_0a = llvm.insertelement %r3_0, %undef[%c0 : i32] : vector<2xf32>
  %v3_0 = llvm.insertelement %r3_1, %v3_0a[%c1 : i32] : vector<2xf32>
  %to3_0 = llvm.getelementptr %to[24] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v3_0, %to3_0 : vector<2xf32>, !llvm.ptr<1>
  %r3_2 = llvm.extractvalue %sums#3[2] : !llvm.struct<(f32, f32, f32, f32)>
  %r3_3 = llvm.extractvalue %sums#3[3] : !llvm.struct<(f32, f32, f32, f32)>
  %v3_1a = llvm.insertelement %r3_2, %undef[%c0 : i32] : vector<2xf32>
  %v3_1 = llvm.insertelement %r3_3, %v3_1a[%c1 : i32] : vector<2xf32>
  %to3_1 = llvm.getelementptr %to[536] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v3_1, %to3_1 : vector<2xf32>, !llvm.ptr<1>
  %r4_0 = llvm.extractvalue %sums#4[0] : !llvm.struct<(f32, f32, f32, f32)>
  %r4_1 = llvm.extractvalue %sums#4[1] : !llvm.struct<(f32, f32, f32, f32)>
  %v4_0a = llvm.insertelement %r4_0, %undef[%c0 : i32] : vector<2xf32>
  %v4_0 = llvm.insertelement %r4_1, %v4_0a[%c1 : i32] : vector<2xf32>
  %to4_0 = llvm.getelementptr %to[32] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v4_0, %to4_0 : vector<2xf32>, !llvm.ptr<1>
  %r4_2 = llvm.extractvalue %sums#4[2] : !llvm.struct<(f32, f32, f32, f32)>
  %r4_3 = llvm.extractvalue %sums#4[3] : !llvm.struct<(f32, f32, f32, f32)>
  %v4_1a = llvm.insertelement %r4_2, %undef[%c0 : i32] : vector<2xf32>
  %v4_1 = llvm.insertelement %r4_3, %v4_1a[%c1 : i32] : vector<2xf32>
  %to4_1 = llvm.getelementptr %to[544] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v4_1, %to4_1 : vector<2xf32>, !llvm.ptr<1>
  %r5_0 = llvm.extractvalue %sums#5[0] : !llvm.struct<(f32, f32, f32, f32)>
  %r5_1 = llvm.extractvalue %sums#5[1] : !llvm.struct<(f32, f32, f32, f32)>
  %v5_0a = llvm.insertelement %r5_0, %undef[%c0 : i32] : vector<2xf32>
  %v5_0 = llvm.insertelement %r5_1, %v5_0a[%c1 : i32] : vector<2xf32>
  %to5_0 = llvm.getelementptr %to[40] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v5_0, %to5_0 : vector<2xf32>, !llvm.ptr<1>
  %r5_2 = llvm.extractvalue %sums#5[2] : !llvm.struct<(f32, f32, f32, f32)>
  %r5_3 = llvm.extractvalue %sums#5[3] : !llvm.struct<(f32, f32, f32, f32)>
  %v5_1a = llvm.insertelement %r5_2, %undef[%c0 : i32] : vector<2xf32>
  %v5_1 = llvm.insertelement %r5_3, %v5_1a[%c1 : i32] : vector<2xf32>
  %to5_1 = llvm.getelementptr %to[552] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v5_1, %to5_1 : vector<2xf32>, !llvm.ptr<1>
  %r6_0 = llvm.extractvalue %sums#6[0] : !llvm.struct<(f32, f32, f32, f32)>
  %r6_1 = llvm.extractvalue %sums#6[1] : !llvm.struct<(f32, f32, f32, f32)>
  %v6_0a = llvm.insertelement %r6_0, %undef[%c0 : i32] : vector<2xf32>
  %v6_0 = llvm.insertelement %r6_1, %v6_0a[%c1 : i32] : vector<2xf32>
  %to6_0 = llvm.getelementptr %to[48] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v6_0, %to6_0 : vector<2xf32>, !llvm.ptr<1>
  %r6_2 = llvm.extractvalue %sums#6[2] : !llvm.struct<(f32, f32, f32, f32)>
  %r6_3 = llvm.extractvalue %sums#6[3] : !llvm.struct<(f32, f32, f32, f32)>
  %v6_1a = llvm.insertelement %r6_2, %undef[%c0 : i32] : vector<2xf32>
  %v6_1 = llvm.insertelement %r6_3, %v6_1a[%c1 : i32] : vector<2xf32>
  %to6_1 = llvm.getelementptr %to[560] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v6_1, %to6_1 : vector<2xf32>, !llvm.ptr<1>
  %r7_0 = llvm.extractvalue %sums#7[0] : !llvm.struct<(f32, f32, f32, f32)>
  %r7_1 = llvm.extractvalue %sums#7[1] : !llvm.struct<(f32, f32, f32, f32)>
  %v7_0a = llvm.insertelement %r7_0, %undef[%c0 : i32] : vector<2xf32>
  %v7_0 = llvm.insertelement %r7_1, %v7_0a[%c1 : i32] : vector<2xf32>
  %to7_0 = llvm.getelementptr %to[56] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v7_0, %to7_0 : vector<2xf32>, !llvm.ptr<1>
  %r7_2 = llvm.extractvalue %sums#7[2] : !llvm.struct<(f32, f32, f32, f32)>
  %r7_3 = llvm.extractvalue %sums#7[3] : !llvm.struct<(f32, f32, f32, f32)>
  %v7_1a = llvm.insertelement %r7_2, %undef[%c0 : i32] : vector<2xf32>
  %v7_1 = llvm.insertelement %r7_3, %v7_1a[%c1 : i32] : vector<2xf32>
  %to7_1 = llvm.getelementptr %to[568] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %v7_1, %to7_1 : vector<2xf32>, !llvm.ptr<1>
  llvm.return
}

}
