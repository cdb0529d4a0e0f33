"""Time, user input and text. Nothing here does I/O or knows Airflow."""
