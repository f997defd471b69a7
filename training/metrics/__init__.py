"""Metrics: feature tensors [n, d] on the CPU in, Python floats out. One noun a module; import from the module."""
