"""What a batch result (`numbers`, `page`) or the visits of cameras (`visits`) hold, as numbers and as one HTML file."""
