"""The lakehouse core: contracts, ledger, catalog, lineage, settings and errors. No Spark in here."""
