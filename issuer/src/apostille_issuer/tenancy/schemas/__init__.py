"""What goes in and out of the tenancy domain, a module for each noun."""
