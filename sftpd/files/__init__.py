"""Files on disk: contained paths, durable writes, the staging area, and what identifies a file's content."""
