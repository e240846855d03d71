"""Routes of the tenancy domain, a module for each noun."""
