"""Networks: which there are, how they are fetched and checked, and what runs them."""
