"""Tenants, their organizations, and who belongs to them."""
