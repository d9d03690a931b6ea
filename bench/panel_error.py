"""How far the panel's explicit curve is from pvlib's single-diode model, over the 36-cell modules of the CEC's list."""

from __future__ import annotations

import numpy as np
import pvlib

from firmware_sim.plant.panel import Panel
from firmware_sim.plant.weather import at_site

VOLTS = (12.0, 13.2, 14.4)
LIGHT = (100.0, 400.0, 1000.0)
AMBIENT = 25.0


def modules() -> list[dict[str, float]]:
    """Crystalline modules of 36 cells up to 145 W, by their datasheets."""
    table = pvlib.pvsystem.retrieve_sam("CECMod").T
    chosen = table[table["Technology"].str.contains("c-Si") & (table["N_s"] == 36) & (table["STC"] <= 145)]
    return chosen.to_dict("records")  # type: ignore[no-any-return]


def panel_of(module: dict[str, float]) -> Panel:
    """Our panel from the same datasheet's lines."""
    return Panel(
        open_circuit_v=module["V_oc_ref"],
        power_v=module["V_mp_ref"],
        power_a=module["I_mp_ref"],
        short_circuit_a=module["I_sc_ref"],
        noct=module["T_NOCT"],
        alpha=module["alpha_sc"] / module["I_sc_ref"],
        beta=module["beta_oc"] / module["V_oc_ref"],
    )


def their_current(module: dict[str, float], light: np.ndarray, ambient: np.ndarray, volts: float) -> np.ndarray:
    """A, by the single-diode model."""
    cell = ambient + (module["T_NOCT"] - 20) / 800 * light
    names = ("alpha_sc", "a_ref", "I_L_ref", "I_o_ref", "R_sh_ref", "R_s", "Adjust")
    diode = pvlib.pvsystem.calcparams_cec(light, cell, *(module[name] for name in names))
    current: np.ndarray = pvlib.pvsystem.i_from_v(volts, *diode)
    return current


def errors() -> dict[tuple[float, float], np.ndarray]:
    """Relative errors of the current of each module, by W/m² and V."""
    found: dict[tuple[float, float], list[float]] = {(light, volts): [] for light in LIGHT for volts in VOLTS}
    for module in modules():
        panel = panel_of(module)
        for (light, volts), of_modules in found.items():
            theirs = float(their_current(module, np.array([light]), np.array([AMBIENT]), volts)[0])
            of_modules.append(panel.current(volts, light, AMBIENT) / theirs - 1)
    return {place: np.array(values) for place, values in found.items()}


def month_errors() -> np.ndarray:
    """Of the charge that a battery at 13.2 V gets from each module in a month of Nairobi's weather."""
    weather = at_site("nairobi", 30, 900, 1)
    day = weather.irradiance > 1
    light, ambient = weather.irradiance[day].astype(float), weather.ambient[day].astype(float)
    moments = list(zip(light.tolist(), ambient.tolist(), strict=True))
    found = []
    for module in modules():
        panel = panel_of(module)
        ours = sum(panel.current(13.2, *moment) for moment in moments)
        found.append(ours / float(their_current(module, light, ambient, 13.2).clip(0).sum()) - 1)
    return np.array(found)


def main() -> None:
    """Prints a row an irradiance: median and 95th percentile of the error's size, and the median with its sign."""
    found = errors()
    print(f"{len(next(iter(found.values())))} modules, {AMBIENT:g} °C\n")
    print("| W/m² | " + " | ".join(f"at {volts:g} V" for volts in VOLTS) + " |\n" + "| --- " * (1 + len(VOLTS)) + "|")
    for light in LIGHT:
        cells = []
        for volts in VOLTS:
            size = np.abs(found[light, volts])
            signed = np.median(found[light, volts])
            cells.append(f"{np.median(size):.1%} / {np.quantile(size, 0.95):.1%} ({signed:+.1%})")
        print(f"| {light:g} | " + " | ".join(cells) + " |")
    size = np.abs(month := month_errors())
    middle, most = np.median(size), np.quantile(size, 0.95)
    print(f"\na month in Nairobi, charge at 13.2 V: {middle:.1%} / {most:.1%} ({np.median(month):+.1%})")


if __name__ == "__main__":
    main()
