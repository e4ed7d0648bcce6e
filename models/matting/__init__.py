"""From a network's answer to an alpha at the photo's own size."""
