/*
 * The loop of every path but for its vectors. Included by one file per instruction set, which defines
 *
 *   NAME(suffix)      the names of its functions
 *   TARGET            the function attribute that allows its instructions
 *   VECTOR, WIDTH     a vector of WIDTH 64-bit words; FLIGHT(op) applies op to 0, 1, ... for each vector in flight
 *   VECTORS           how many those are
 *   LOAD(p), STORE(p, v), ADD, XOR, ROTATE13 ... ROTATE32, and MESSAGE9, CODE9, MESSAGE12, CODE12: code to message
 *                     and hash to code, for standard and extended tokens; XOR3 where one instruction does it
 *
 * Lanes are refilled as soon as their chain ends, so that unequal counts leave none idle.
 */
#ifndef XOR3
#define XOR3(x, y, z) XOR(XOR((x), (y)), (z))
#endif

#define LANES (VECTORS * WIDTH)

/* Below so many busy lanes the rest is walked one by one. */
#define FEW (LANES / 8 + 1)

/*
 * One step is SipHash-2-4 of a word, without what cannot be seen in the code that comes of it. The first half of the
 * first round changes three of the four words in a way that depends on the key alone: that is done when a lane is loaded.
 * In the last half round of a standard token the words that are added and turned by 32 bits cancel out when the hash is
 * folded, so that two rotations are left of it.
 */
#define DECLARE(i) VECTOR a##i, b##i, c##i, d##i, m##i, x##i, p##i, q##i, r##i, s##i;
#define LOAD_LANE(i)  \
    x##i = LOAD(code + (i) * WIDTH);  \
    r##i = LOAD(key0 + (i) * WIDTH);  \
    s##i = LOAD(key1 + (i) * WIDTH);  \
    a##i = XOR(r##i, SPLAT(0x736f6d6570736575));  \
    b##i = XOR(s##i, SPLAT(0x646f72616e646f6d));  \
    a##i = ADD(a##i, b##i);  \
    p##i = ROTATE32(a##i);  \
    q##i = XOR(ROTATE13(b##i), a##i);  \
    r##i = XOR(r##i, SPLAT(0x6c7967656e657261));  \
    s##i = XOR(s##i, SPLAT(0x7465646279746573));
#define STORE_LANE(i) STORE(code + (i) * WIDTH, x##i);
#define KEYED(i)  \
    d##i = XOR(s##i, m##i);  \
    c##i = ADD(r##i, d##i);  \
    d##i = XOR(ROTATE16(d##i), c##i);  \
    a##i = p##i;  \
    b##i = q##i;
#define ADDED(i)  \
    a##i = ADD(a##i, b##i);  \
    c##i = ADD(c##i, d##i);  \
    b##i = XOR(ROTATE13(b##i), a##i);  \
    d##i = XOR(ROTATE16(d##i), c##i);
#define FIRST(i)  \
    ADDED(i)  \
    a##i = ROTATE32(a##i);
#define SECOND(i)  \
    c##i = ADD(c##i, b##i);  \
    a##i = ADD(a##i, d##i);  \
    b##i = XOR(ROTATE17(b##i), c##i);  \
    d##i = XOR(ROTATE21(d##i), a##i);  \
    c##i = ROTATE32(c##i);
#define BETWEEN(i)  \
    c##i = ADD(c##i, b##i);  \
    a##i = ADD(a##i, d##i);  \
    b##i = XOR(ROTATE17(b##i), c##i);  \
    d##i = XOR3(ROTATE21(d##i), a##i, length);  \
    a##i = XOR(a##i, m##i);  \
    c##i = ROTATE32(c##i);
#define LAST(i)  \
    a##i = XOR(a##i, length);  \
    c##i = XOR(c##i, final);
#define MESSAGE_9(i) m##i = MESSAGE9(x##i);
#define MESSAGE_12(i) m##i = MESSAGE12(x##i);
#define CODE_9(i) x##i = CODE9(XOR(ROTATE17(b##i), ROTATE21(d##i)));
#define CODE_12(i)  \
    c##i = ADD(c##i, b##i);  \
    x##i = XOR(XOR3(ROTATE17(b##i), ROTATE21(d##i), c##i), ROTATE32(c##i));  \
    x##i = CODE12(x##i);
#define ROUND FLIGHT(FIRST) FLIGHT(SECOND)

#define STEP(message, code)  \
    FLIGHT(message)  \
    FLIGHT(KEYED) FLIGHT(SECOND)  \
    FLIGHT(FIRST) FLIGHT(BETWEEN)  \
    ROUND ROUND  \
    FLIGHT(LAST)  \
    ROUND ROUND ROUND  \
    FLIGHT(ADDED)  \
    FLIGHT(code)

TARGET static void NAME(steps)(paygo_form form, uint64_t *code, const uint64_t *key0, const uint64_t *key1,
                               uint32_t steps)
{
    const VECTOR length = SPLAT(0x0800000000000000);
    const VECTOR final = SPLAT(0xff);
    FLIGHT(DECLARE)
    FLIGHT(LOAD_LANE)
    if (form == PAYGO_STANDARD) {
        for (; steps > 0; steps--) {
            STEP(MESSAGE_9, CODE_9)
        }
    } else {
        for (; steps > 0; steps--) {
            STEP(MESSAGE_12, CODE_12)
        }
    }
    FLIGHT(STORE_LANE)
}

void NAME(run)(const paygo_batch *batch, size_t from, size_t to)
{
    ALIGNED uint64_t code[LANES] = {0};
    ALIGNED uint64_t key0[LANES] = {0};
    ALIGNED uint64_t key1[LANES] = {0};
    uint32_t left[LANES];
    size_t job[LANES];
    size_t next = from;
    size_t busy = 0;
    size_t i;
    for (i = 0; i < LANES; i++) {
        left[i] = 0;
        job[i] = to;
    }
    for (;;) {
        uint32_t steps = UINT32_MAX;
        for (i = 0; i < LANES; i++) {
            if (left[i] == 0) {
                if (job[i] != to) {
                    paygo_batch_finish(batch, job[i], code[i]);
                    job[i] = to;
                    busy--;
                }
                if (next < to) {
                    const paygo_lane lane = paygo_batch_lane(batch, next);
                    code[i] = lane.code;
                    key0[i] = lane.key.k0;
                    key1[i] = lane.key.k1;
                    left[i] = lane.left;
                    job[i] = next;
                    next++;
                    busy++;
                }
            }
            if (job[i] != to && left[i] < steps) {
                steps = left[i];
            }
        }
        if (busy == 0 || (next == to && busy < FEW)) {
            break;
        }
        NAME(steps)(batch->form, code, key0, key1, steps);
        for (i = 0; i < LANES; i++) {
            left[i] -= job[i] != to ? steps : 0;
        }
    }
    for (i = 0; i < LANES; i++) {
        if (job[i] != to) {
            paygo_key key;
            key.k0 = key0[i];
            key.k1 = key1[i];
            for (; left[i] > 0; left[i]--) {
                code[i] = paygo_chain_next(&key, batch->form, code[i]);
            }
            paygo_batch_finish(batch, job[i], code[i]);
        }
    }
}
