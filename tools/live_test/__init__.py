"""`make live-test`: compare what this package assumes of Pinecone's API with what the service does."""
