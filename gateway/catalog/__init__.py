"""What is served, made of rows of the settings."""
