"""What goes wrong with traces: one file per kind of damage, each a pure, seeded `build`."""
