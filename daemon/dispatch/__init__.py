"""Which photo is next, who works on it, and what its end means."""
