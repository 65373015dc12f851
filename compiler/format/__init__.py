"""The text of a spec in canonical style: every comment stays, and the meaning too."""
