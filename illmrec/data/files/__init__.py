"""Files as publishers write them: blocks of lines, CSV, JSON lines, pictures; ids as codes."""
