"""The numbered SQL files of the tables of unknown faces."""
