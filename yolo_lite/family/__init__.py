"""The other generations of detectors: their losses, their networks, and what they read and write."""
