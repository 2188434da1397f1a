"""The numbered SQL files of the jobs' tables."""
