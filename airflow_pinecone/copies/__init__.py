"""The task groups that copy an index outside of Pinecone, and import a copy."""
