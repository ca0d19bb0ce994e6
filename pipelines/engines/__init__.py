"""Engines that encode outside this process; the one in this process is part of the library."""
