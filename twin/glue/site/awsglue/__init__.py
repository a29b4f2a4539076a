"""What Glue's own ``awsglue`` offers, as far as the jobs of this project call it."""
