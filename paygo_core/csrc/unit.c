/* The PAYG brain: rules T22 and T26 to T37. */
#include "unit.h"

#include "bytes.h"

#define SECONDS_PER_DAY UINT64_C(86400)
#define LONGEST_WAIT_MINUTES 512U
#define LAYOUT 1U

void paygo_unit_init(paygo_unit *unit, uint16_t count)
{
    unit->window = paygo_window_at(count);
    unit->clock = 0;
    unit->active_until = 0;
    unit->wait_until = 0;
    unit->wrong_entries = 0;
    unit->unlocked = false;
}

void paygo_unit_tick(paygo_unit *unit, uint64_t now)
{
    if (now > unit->clock) {
        unit->clock = now;
    }
}

bool paygo_unit_active(const paygo_unit *unit)
{
    return unit->unlocked || unit->active_until > unit->clock;
}

uint64_t paygo_unit_seconds_left(const paygo_unit *unit)
{
    if (unit->unlocked) {
        return PAYGO_FOR_EVER;
    }
    return unit->active_until > unit->clock ? unit->active_until - unit->clock : 0;
}

uint64_t paygo_unit_wait_left(const paygo_unit *unit)
{
    return unit->wait_until > unit->clock ? unit->wait_until - unit->clock : 0;
}

/* T32, T33: the wait after the k-th wrong entry in a row, in seconds. */
static uint64_t wait_after(uint8_t wrong_entries, bool strict)
{
    const unsigned lenient_entries = strict ? 0 : 2;
    unsigned doublings;
    if (wrong_entries <= lenient_entries) {
        return 0;
    }
    doublings = wrong_entries - (strict ? 1U : 2U);
    return (doublings < 9 ? (uint64_t)1 << doublings : LONGEST_WAIT_MINUTES) * 60U;
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
    const uint64_t seconds = verdict->value * SECONDS_PER_DAY / config->time_divider;
    if (PAYGO_IS_EXTENDED(form) && (verdict->type == PAYGO_ADD_TIME || verdict->type == PAYGO_SET_TIME)) {
        return; /* T25: what the value means is the manufacturer's affair; it is not time */
    }
    (void)form;
    switch (verdict->type) {
    case PAYGO_ADD_TIME:
        if (unit->active_until < unit->clock) {
            unit->active_until = unit->clock;
        }
        unit->active_until += seconds;
        break;
    case PAYGO_SET_TIME:
        unit->active_until = unit->clock + seconds;
        unit->unlocked = false;
        break;
    case PAYGO_DISABLE_PAYG:
        unit->unlocked = true;
        break;
    case PAYGO_COUNTER_SYNC:
    case PAYGO_INVALID:
    case PAYGO_ALREADY_USED:
    default:
        break;
    }
}

void paygo_unit_begin(paygo_entry *entry, paygo_unit *unit, const paygo_config *config, uint64_t now, const char *text,
                      size_t length)
{
    paygo_reason reason;
    paygo_unit_tick(unit, now);
    paygo_decode_begin_text(&entry->decoder, config, &unit->window, form_of(config, length), text, length);
    reason = entry->decoder.verdict.reason;
    entry->counts = reason != PAYGO_REASON_LENGTH && reason != PAYGO_REASON_DIGITS; /* T22: the rest is no entry */
    entry->open = true;
    if (entry->counts && paygo_unit_wait_left(unit) > 0) {
        paygo_decode_refuse(&entry->decoder, PAYGO_REASON_WAITING);
        entry->counts = false;
    }
}

bool paygo_unit_run(paygo_entry *entry, paygo_steps steps)
{
    return paygo_decode_run(&entry->decoder, steps);
}

paygo_answer paygo_unit_finish(paygo_entry *entry, paygo_unit *unit)
{
    const paygo_config *config = entry->decoder.config;
    const paygo_verdict *verdict = &entry->decoder.verdict;
    paygo_answer answer;
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
        unit->wait_until = unit->clock + wait_after(unit->wrong_entries, config->strict_waits);
    }
    entry->open = false;
    answer.verdict = *verdict;
    answer.wait_seconds = paygo_unit_wait_left(unit);
    answer.seconds_left = paygo_unit_seconds_left(unit);
    return answer;
}

paygo_answer paygo_unit_enter(paygo_unit *unit, const paygo_config *config, uint64_t now, const char *text,
                              size_t length)
{
    paygo_entry entry;
    paygo_unit_begin(&entry, unit, config, now, text, length);
    return paygo_unit_finish(&entry, unit);
}

void paygo_unit_store(const paygo_unit *unit, uint32_t ahead, uint8_t bytes[PAYGO_UNIT_BYTES])
{
    const uint64_t wake = unit->clock + ahead;
    const uint64_t wait = paygo_unit_wait_left(unit);
    bytes = paygo_put(bytes, LAYOUT, 1);
    bytes = paygo_put(bytes, unit->unlocked ? 1 : 0, 1);
    bytes = paygo_put(bytes, unit->wrong_entries, 1);
    bytes = paygo_put(bytes, 0, 1);
    bytes = paygo_put(bytes, unit->window.count, 2);
    bytes = paygo_put(bytes, unit->window.floor, 2);
    bytes = paygo_put(bytes, unit->window.used, 4);
    bytes = paygo_put(bytes, wake, 8);
    bytes = paygo_put(bytes, unit->active_until, 8);
    (void)paygo_put(bytes, wait > 0 ? wake + wait : 0, 8);
}

bool paygo_unit_load(paygo_unit *unit, const uint8_t bytes[PAYGO_UNIT_BYTES])
{
    uint64_t layout, unlocked, wrong_entries, zero, count, floor, used;
    bytes = paygo_get(bytes, &layout, 1);
    bytes = paygo_get(bytes, &unlocked, 1);
    bytes = paygo_get(bytes, &wrong_entries, 1);
    bytes = paygo_get(bytes, &zero, 1);
    bytes = paygo_get(bytes, &count, 2);
    bytes = paygo_get(bytes, &floor, 2);
    bytes = paygo_get(bytes, &used, 4);
    if (layout != LAYOUT || unlocked > 1 || zero != 0 || floor > count) {
        return false;
    }
    unit->unlocked = unlocked == 1;
    unit->wrong_entries = (uint8_t)wrong_entries;
    unit->window.count = (uint16_t)count;
    unit->window.floor = (uint16_t)floor;
    unit->window.used = (uint32_t)used;
    bytes = paygo_get(bytes, &unit->clock, 8);
    bytes = paygo_get(bytes, &unit->active_until, 8);
    (void)paygo_get(bytes, &unit->wait_until, 8);
    return true;
}
