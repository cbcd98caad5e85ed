"""What `demo-app new` writes."""
