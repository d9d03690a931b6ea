"""The cable: drives control units, real or simulated, over anything that pyserial opens."""
