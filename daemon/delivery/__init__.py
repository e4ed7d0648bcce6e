"""Names, temporaries and the one rename that publishes a cutout."""
