"""The one kernel of our own: a weighted sum of slabs, all that stands between two calls of the network.

    out[y · out_row + x] = Σ_j weights[j] · base[j · slab + y · in_row + x]    0 ≤ j < count, 0 ≤ x < length

Written in PTX, which the driver itself translates for the card that is there: no compiler, no package.
"""

THREADS = 256  # of one block, along x

WEIGHTED = """
.version 7.0
.target sm_75
.address_size 64

.visible .entry weighted(
    .param .u64 p_out, .param .u64 p_base, .param .u64 p_weights, .param .u64 p_slab,
    .param .u64 p_in_row, .param .u64 p_out_row, .param .u32 p_length, .param .u32 p_count)
{
    .reg .pred %p<3>;
    .reg .b32 %r<8>;
    .reg .f32 %f<4>;
    .reg .b64 %d<12>;

    mov.u32 %r1, %ctaid.x;              // x
    mov.u32 %r2, %ntid.x;
    mov.u32 %r3, %tid.x;
    mad.lo.u32 %r4, %r1, %r2, %r3;
    ld.param.u32 %r5, [p_length];
    setp.ge.u32 %p1, %r4, %r5;
    @%p1 bra DONE;

    mov.u32 %r6, %ctaid.y;              // y
    cvt.u64.u32 %d1, %r6;
    cvt.u64.u32 %d2, %r4;

    ld.param.u64 %d3, [p_in_row];       // d4: where slab 0 is read
    mad.lo.u64 %d4, %d1, %d3, %d2;
    shl.b64 %d4, %d4, 2;
    ld.param.u64 %d5, [p_base];
    add.u64 %d4, %d4, %d5;

    ld.param.u64 %d6, [p_out_row];      // d7: where the sum is written
    mad.lo.u64 %d7, %d1, %d6, %d2;
    shl.b64 %d7, %d7, 2;
    ld.param.u64 %d8, [p_out];
    add.u64 %d7, %d7, %d8;

    ld.param.u64 %d9, [p_slab];
    shl.b64 %d9, %d9, 2;
    ld.param.u64 %d10, [p_weights];
    ld.param.u32 %r7, [p_count];
    mov.f32 %f1, 0f00000000;

NEXT:
    setp.eq.u32 %p2, %r7, 0;
    @%p2 bra WRITE;
    ld.global.f32 %f2, [%d4];
    ld.global.f32 %f3, [%d10];
    fma.rn.f32 %f1, %f2, %f3, %f1;
    add.u64 %d4, %d4, %d9;
    add.u64 %d10, %d10, 4;
    sub.u32 %r7, %r7, 1;
    bra NEXT;

WRITE:
    st.global.f32 [%d7], %f1;
DONE:
    ret;
}
"""
