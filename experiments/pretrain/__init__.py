"""How the tiny base student is made."""
