"""What networks tell of a face beside who it is."""
