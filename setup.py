"""The three C extensions; everything declarative is in pyproject.toml."""

from setuptools import setup

setup(
    cffi_modules=[
        "paygo_core/_native_build.py:ffibuilder",
        "firmware_sim/_native_build.py:ffibuilder",
        "firmware_sim/_fleet_build.py:ffibuilder",
    ],
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
