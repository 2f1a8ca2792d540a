"""Benchmarks on other machines: over SSH, with nothing but Python there, and on Android devices."""
