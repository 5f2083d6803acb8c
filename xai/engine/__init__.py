"""Engines: who runs the parts of an audit, and where."""
