"""Sensors for backups of Pinecone indexes, and for restores from them."""

from airflow_pinecone.sensors.backup import BackupSensor
from airflow_pinecone.sensors.freshness import BackupFreshnessSensor
from airflow_pinecone.sensors.restore import RestoreJobSensor

__all__ = ["BackupFreshnessSensor", "BackupSensor", "RestoreJobSensor"]
