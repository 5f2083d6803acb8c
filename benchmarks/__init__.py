"""The measured promises: ratios, side by side in one run, on the same work."""
