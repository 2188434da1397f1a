"""Where results go: records to files and pipes, pictures to annotated copies, video and windows."""
