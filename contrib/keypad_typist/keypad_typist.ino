// The keypad typist on an Arduino Uno or Nano: an optocoupler over each key, and one at each light of the unit.
// Wiring: docs/keypad-typist.md. Put typist.c and typist.h beside this file.

#include "typist.h"

static const char KEYS[] = "123456789*0#";  // on D2 to D13: high closes the contact
static const uint8_t FIRST_PIN = 2;
static const uint8_t GREEN_PIN = A0;  // low while the unit's light is lit
static const uint8_t RED_PIN = A1;

static typist typing;

void setup() {
    for (uint8_t at = 0; KEYS[at] != 0; at++) {
        digitalWrite(FIRST_PIN + at, LOW);
        pinMode(FIRST_PIN + at, OUTPUT);
    }
    pinMode(GREEN_PIN, INPUT_PULLUP);
    pinMode(RED_PIN, INPUT_PULLUP);
    Serial.begin(9600);
    typist_init(&typing);
}

void loop() {
    while (Serial.available() > 0) {
        typist_hear(&typing, (char)Serial.read());
    }
    const char held = typist_step(&typing, millis(), digitalRead(GREEN_PIN) == LOW, digitalRead(RED_PIN) == LOW);
    for (uint8_t at = 0; KEYS[at] != 0; at++) {
        digitalWrite(FIRST_PIN + at, KEYS[at] == held ? HIGH : LOW);
    }
    if (const char *line = typist_line(&typing)) {
        Serial.println(line);
    }
}
