/*
 * The loop of the collision check but for its vectors: steps that count how often a chain gives a token. Included after
 * lanes.h by each file of an instruction set, which also defines
 *
 *   COUNTED(hits, code, low, modulus)   `hits` plus one in each word where low <= code < low + modulus
 */
#define DECLARE_MATCH(i) VECTOR w##i, h##i;
#define LOAD_MATCH(i)                  \
    w##i = LOAD(low + (i) * WIDTH);    \
    h##i = LOAD(hits + (i) * WIDTH);
#define STORE_MATCH(i) STORE(hits + (i) * WIDTH, h##i);
#define MATCH(i) h##i = COUNTED(h##i, x##i, w##i, modulus);

TARGET static void NAME(matched_steps)(paygo_form form, paygo_matching *lanes, uint32_t steps)
{
    uint64_t *const code = lanes->code;
    uint64_t *const hits = lanes->hits;
    const uint64_t *const key0 = lanes->key0;
    const uint64_t *const key1 = lanes->key1;
    const uint64_t *const low = lanes->low;
    const VECTOR length = SPLAT(0x0800000000000000);
    const VECTOR final = SPLAT(0xff);
    FLIGHT(DECLARE)
    FLIGHT(DECLARE_MATCH)
    FLIGHT(LOAD_LANE)
    FLIGHT(LOAD_MATCH)
    if (form == PAYGO_STANDARD) {
        const VECTOR modulus = SPLAT(1000);
        for (; steps > 0; steps--) {
            STEP(MESSAGE_9, CODE_9)
            FLIGHT(MATCH)
        }
    } else {
        const VECTOR modulus = SPLAT(1000000);
        for (; steps > 0; steps--) {
            STEP(MESSAGE_12, CODE_12)
            FLIGHT(MATCH)
        }
    }
    FLIGHT(STORE_LANE)
    FLIGHT(STORE_MATCH)
}
