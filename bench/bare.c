/* What a chain step is measured against: a loop of eight bare SipHash rounds that is not inlined. */
#include <stdint.h>

#define ROTATE(x, bits) (((x) << (bits)) | ((x) >> (64 - (bits))))
#define ROUND                                                          \
    a += b; c += d; b = ROTATE(b, 13) ^ a; d = ROTATE(d, 16) ^ c; a = ROTATE(a, 32); \
    c += b; a += d; b = ROTATE(b, 17) ^ c; d = ROTATE(d, 21) ^ a; c = ROTATE(c, 32);

__attribute__((noinline)) uint64_t bare_rounds(uint64_t seed, uint32_t steps)
{
    uint64_t a = seed, b = ~seed, c = seed << 1, d = seed >> 1;
    while (steps > 0) {
        ROUND ROUND ROUND ROUND ROUND ROUND ROUND ROUND
        steps--;
    }
    return a ^ b ^ c ^ d;
}
