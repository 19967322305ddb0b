"""Lays the cells' numbers out as tables and keeps those of documented runs."""
