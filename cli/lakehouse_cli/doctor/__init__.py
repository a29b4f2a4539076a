"""What has to be right in an account, and on this machine, before a deployment."""
