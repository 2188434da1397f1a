"""What becomes of results: records, tables, pictures, films, windows, pages."""
