"""What the gateway answers itself, without an upstream."""
