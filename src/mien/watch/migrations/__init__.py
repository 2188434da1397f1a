"""The numbered SQL files that make the tables of what was watched."""
