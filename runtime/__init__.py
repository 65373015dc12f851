"""The runtime: trains, evaluates and ships what the compiler made."""
