/* The PAYG brain: rules T22 and T26 to T37. */
#include "unit.h"

#include "bytes.h"

#include <string.h>

#define SECONDS_PER_DAY UINT32_C(86400)
#define LONGEST_WAIT_MINUTES 512U
#define LAYOUT 1U

void paygo_unit_init(paygo_unit *unit, uint16_t count)
{
    memset(unit, 0, sizeof *unit);
    unit->window.count = count;
    unit->window.floor = count;
}

void paygo_unit_tick(paygo_unit *unit, uint32_t now)
{
    paygo_seconds *credit = &unit->credit;
    uint32_t passed;
    if (now <= unit->clock) {
        return;
    }
    passed = now - unit->clock;
    unit->clock = now;
    unit->wait = (uint16_t)(unit->wait > passed ? unit->wait - passed : 0);
    if (passed > credit->low) {
        if (credit->high == 0) { /* T31 */
            passed = credit->low;
        } else {
            credit->high--;
        }
    }
    credit->low -= passed;
}

bool paygo_unit_active(const paygo_unit *unit)
{
    return unit->unlocked || unit->credit.low > 0 || unit->credit.high > 0;
}

uint64_t paygo_unit_seconds_left(const paygo_unit *unit)
{
    return unit->unlocked ? PAYGO_FOR_EVER : (uint64_t)unit->credit.high << 32 | unit->credit.low;
}

uint16_t paygo_unit_wait_left(const paygo_unit *unit)
{
    return unit->wait;
}

/* T32, T33: the wait after the k-th wrong entry in a row, in seconds: it doubles with each. */
static uint16_t wait_after(uint8_t wrong_entries, bool strict)
{
    uint16_t wait = strict ? 60 : 30;
    if (!strict && wrong_entries <= 2) {
        return 0;
    }
    for (; wrong_entries > 1 && wait < LONGEST_WAIT_MINUTES * 60U; wrong_entries--) {
        wait = (uint16_t)(wait << 1);
    }
    return wait;
}

/* T22: the kind of token that so many characters can be on a unit of this digit set. */
static paygo_form form_of(const paygo_config *config, size_t length)
{
#ifndef PAYGO_NO_EXTENDED
    if (length == paygo_digits_length(PAYGO_EXTENDED, config->restricted_digits)) {
        return PAYGO_EXTENDED;
    }
#endif
    (void)config;
    (void)length;
    return PAYGO_STANDARD;
}

/* T26 to T30. */
static void apply(paygo_unit *unit, const paygo_config *config, paygo_form form, const paygo_verdict *verdict)
{
    const bool sets = verdict->type == PAYGO_SET_TIME;
    (void)form;
    if (verdict->type == PAYGO_DISABLE_PAYG) {
        unit->unlocked = true;
    }
    /* T25: what the value of an extended token means is the manufacturer's affair; it is not time */
    if ((sets || verdict->type == PAYGO_ADD_TIME) && !PAYGO_IS_EXTENDED(form)) {
        const uint32_t seconds = verdict->value * SECONDS_PER_DAY / config->time_divider;
        if (sets) {
            unit->credit.low = 0;
            unit->credit.high = 0;
            unit->unlocked = false;
        }
        unit->credit.low += seconds;
        if (unit->credit.low < seconds) {
            unit->credit.high++;
        }
    }
}

void paygo_unit_begin(paygo_entry *entry, paygo_unit *unit, const paygo_config *config, uint32_t now, const char *text,
                      size_t length)
{
    paygo_reason reason;
    paygo_unit_tick(unit, now);
    paygo_decode_begin_text(&entry->decoder, config, &unit->window, form_of(config, length), text, length);
    reason = entry->decoder.verdict.reason;
    entry->counts = reason != PAYGO_REASON_LENGTH && reason != PAYGO_REASON_DIGITS; /* T22: the rest is no entry */
    entry->open = true;
    if (entry->counts && unit->wait > 0) {
        paygo_decode_refuse(&entry->decoder, PAYGO_REASON_WAITING);
        entry->counts = false;
    }
}

bool paygo_unit_run(paygo_entry *entry, paygo_steps steps)
{
    return paygo_decode_run(&entry->decoder, steps);
}

void paygo_unit_finish(paygo_entry *entry, paygo_unit *unit)
{
    const paygo_config *config = entry->decoder.config;
    const paygo_verdict *verdict = &entry->decoder.verdict;
    while (!paygo_unit_run(entry, 0xffffU)) {
    }
    if (entry->open && verdict->reason == PAYGO_REASON_ACCEPTED) {
        unit->window = verdict->window;
        unit->wrong_entries = 0;
        apply(unit, config, PAYGO_FORM(entry->decoder.walk.form), verdict);
    } else if (entry->open && entry->counts && verdict->type == PAYGO_INVALID) {
        if (unit->wrong_entries < 255) {
            unit->wrong_entries++;
        }
        unit->wait = wait_after(unit->wrong_entries, config->strict_waits);
    }
    entry->open = false;
}

paygo_answer paygo_unit_enter(paygo_unit *unit, const paygo_config *config, uint32_t now, const char *text,
                              size_t length)
{
    paygo_entry entry;
    paygo_answer answer;
    paygo_unit_begin(&entry, unit, config, now, text, length);
    paygo_unit_finish(&entry, unit);
    answer.verdict = entry.decoder.verdict;
    answer.wait_seconds = paygo_unit_wait_left(unit);
    answer.seconds_left = paygo_unit_seconds_left(unit);
    return answer;
}

void paygo_unit_ahead(paygo_unit *unit, uint32_t seconds)
{
    const uint16_t wait = unit->wait;
    uint32_t wake = unit->clock + seconds;
    if (wake < seconds) {
        wake = UINT32_MAX;
    }
    paygo_unit_tick(unit, wake);
    unit->wait = wait;
}

/* A time that lies so far behind the clock, in 64 bits. */
static uint8_t *put_end(uint8_t *bytes, uint32_t clock, uint32_t low, uint16_t high)
{
    const uint32_t end = clock + low;
    bytes = paygo_put(bytes, end, 4);
    return paygo_put(bytes, (uint32_t)high + (end < low ? 1U : 0U), 4);
}

/* How far it lies behind the clock: 0 when it has passed. */
static const uint8_t *get_left(const uint8_t *bytes, uint32_t clock, uint32_t *low, uint32_t *high)
{
    bytes = paygo_get(bytes, low, 4);
    bytes = paygo_get(bytes, high, 4);
    if (*low < clock) {
        if (*high == 0) {
            *low = clock;
        } else {
            *high -= 1U;
        }
    }
    *low -= clock;
    return bytes;
}

void paygo_unit_store(const paygo_unit *unit, uint32_t ahead, uint8_t bytes[PAYGO_UNIT_BYTES])
{
    paygo_unit woken = *unit;
    paygo_unit_ahead(&woken, ahead);
    bytes = paygo_put(bytes, LAYOUT, 1);
    bytes = paygo_put(bytes, woken.unlocked ? 1 : 0, 1);
    bytes = paygo_put(bytes, woken.wrong_entries, 1);
    bytes = paygo_put(bytes, 0, 1);
    bytes = paygo_put(bytes, woken.window.count, 2);
    bytes = paygo_put(bytes, woken.window.floor, 2);
    bytes = paygo_put(bytes, woken.window.used, 4);
    bytes = put_end(bytes, woken.clock, 0, 0);
    bytes = put_end(bytes, woken.clock, woken.credit.low, woken.credit.high);
    (void)put_end(bytes, woken.wait > 0 ? woken.clock : 0, woken.wait, 0);
}

bool paygo_unit_load(paygo_unit *unit, const uint8_t bytes[PAYGO_UNIT_BYTES])
{
    uint32_t layout, unlocked, wrong_entries, zero, count, floor, used, clock, beyond, credit, credit_high, wait, wait_high;
    bytes = paygo_get(bytes, &layout, 1);
    bytes = paygo_get(bytes, &unlocked, 1);
    bytes = paygo_get(bytes, &wrong_entries, 1);
    bytes = paygo_get(bytes, &zero, 1);
    bytes = paygo_get(bytes, &count, 2);
    bytes = paygo_get(bytes, &floor, 2);
    bytes = paygo_get(bytes, &used, 4);
    bytes = paygo_get(bytes, &clock, 4);
    bytes = paygo_get(bytes, &beyond, 4);
    bytes = get_left(bytes, clock, &credit, &credit_high);
    (void)get_left(bytes, clock, &wait, &wait_high);
    if (layout != LAYOUT || unlocked > 1 || zero != 0 || floor > count || beyond > 0 || credit_high > INT16_MAX ||
        wait_high > 0 || wait > LONGEST_WAIT_MINUTES * 60U) {
        return false;
    }
    unit->unlocked = unlocked == 1;
    unit->wrong_entries = (uint8_t)wrong_entries;
    unit->window.count = (uint16_t)count;
    unit->window.floor = (uint16_t)floor;
    unit->window.used = used;
    unit->clock = clock;
    unit->credit.low = credit;
    unit->credit.high = (uint16_t)credit_high;
    unit->wait = (uint16_t)wait;
    return true;
}
