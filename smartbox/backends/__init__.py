"""Engines that run a model: tensors in, tensors out. One file each; the contract is in `_base.py`."""
