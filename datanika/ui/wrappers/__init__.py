"""Thin wrappers of React components. A wrapper is a ``.jsx`` file and its Reflex signature."""
