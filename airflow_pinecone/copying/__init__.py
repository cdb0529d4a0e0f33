"""Write a copy of an index to an object store, read it, and check it."""
