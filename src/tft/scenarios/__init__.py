"""What goes wrong with traces: one file per kind of damage, each with a pure, seeded `build`."""
