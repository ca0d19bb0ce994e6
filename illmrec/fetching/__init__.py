"""Downloads: publishers' files and catalog pictures. The only part of the library that opens connections."""
