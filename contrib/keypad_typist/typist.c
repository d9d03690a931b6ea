/* Types on a keypad and counts blinks; typist.h tells what and how. */
#include "typist.h"

#include <string.h>

static const char NAME[] = "keypad typist 1";

void typist_init(typist *self)
{
    memset(self, 0, sizeof *self);
    self->told = true;
    self->asked = true; /* it says who it is when it starts, too */
}

void typist_hear(typist *self, char byte)
{
    if (byte == '?') {
        self->asked = true;
    }
    if (((byte >= '0' && byte <= '9') || byte == '*' || byte == '#') && self->count < PAYGO_TYPIST_KEYS) {
        self->waiting[(self->first + self->count) % PAYGO_TYPIST_KEYS] = byte;
        self->count++;
    }
}

static void type_on(typist *self, uint32_t now_ms)
{
    const uint32_t passed = now_ms - self->changed_ms;
    if (self->held != 0 && passed >= PAYGO_TYPIST_HOLD_MS) {
        self->held = 0;
        self->changed_ms = now_ms;
    } else if (self->held == 0 && self->busy && passed >= PAYGO_TYPIST_GAP_MS) {
        self->busy = false;
    }
    if (!self->busy && self->count > 0) {
        self->held = self->waiting[self->first];
        self->first = (uint8_t)((self->first + 1) % PAYGO_TYPIST_KEYS);
        self->count--;
        self->busy = true;
        self->changed_ms = now_ms;
    }
}

static void look(typist_light *light, uint32_t now_ms, bool is_lit)
{
    if (is_lit != light->seen) {
        light->seen = is_lit;
        light->since_ms = now_ms;
    }
    if (light->seen != light->lit && now_ms - light->since_ms >= PAYGO_TYPIST_STEADY_MS) {
        light->lit = light->seen;
        if (light->lit && light->blinks < 255) {
            light->blinks++;
        }
    }
}

char typist_step(typist *self, uint32_t now_ms, bool green, bool red)
{
    type_on(self, now_ms);
    look(&self->green, now_ms, green);
    look(&self->red, now_ms, red);
    if (self->green.seen || self->red.seen) {
        return self->held;
    }
    /* One pattern has one colour, but what two lights do at once is one answer: neither is told before both are dark. */
    if (now_ms - self->green.since_ms < PAYGO_TYPIST_DARK_MS || now_ms - self->red.since_ms < PAYGO_TYPIST_DARK_MS) {
        return self->held;
    }
    if (self->told && (self->green.blinks > 0 || self->red.blinks > 0)) {
        typist_light *light = self->green.blinks > 0 ? &self->green : &self->red;
        uint8_t left = light->blinks;
        char *end = self->line;
        strcpy(end, light == &self->green ? "Green LED Blinked " : "Red LED Blinked ");
        end += strlen(end);
        if (left >= 100) {
            *end++ = (char)('0' + left / 100);
        }
        if (left >= 10) {
            *end++ = (char)('0' + left / 10 % 10);
        }
        *end++ = (char)('0' + left % 10);
        strcpy(end, " times!");
        light->blinks = 0;
        self->told = false;
    }
    return self->held;
}

const char *typist_line(typist *self)
{
    if (self->asked) {
        self->asked = false;
        return NAME;
    }
    if (self->told) {
        return NULL;
    }
    self->told = true;
    return self->line;
}
