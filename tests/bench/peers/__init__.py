"""What Apostille is measured beside: one process each."""
