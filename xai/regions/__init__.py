"""On what a detector looks: masks of image regions and the attention measured on them."""
