"""Photo files into pixels: formats, colours and what a damaged one is told."""
