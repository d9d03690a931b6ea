/*
 * An ATmega328P at 16 MHz: console on UART0, storage in the internal EEPROM, sleep in between. It compiles as it is for
 * an ATmega1284P too, which has more memory and the same registers.
 *
 * As a plain board: timer 0 is the clock, the ADC measures, a 4 x 3 keypad is scanned, and the charge switch is opened
 * for every millisecond in which the battery is above its target. With PAYGO_RIG these hang on a
 * test rig at the SPI, whose slave the chip is (rig.h); the light pins then say that an answer is ready, and that a
 * write is under way.
 */
#ifdef PAYGO_RIG
#include "rig.h"
#else
#include "hal.h"
#endif

#include "apart.h"
#include "crc.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

#ifdef USART_RX_vect
#define CONSOLE_vect USART_RX_vect
#define SPI_MISO_PIN PB4
#define PINS_AT_EDGES 0x0AU
#else /* ATmega1284P */
#define CONSOLE_vect USART0_RX_vect
#define SPI_MISO_PIN PB6
#define PINS_AT_EDGES 0x2AU
#endif

#define OUTPUT_PIN (1U << 4)
#define CHARGE_PIN (1U << 5)
#define GREEN_PIN (1U << 6)
#define RED_PIN (1U << 7)
#define READY_PIN GREEN_PIN  /* on a rig */
#define STORING_PIN RED_PIN  /* on a rig */

ISR(CONSOLE_vect)
{
    port_receive((char)UDR0);
}

/* Only ends the sleep; the byte that was being written is in the EEPROM. */
ISR(EE_READY_vect)
{
    EECR &= (uint8_t)~(1U << EERIE);
}

/*
 * Under hal_lock. The instruction after sei is executed before an interrupt is let in, so none is missed. simavr lets
 * it in one instruction later than a chip: hence the nop.
 */
static void sleep_once(void)
{
    sleep_enable();
    sei();
    sleep_cpu();
    __asm__ volatile("nop");
    cli();
    sleep_disable();
}

void hal_lock(void)
{
    cli();
}

void hal_unlock(void)
{
    sei();
}

/* 115200 8N1: 16 MHz / 8 / 17 is 117647, 2.1 % more. */
static void open_console(void)
{
    UCSR0A = 1U << U2X0;
    UBRR0H = 0;
    UBRR0L = 16;
    UCSR0C = 1U << UCSZ01 | 1U << UCSZ00;
    UCSR0B = 1U << RXEN0 | 1U << TXEN0 | 1U << RXCIE0;
}

uint8_t hal_read(void *context, uint16_t offset)
{
    (void)context;
    EEAR = offset;
    EECR |= 1U << EERE;
    return EEDR;
}

static void wait_for_eeprom(void)
{
    hal_lock();
    while ((EECR & 1U << EEPE) != 0) {
        EECR |= 1U << EERIE;
        sleep_once();
    }
    hal_unlock();
}

/* Each byte takes 3.4 ms. */
static void write_all(const paygo_write *write)
{
    uint8_t i;
    for (i = 0; i < write->length; i++) {
        EEAR = (uint16_t)(write->offset + i);
        EEDR = write->bytes[i];
        hal_lock(); /* EEPE has to follow within four cycles */
        EECR |= 1U << EEMPE;
        EECR |= 1U << EEPE;
        hal_unlock();
        wait_for_eeprom();
    }
}

static void send(uint8_t byte)
{
    while ((UCSR0A & 1U << UDRE0) == 0) {
    }
    UDR0 = byte;
}

#ifdef PAYGO_RIG

#define NOT_ANSWERING RIG_ANSWER_BYTES

static void port_d(uint8_t pin, bool high)
{
    PORTD = (uint8_t)(high ? PORTD | pin : PORTD & ~pin);
}

static uint8_t answer_bytes[RIG_ANSWER_BYTES];
static volatile uint8_t answered = NOT_ANSWERING;

/* The rig clocks a byte in or out. */
ISR(SPI_STC_vect)
{
    const uint8_t byte = SPDR;
    uint8_t next = answered;
    if (next == NOT_ANSWERING) {
        rig_receive(byte);
        return;
    }
    next++;
    if (next < RIG_ANSWER_BYTES) {
        SPDR = answer_bytes[next];
    } else {
        port_d(READY_PIN, false);
    }
    answered = next;
}

void hal_init(void)
{
    DDRD = OUTPUT_PIN | CHARGE_PIN | READY_PIN | STORING_PIN;
    DDRB = 1U << SPI_MISO_PIN;
    SPCR = 1U << SPE | 1U << SPIE;
    open_console();
    sei(); /* sleep is idle sleep, as after a reset: all that wakes the chip goes on */
}

void rig_sleep(void)
{
    sleep_once();
}

void rig_send(const uint8_t answer[RIG_ANSWER_BYTES])
{
    uint8_t i;
    for (i = 0; i < RIG_ANSWER_BYTES; i++) {
        answer_bytes[i] = answer[i];
    }
    hal_lock();
    SPDR = answer_bytes[0];
    answered = 0;
    port_d(READY_PIN, true);
    while (answered != NOT_ANSWERING) {
        sleep_once();
    }
    hal_unlock();
}

void hal_say(const char *bytes, uint16_t length)
{
    uint16_t i;
    for (i = 0; i < length; i++) {
        send((uint8_t)bytes[i]);
    }
    rig_said(length);
}

/* The rig sees the pin and the EEPROM, and cuts the power itself. */
void hal_write(const paygo_write *write)
{
    port_d(STORING_PIN, true);
    write_all(write);
    if (write->rest == 0) {
        port_d(STORING_PIN, false);
        rig_stored();
    }
}

#else

/*
 * Ports as wired: ADC 0 ... 4 in the order of paygo_measured, keypad rows on B0 ... B3, its columns on B4, B5 and D2,
 * outputs on D4 ... D7.
 */
#define BATTERY_VOLTS 0U
#define PANEL_VOLTS 2U
#define LOAD_AMPERES 4U
#define MV_PER_STEP 30 /* 5 V and a divider of 1 : 6.1 give 0 ... 30.7 V */
#define MA_PER_STEP 50 /* an amplifier of 0.1 V/A around 2.5 V */
#define MIDDLE 512
#define STEPS 1023L

/* A light's colour is its pin, counted from GREEN_PIN on. */
typedef char lights_fit[PAYGO_GREEN * GREEN_PIN == GREEN_PIN && PAYGO_RED * GREEN_PIN == RED_PIN ? 1 : -1];

/* Every voltage and current at which a protection trips can be seen (law.c). */
typedef char sees_voltages[STEPS * MV_PER_STEP > 27000L ? 1 : -1];
typedef char sees_currents[(STEPS - MIDDLE) * MA_PER_STEP > 25000L ? 1 : -1];
#define ADC_BUSY ((ADCSRA & 1U << ADSC) != 0)
#define DEBOUNCE_MS 20U
#define LONGEST_SLEEP_MS 1000U

static volatile uint16_t elapsed_ms;
static volatile uint16_t target_steps; /* of the ADC: at these the charge switch is opened, 0: it stays open */
static volatile uint16_t battery_steps, battery_peak_steps;
static volatile char key;
static char held;
static uint8_t unsure_ms; /* until it counts */

/* Which key is down. One row at a time is pulled low, and with it the column of a key that is down. */
static char key_down(void)
{
    static const char keys[] PAYGO_FLASH = "\0*0#789456123";
    uint8_t place = 0;
    uint8_t found = 0;
    uint8_t row, column, columns, settle;
    for (row = 1U << 3; row > 0; row >>= 1) {
        DDRB = row;
        for (settle = 0; settle < 8U; settle++) {
            __asm__ volatile("nop");
        }
        columns = (uint8_t)((PINB & 3U << 4) | ((unsigned)PIND << 4 & 1U << 6));
        for (column = 1U << 4; column <= 1U << 6; column = (uint8_t)(column << 1)) {
            place++;
            if ((columns & column) == 0) {
                found = place;
            }
        }
    }
    DDRB = 0;
    return paygo_flash_char(&keys[found]);
}

static void begin_conversion(uint8_t channel)
{
    ADMUX = (uint8_t)(1U << REFS0 | channel);
    ADCSRA |= 1U << ADSC;
}

static void switch_charge(uint16_t steps)
{
    if (steps < target_steps) {
        PORTD |= CHARGE_PIN;
    } else {
        PORTD &= (uint8_t)~CHARGE_PIN;
    }
}

/* A millisecond. A key counts once, when it has been down for DEBOUNCE_MS. The ADC has converted the battery's voltage. */
ISR(TIMER0_COMPA_vect)
{
    const char down = key_down();
    const uint16_t steps = ADC;
    const uint16_t passed = elapsed_ms;
    battery_steps = steps;
    if (battery_peak_steps < steps) {
        battery_peak_steps = steps;
    }
    switch_charge(steps);
    begin_conversion(BATTERY_VOLTS);
    if (passed < UINT16_MAX) {
        elapsed_ms = (uint16_t)(passed + 1U);
    }
    if (down != held) {
        held = down;
        unsure_ms = DEBOUNCE_MS;
    } else if (unsure_ms > 0) {
        unsure_ms--;
        if (unsure_ms == 0) {
            key = down;
        }
    }
}

void hal_init(void)
{
    EICRA = PINS_AT_EDGES; /* none is enabled, but simavr polls for a low level in every cycle */
    PORTB = 0x30; /* pull-ups of the columns; a row that is an output is low */
    PORTD = 1U << 2;
    DDRD = OUTPUT_PIN | CHARGE_PIN | GREEN_PIN | RED_PIN;
    ADCSRA = 1U << ADEN | 7U; /* 125 kHz */
    TCCR0A = 1U << WGM01;
    OCR0A = 249; /* 16 MHz / 64 / 250 */
    TIMSK0 = 1U << OCIE0A;
    TCCR0B = 1U << CS01 | 1U << CS00;
    open_console();
    sei();
}

/* Once the conversion that is under way is there. */
static uint16_t convert_next(uint8_t channel)
{
    while (ADC_BUSY) {
    }
    begin_conversion(channel);
    while (ADC_BUSY) {
    }
    return ADC;
}

/* A tenth of a millisecond, for which timer 0 has to wait. */
static PAYGO_APART uint16_t convert(uint8_t channel)
{
    uint16_t steps;
    TIMSK0 = 0;
    steps = convert_next(channel);
    (void)convert_next(BATTERY_VOLTS);
    TIMSK0 = 1U << OCIE0A;
    return steps;
}

/* The noise of many conversions. */
uint32_t hal_first_boot(void)
{
    uint32_t noise = UINT32_MAX;
    uint8_t i;
    for (i = 0; i < 64U; i++) {
        noise = paygo_crc32_byte(noise, (uint8_t)convert((uint8_t)(i & 3U)));
    }
    return (noise & UINT32_C(0x7fffffff)) + 1U;
}

void hal_wait(uint32_t wire_due_ms, uint32_t world_due_ms, paygo_inputs *inputs)
{
    uint8_t channel;
    uint16_t passed;
    hal_lock();
    for (;;) {
        passed = elapsed_ms;
        if (passed >= wire_due_ms || passed >= world_due_ms || passed >= LONGEST_SLEEP_MS || port_received() > 0 ||
            key != '\0') {
            break;
        }
        sleep_once();
    }
    inputs->world_ms = inputs->wire_ms = passed;
    inputs->key = key;
    inputs->measured.battery_mv = (int16_t)((int16_t)battery_steps * MV_PER_STEP);
    inputs->measured.battery_peak_mv = (uint16_t)(battery_peak_steps * MV_PER_STEP);
    battery_peak_steps = 0;
    elapsed_ms = 0;
    key = '\0';
    hal_unlock();
    for (channel = BATTERY_VOLTS + 1U; channel <= LOAD_AMPERES; channel++) {
        const int16_t steps = (int16_t)convert(channel);
        (&inputs->measured.battery_mv)[channel] =
            (int16_t)(channel == PANEL_VOLTS ? steps * MV_PER_STEP : (steps - MIDDLE) * MA_PER_STEP);
    }
    inputs->measured.temperature_dc = inputs->measured.board_dc = 250; /* no sensors; the law takes it as room temperature */
}

paygo_board hal_board(void)
{
    return PAYGO_BOARD_LEGACY;
}

void hal_act(const paygo_outputs *outputs)
{
    uint8_t pins;
    hal_lock();
    pins = (uint8_t)(PORTD & ~(OUTPUT_PIN | GREEN_PIN | RED_PIN));
    target_steps = 0;
    if (outputs->charge) {
        target_steps = outputs->target_mv / MV_PER_STEP;
    } else {
        pins &= (uint8_t)~CHARGE_PIN;
    }
    if (outputs->output) {
        pins |= OUTPUT_PIN;
    }
    PORTD = (uint8_t)(pins | outputs->light * GREEN_PIN);
    hal_unlock();
}

void hal_say(const char *bytes, uint16_t length)
{
    uint16_t i;
    for (i = 0; i < length; i++) {
        send((uint8_t)bytes[i]);
    }
}

void hal_write(const paygo_write *write)
{
    write_all(write);
}

#endif
