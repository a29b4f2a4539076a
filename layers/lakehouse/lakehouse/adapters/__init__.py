"""The lakehouse's hands: what speaks to AWS. boto3 is imported nowhere else."""
