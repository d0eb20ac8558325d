"""The page where solutions are read: their mathematics found, set, and shown as it grows."""
