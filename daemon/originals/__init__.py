"""What happens to an original when its cutout is safe, or when there will be none."""
