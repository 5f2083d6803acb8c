"""Where a detector looks: maps at a layer's own resolution, and where their cells lie on the image."""
