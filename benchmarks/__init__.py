"""Time and memory of this code beside plain references, and the references themselves, which also serve the tests."""
