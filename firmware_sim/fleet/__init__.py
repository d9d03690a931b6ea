"""Many units at once: the control law and the plant in vectors, days of weather, payments and faults."""
