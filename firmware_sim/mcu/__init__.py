"""The firmware as machine code on emulated chips."""
