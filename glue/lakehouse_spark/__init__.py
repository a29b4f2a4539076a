"""The Spark side of the lakehouse: pure DataFrame transforms and the publishing of Iceberg tables."""
