"""What several tests share. Import it as ``support``: pytest adds ``tests`` to the import path."""
