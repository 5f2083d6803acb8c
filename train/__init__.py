"""How a detector is made and measured."""
