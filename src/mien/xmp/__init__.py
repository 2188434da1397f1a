"""Who is where in a photo, as other programs write and read it: XMP face regions in the file or beside it."""
